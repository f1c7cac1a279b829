from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.nodes.auth_prompts import retry_after_prompts
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeOff, PromptRequired, Question, SSHRefused

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.base import Transport


class Door:
    """A stand-in for a node whose login asks for a word; some share one."""

    def __init__(self, name: str, word: str = "") -> None:
        self.name = name
        self.word = word
        self.is_open = not word

    def log_in(self, asker: Callable[[Question], str | None]) -> None:
        """Ask twice at most."""
        for _ in range(2):
            if (reply := asker(Question(f"word for {self.word}: ", is_secret=True))) is None:
                break
            if reply == self.word:
                self.is_open = True
                return
        raise SSHRefused("refused", place=self.name)

    def enter(self) -> str:
        """Return where one is then."""
        if self.word == "off":
            raise NodeOff(self.name)
        if not self.is_open:
            raise PromptRequired("locked", place=self.name)
        return f"in {self.name}"


def visit(
    doors: Sequence[Door], person: Callable[[str], str | None], others: Sequence[Node] = ()
) -> tuple[list[str], list[str]]:
    """Return the results, and the questions in their order."""
    questions: list[str] = []

    def asker(question: Question) -> str | None:
        questions.append(question.text)
        return person(question.text)

    def enter(door: Node) -> str:
        return cast("Door", door).enter()

    outcomes = gather([cast("Node", door) for door in doors], enter)
    results = [outcome.value or str(outcome.error) for outcome in retry_after_prompts(outcomes, enter, asker, others)]
    return results, questions


def test_a_login_with_prompts_is_followed_by_the_query_and_does_not_affect_other_nodes() -> None:
    doors = [Door("a", "red"), Door("b"), Door("c", "off"), Door("d", "blue")]
    words = {"word for red: ": "red", "word for blue: ": "blue"}
    results, questions = visit(doors, words.get)
    assert results == ["in a", "in b", "c: is off; run 'on c'", "in d"]
    assert questions == ["word for red: ", "word for blue: "]


def test_a_question_without_a_reply_is_not_repeated_for_other_nodes() -> None:
    doors = [Door("a", "red"), Door("b", "red"), Door("c", "blue")]
    results, questions = visit(doors, lambda text: None if "red" in text else "blue")
    assert results == ["a: refused", "b: refused", "in c"]
    assert questions == ["word for red: ", "word for blue: "]


def test_a_wrong_reply_is_asked_again() -> None:
    replies = iter(["rde", "red"])
    results, questions = visit([Door("a", "red")], lambda _text: next(replies))
    assert results == ["in a"]
    assert questions == ["word for red: "] * 2


def test_faulty_nodes_are_polled_again_after_prompts() -> None:
    others = [Node(NodeConfig(f"n{i}"), cast("Transport", None)) for i in range(3)]
    others[0].store.set_state(Phase.FAULTY, "ssh: permission denied")
    others[1].store.set_state(Phase.OFF)
    visit([Door("a")], lambda _text: "red", others)
    assert [node.poll_request.is_set() for node in others] == [False, False, False]
    visit([Door("a", "red")], lambda _text: "red", others)
    assert [node.poll_request.is_set() for node in others] == [True, False, False]
