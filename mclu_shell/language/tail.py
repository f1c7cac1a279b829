"""The incomplete line at the end of a text, for completion."""

from typing import NamedTuple

from mclu_shell.language.lexer import Lexer, Unfinished


class Tail(NamedTuple):
    """The command that a text ends in: its complete words, and the word at the end, which begins at `start`.

    With `is_output`, the word is the file after `>`.
    """

    words: tuple[str, ...]
    word: str
    start: int
    is_output: bool = False


def tail(text: str) -> Tail | None:
    """Return the command that a text ends in; None in a comment, after `!` and after a pipe."""
    return _TailLexer(text).tail()


class _TailLexer(Lexer):
    """A lexer for text that may end anywhere, also inside a quotation."""

    def tail(self) -> Tail | None:
        words: list[str] = []
        while self.skip_blanks():
            if self.peek() in "\n;":
                words = []
                self.at += 1
            elif self.peek() == "-" and not words:
                self.at += 1
            elif self.peek() == ">" and words:
                output = self._output(words)
                if output is not None or self.at >= len(self.text):
                    return output
            elif self.peek() in "|>" or (self.peek() == "!" and not words):
                if not self._skip_program("\n" if self.peek() == "!" else "\n;"):
                    return None
            else:
                start = self.at
                word = self.word()
                if self.at >= len(self.text):
                    return Tail(tuple(words), word, start)
                words.append(word)
        return None if self.comment_end == self.at else Tail(tuple(words), "", self.at)

    def _output(self, words: list[str]) -> Tail | None:
        """Return the file after `>` if the text ends in it; otherwise skip the line."""
        self.at += 2 if self.text.startswith(">>", self.at) else 1
        if not self.skip_blanks():
            return None if self.comment_end == self.at else Tail(tuple(words), "", self.at, is_output=True)
        start = self.at
        word = self.word()
        if self.at >= len(self.text):
            return Tail(tuple(words), word, start, is_output=True)
        self.skip_blanks()
        self._skip_program("\n;")
        return None

    def _skip_program(self, ends: str) -> bool:
        """Skip a program of the user's shell; return whether any text is left."""
        while self.peek() and self.peek() not in ends:
            if ends == "\n":
                self.at += 1
            else:
                self.piece()
        return self.at < len(self.text)

    def piece(self) -> str:
        """Return one piece, which the end of the text may cut off."""
        try:
            return super().piece()
        except Unfinished:
            self.at = len(self.text)
            return self.open_quotation
