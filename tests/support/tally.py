"""How often a fault was tried, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counted by a test; the table at the end of the session shows it."""

    record: Callable[[str, object], None]  # pytest's record_property
    tried: int = 0
    lost: list[str] = field(default_factory=list)  # a line about each

    def check(self, measured: str = "") -> None:
        """Tells the table, with a sentence for below it; fails where anything was lost."""
        self.record("tried", self.tried)
        self.record("lost", len(self.lost))
        if measured:
            self.record("measured", measured)
        assert not self.lost, f"{len(self.lost)} of {self.tried}:\n" + "\n".join(self.lost[:20])
