"""Which cores a run is pinned to. Pure.

A phone's scheduler moves a thread between cores of very different speed; a latency that is meant for "4 threads on the
fast cores" must be taken there.
"""

from __future__ import annotations

from collections.abc import Sequence


def fast_cores(max_mhz: Sequence[int], threads: int) -> tuple[int, ...]:
    """The cores for `threads` threads: the fastest ones, and all that are as fast as the slowest of those.

    `max_mhz` is one clock per core in the system's order. Empty (no pinning) where the system does not tell clocks,
    where all cores are alike, or where there are no more cores than threads.
    """
    if not max_mhz or min(max_mhz) <= 0 or len(set(max_mhz)) == 1 or threads >= len(max_mhz):
        return ()
    slowest_needed = sorted(max_mhz, reverse=True)[max(threads, 1) - 1]
    return tuple(i for i, mhz in enumerate(max_mhz) if mhz >= slowest_needed)


def clocks_of(groups: Sequence[tuple[int, float]]) -> tuple[int, ...]:
    """A clock in MHz per core from a profile's (count, GHz) groups, slowest first as Arm systems number them."""
    ordered = sorted(groups, key=lambda group: group[1])
    return tuple(round(ghz * 1000) for count, ghz in ordered for _ in range(count))


def cpu_mask(cpus: Sequence[int]) -> str:
    """The hexadecimal mask that both toybox's and util-linux's taskset take: cores 4 and 5 -> "30"."""
    return f"{sum(1 << cpu for cpu in set(cpus)):x}"
