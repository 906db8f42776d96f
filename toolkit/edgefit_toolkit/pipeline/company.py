"""Several processes for one run: the first does everything, the others train with it.

torchrun (or `edgefit --processes`, by torchrun's own launcher) starts every process with the same command. The first
checks, converts and writes; the others wait for an order, train with it, wait for the next, and end with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgefit_toolkit.errors import PeerLost, TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgefit_toolkit.data.dataset import Dataset
    from edgefit_toolkit.records import Variant
    from edgefit_toolkit.training.settings import TrainSettings
    from edgefit_toolkit.training.world import World


@dataclass(frozen=True)
class Order:
    """What all processes train; the first one has the weights."""

    variant: Variant
    dataset: Dataset
    settings: TrainSettings
    state_dir: Path
    teacher: Variant | None = None
    teacher_log_shares: Tensor | None = None


def several() -> bool:
    """Whether this process was started as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return not several() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def company() -> Iterator[World | None]:
    """The first process's world, None where it is the only one. The others are told to end with it."""
    if not several():
        yield None
        return
    from edgefit_toolkit.training.world import joined

    with joined() as world:
        yield world
        world.by_first(lambda: None)


def follow() -> None:
    """Every process but the first. Raises PeerLost, DataError."""
    from edgefit_toolkit.network.efficientnet import EfficientNet
    from edgefit_toolkit.training.fine_tune import fine_tune
    from edgefit_toolkit.training.teacher import Teacher
    from edgefit_toolkit.training.world import joined

    left = None  # of the training before
    with joined() as world:
        while (order := _next(world, left)) is not None:
            left, network, teacher = order.state_dir, EfficientNet.from_variant(order.variant), None
            if order.teacher is not None:
                teacher = Teacher(EfficientNet.from_variant(order.teacher), order.teacher_log_shares)
            try:
                fine_tune(
                    network, order.dataset, order.settings, state_dir=order.state_dir, world=world, teacher=teacher
                )
            except PeerLost:
                raise
            except TrainingError as error:  # the same in every process: the first one tells it
                raise SystemExit(error.exit_code) from error


def _next(world: World, left: Path | None) -> Order | None:
    """The first process's next order. By then it has recorded the last training: what is `left` of that here goes."""

    def given() -> Order | None:
        raise AssertionError("the first process gives the orders")

    order = world.by_first(given)
    if left is not None:
        shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):  # the state of another training lies beside it
            left.parent.rmdir()
    return order
