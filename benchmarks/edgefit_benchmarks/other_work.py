"""How much of this host's CPU time went to others: a round of timing that they disturbed can be taken again."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC_STAT = Path("/proc/stat")


class OtherWork:
    """Counts from its making on. The share of all cores' time that neither this process nor its ended children took."""

    def __init__(self) -> None:
        self._start = _seconds()

    def share(self) -> float | None:
        """0 to 1 (work of a hypervisor's other guests included); None where the system does not say."""
        now = _seconds()
        if now is None or self._start is None:
            return None
        wall, busy, own = (after - before for after, before in zip(now, self._start, strict=True))
        capacity = wall * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (busy - own) / capacity)) if capacity > 0 else 0.0


def _seconds() -> tuple[float, float, float] | None:
    """(wall, busy of all cores, own) in s."""
    try:
        first = PROC_STAT.read_text(encoding="ascii").partition("\n")[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(value) for value in first[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    times = os.times()
    return time.monotonic(), busy, times.user + times.system + times.children_user + times.children_system
