"""Below its floors an int8 model is not handed over."""

from __future__ import annotations

import math

from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.records import Parity

from .recipe import Floors


def shortfalls(parity: Parity, floors: Floors) -> tuple[str, ...]:
    """What is below its floor, with figures; empty when the model passes.

    One differing photograph is always allowed: on fewer than 20 it alone would be more than a floor of .95 leaves.
    """
    found = []
    different = round((1 - parity.top1) * parity.n)
    if different > max(1, math.floor((1 - floors.top1) * parity.n + 1e-9)):
        found.append(
            f"{different} of {parity.n} photographs get another first answer "
            f"(agreement {parity.top1:.3f}, floor {floors.top1:.3f})"
        )
    if not parity.sqnr_db >= floors.sqnr_db:  # also when it is not a number
        found.append(f"SQNR of the logits is {parity.sqnr_db:.1f} dB (floor {floors.sqnr_db:.1f} dB)")
    return tuple(found)


def check(parity: Parity, floors: Floors) -> None:
    """Raises GuardFailed when the model is below a floor."""
    found = shortfalls(parity, floors)
    if found:
        raise GuardFailed(
            f"int8 does not keep the float model's answers: {'; '.join(found)}",
            "nothing was handed over; calibrate on more photographs of the kind that the app will see",
        )
