"""The width of text on a terminal, and text cut to a width."""


def width(text: str) -> int:
    """Return the number of terminal columns of a text without control characters."""
    if text.isascii():
        return len(text)
    # It takes 25 ms to import.
    from wcwidth import wcswidth

    # -1 stands for a character that the library regards as not printable.
    columns = wcswidth(text)
    return columns if columns >= 0 else len(text)


def padded(text: str, columns: int, *, is_right: bool = False) -> str:
    """Return text filled with blanks to a width."""
    blanks = " " * (columns - width(text))
    return blanks + text if is_right else text + blanks


def truncated(text: str, columns: int, ellipsis: str) -> str:
    """Return text cut to a width, with an ellipsis at its end if something is missing."""
    if width(text) <= columns:
        return text
    if columns <= len(ellipsis):
        return ellipsis[: max(0, columns)]
    return _longest_prefix(text, columns - len(ellipsis)) + ellipsis


def _longest_prefix(text: str, columns: int) -> str:
    # No text has more characters than fit, unless some have no width.
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle]) <= columns:
            low = middle
        else:
            high = middle - 1
    return text[:low]
