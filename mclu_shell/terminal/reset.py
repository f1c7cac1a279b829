"""Reset of the user's terminal after a guest had it: the state that its programs may have left, or a hostile guest.

The names are those of xterm's control sequences (ctlseqs). Terminals ignore the sequences that they do not know, except
old Linux consoles, which print some; these get only their own. The screen and the cursor stay where they are.
"""

import os
from typing import TextIO

_CAN, _ESC, _CSI = "\x18", "\x1b", "\x1b["
# Private modes (DECSET): application cursor keys, reverse video, mouse (nine kinds), focus events, bracketed paste.
_OFF = (1, 5, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004)
# Wrapping at the right margin, and the cursor.
_ON = (7, 25)

# The title is saved before, and restored after, on xterm's stack.
_SAVE_TITLE, _RESTORE_TITLE = f"{_CSI}22;0t", f"{_CSI}23;0t"
_KEYBOARD = (
    f"{_CSI}>4m"  # modifyOtherKeys.
    f"{_CSI}=0u"  # The keyboard protocol of kitty.
)
_COLORS = f"{_ESC}]104\a{_ESC}]110\a{_ESC}]111\a{_ESC}]112\a"
_LINUX_COLORS = f"{_ESC}]R"
_COMMON = (
    # Leaving the alternate screen and setting the scroll region move the cursor, so it is saved first.
    f"{_ESC}7{_CSI}?1049l{_ESC}7{_CSI}r{_ESC}8"
    + "".join(f"{_CSI}?{mode}l" for mode in _OFF)
    + "".join(f"{_CSI}?{mode}h" for mode in _ON)
    + f"{_CSI}4l"  # Insert mode.
    + f"{_ESC}>"  # Application keypad.
    + f"{_ESC}(B{_ESC})B\x0f"  # The character sets G0 and G1, and the use of G0.
    + f"{_CSI}0m"
)
# UTF-8, if a guest has selected ISO 2022.
_UTF8 = f"{_ESC}%G"


def begin_foreign_output(out: TextIO) -> None:
    """Save the parts of the terminal's state that can be restored later."""
    if _understands(out) and not _is_linux_console():
        out.write(_SAVE_TITLE)
        out.flush()


def end_foreign_output(out: TextIO) -> None:
    """Reset the terminal; write nothing to a pipe, a file or a terminal without control sequences."""
    if not _understands(out):
        return
    utf8 = _UTF8 if (out.encoding or "").lower() in ("utf-8", "utf8") else ""
    # Some terminals take the first sequence for underlined text, which _COMMON ends.
    text = (
        _COMMON + utf8 + _LINUX_COLORS if _is_linux_console() else _KEYBOARD + _COMMON + utf8 + _COLORS + _RESTORE_TITLE
    )
    # A guest may have ended within a sequence; CAN ends it (ECMA-48).
    out.write(f"{_CAN}{text}")
    out.flush()


def _understands(out: TextIO) -> bool:
    return out.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _is_linux_console() -> bool:
    return os.environ.get("TERM", "") == "linux"
