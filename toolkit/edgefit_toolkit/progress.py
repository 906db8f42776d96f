"""What the pipeline tells whoever watches: stages, progress, notes. The terminal's form of it is console.py."""

from __future__ import annotations

import unicodedata
from typing import Protocol, runtime_checkable

# Characters that reorder what stands beside them (Unicode's Bidi_Control), and the byte order mark
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


class Progress(Protocol):
    """Hears how far a piece of work is. Implementations must not raise."""

    def __call__(self, label: str, done: int, total: int, detail: str = "") -> None:
        """`label` says what is being done; `total` is 0 where nobody knows it."""


def ignore_progress(label: str, done: int, total: int, detail: str = "") -> None:
    """A Progress that says nothing."""


@runtime_checkable
class Ui(Protocol):
    """Where a pipeline reports. Implementations must not raise."""

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """A stage begins, or was found finished in the run directory (`resumed`)."""

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` steps of the current stage."""

    def note(self, text: str) -> None:
        """A fact worth a line: a pick, an epoch, a file."""

    def warn(self, text: str) -> None:
        """Something the reader should act on or know before trusting the result."""


class Silent:
    """A Ui that says nothing (library use and tests)."""

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """Nothing."""

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""


def duration(seconds: float) -> str:
    """As people say it: 95 s, 12 min, 3 h 20 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def speed(number: float) -> str:
    """So many a second: 470/s; of what takes longer than one, 22 s each."""
    return f"{number:.3g}/s" if number >= 1 else f"{duration(1 / number)} each"


def plain(text: str) -> str:
    """Foreign text (a file's name, a phone's words) as one line that a terminal shows and does not obey.

    Control characters, line ends, reordering marks and unassigned code points become escapes: "\\x1b", "\\u202e". A
    byte of a file name that is not UTF-8 becomes the escape of that byte. Rich's markup is the console's affair.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def plain_lines(text: str) -> str:
    """Text of several lines, ours with foreign text in it: each line as `plain` shows it."""
    return "\n".join(map(plain, text.split("\n")))


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's form of the byte code - 0xDC00
        return f"\\x{code - 0xDC00:02x}"
    if character not in _REORDERING and unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Zl", "Zp"):
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
