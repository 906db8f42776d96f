"""Columns of texts in one piece of memory: a str of its own takes some fifty bytes more than its letters."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any


class Texts(Sequence[str]):
    """Texts in the order in which they were added, each made anew when it is asked for."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._letters, self._ends = bytearray(), array("Q", (0,))
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """One more; of a file's name the bytes that are no UTF-8, too."""
        self._letters += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._letters))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        at = range(len(self))[index]
        return self._letters[self._ends[at] : self._ends[at + 1]].decode("utf-8", "surrogatepass")


class Words(Sequence[str]):
    """The same of texts that come again and again, such as labels: `codes` are their places among `names`."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.codes, self.names = array("i"), list[str]()
        self._known: dict[str, int] = {}
        for word in words:
            self.append(word)

    def append(self, word: str) -> None:
        """One more."""
        code = self._known.setdefault(word, len(self.names))
        if code == len(self.names):
            self.names.append(word)
        self.codes.append(code)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        return self.names[self.codes[index]]
