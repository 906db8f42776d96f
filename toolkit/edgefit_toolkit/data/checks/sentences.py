"""What is said of how pictures were divided into train, val and test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Sized

from edgefit_toolkit.data.splits import TEST_SHARE, VAL_SHARE

MOST_NAMED = 20  # classes in one sentence


def set_aside(part: str, share: float, *, whole: bool) -> list[str]:
    """A part that was taken from train, or from all pictures where the source has no split (`whole`)."""
    if share < {"val": VAL_SHARE, "test": TEST_SHARE}[part]:
        of = "the pictures are" if whole else "train is"
        return [
            f"{share:.1%} of {of} set aside for {part}: more would not say accuracy any better than to one point, and "
            "are trained on"
        ]
    return [] if whole else [f"there is no {part} split: {share:.0%} of train was set aside for it"]


def sampled(part: str, kept: Mapping[str, Sized], left_out: int) -> list[str]:
    """A part that the source brings and that is larger than its intervals need."""
    if not left_out:
        return []
    count = sum(map(len, kept.values()))
    return [
        f"{part}: {count:,} of its {count + left_out:,} pictures are looked at, a seeded sample of every class: "
        "they say accuracy to one point"
    ]


def not_tested(source: Mapping[str, Sequence[object]], test: Collection[str], least: int) -> list[str]:
    """Classes that are trained on without a test picture, with the pictures they have; `test` holds the others."""
    missing = [f"{name} ({len(photos)})" for name, photos in source.items() if name not in test]
    if not missing:
        return []
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    why = f", for want of {least} different pictures" if least > 1 else ""
    return [
        f"{len(missing)} of {len(source)} classes are trained on and not tested{why}: "
        f"{', '.join(missing[:MOST_NAMED])}{more}"
    ]
