"""Numbers as people read them: one place, so that HTML, Markdown and the terminal never differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from edgefit_toolkit.network.families import FAMILIES

ORIGIN_CLASS = {
    "predicted": "predicted",
    "measured on device": "device",
    "measured on host": "host",
}
ORIGIN_MEANING = {
    "predicted": "computed from the device profile; nothing was run",
    "measured on device": "timed on the target device itself",
    "measured on host": "timed on the computer that made this report, not on the phone",
}


def ms(value: float) -> str:
    """Milliseconds with three significant digits and no false precision: `0.842 ms`, `7.31 ms`, `12.9 ms`."""
    return f"{number(value)} ms"


def gap(value: float, beside: float) -> str:
    """A difference in ms with the decimals that `number(beside)` shows: `0.2 ms` beside `15.9 ms`."""
    shown = number(beside)
    return f"{abs(value):.{len(shown.partition('.')[2])}f} ms"


def number(value: float) -> str:
    """Three significant digits, never in exponent form."""
    if value == 0:
        return "0"
    size = abs(value)
    for limit, digits in ((0.01, 5), (0.9995, 3), (9.995, 2), (99.95, 1)):
        if size < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def percent(share: float, digits: int = 1) -> str:
    """A share (0..1) as `92.3%`; never a share above 0 as `0%`, nor one below 1 as `100%`."""
    least = 10.0 ** -(digits + 2)
    if 0 < share <= least / 2:
        return f"<{100 * least:.{digits}f}%"
    if 1 - least / 2 <= share < 1:
        return f">{100 - 100 * least:.{digits}f}%"
    return f"{100 * share:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, signed: `-0.4 points`."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def interval(low: float, high: float, digits: int = 1) -> str:
    """`88.1-94.9%` with an en dash."""
    return f"{100 * low:.{digits}f}–{100 * high:.{digits}f}%"


def level(origin: str) -> str:
    """What low and high of a latency mean: `80% interval` of a prediction, `95% interval` of a measurement."""
    return "80% interval" if origin == "predicted" else "95% interval"


def size(size_bytes: int) -> str:
    """Decimal megabytes or kilobytes, as app stores count."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def millions(count: int) -> str:
    """`385 M`, `1.38 G`."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.1f} M" if count < 1e8 else f"{count / 1e6:.0f} M"


def shape(dims: Sequence[int]) -> str:
    """`7 × 7 × 1280`."""
    return " × ".join(str(d) for d in dims)


def seconds(value: float) -> str:
    """`48 s`, `3 min 20 s`."""
    return f"{value:.0f} s" if value < 120 else f"{int(value // 60)} min {value % 60:.0f} s"


def name_of(candidate: Any) -> str:
    """`EfficientNet-Lite2` or `EfficientNet-Lite, φ 1.370`."""
    if candidate.get("released"):
        return "EfficientNet-" + str(candidate["released"]).capitalize()
    family = FAMILIES.get(candidate["family"])  # a report may come from an edgefit that knows more of them
    return f"EfficientNet-{family.title if family else candidate['family']} φ {candidate['phi']:.3f}"


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 picture`, `3 pictures`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def when(created: str) -> str:
    """`2026-01-02T03:04:05Z` as `2026-01-02 03:04 UTC`; anything else as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment.tzinfo else created
