"""Which released networks a training could afford as its teacher. Pure: sizes alone decide, never a clock or a file.

Work is counted in multiply-adds of forward passes; a step of training is three of them (forward, the gradient of what
comes in, the gradient of the weights). The teacher's classifier is fitted to the crop and a view of each picture; then
it answers each view that is cached, or each picture of each epoch where every layer trains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training.compute import CPU_SLICE, Device
from edgefit_toolkit.training.inputs.features import PROBE_VIEWS_LIVE
from edgefit_toolkit.training.settings import (
    CPU_FORWARD_MADDS,
    CPU_TRAINING_MADDS,
    USUAL_PICTURES,
    TrainSettings,
    upper_madds,
)

# A teacher's work over that of the training, or of a usual one on as many pictures where that is more. Small networks
# and backward passes take more time than their multiply-adds tell, and pictures take some, so that a training with a
# teacher of 3 takes 2.4 to 3.3 times as long. CPU time that teachers added to a training on 40 flowers, over its own
# (Xeon with AMX, one thread): Lite0 learning from Lite1 and Lite2 .42 and .62 (counted .57 and .82), a network for 3 ms
# of a Pixel 4 (phi -3.12) learning from Lite0, Lite1 and Lite2 .86, 1.29 and 1.76 (counted 1.72, 2.69 and 3.85).
TIMES = 3
TRAINING_PASSES = 3
FITTED_VIEWS = 1  # beside the crop, of each picture that the teacher's classifier is fitted to
MEMORY_SHARE = 0.5  # of the processor's: the rest is for the network that trains, the pictures and other programs


@dataclass(frozen=True)
class TrainingWork:
    """What trains, on how many pictures, where."""

    variant: Variant
    settings: TrainSettings
    pictures: int
    device: Device = "cpu"

    @property
    def work(self) -> float:
        """Of this training without a teacher."""
        cached, variant = self.settings.unfreeze_from > 0, self.variant
        views = self.settings.views if cached else min(self.settings.views, PROBE_VIEWS_LIVE)
        trained = upper_madds(variant, self.settings.unfreeze_from) if cached else variant.madds
        return self.pictures * ((views + 1) * variant.madds + TRAINING_PASSES * self.settings.epochs * trained)

    @property
    def usual_work(self) -> float:
        """What a CPU is given for so many pictures: a network that takes less leaves the teacher as much."""
        more: float = max(1.0, self.pictures / USUAL_PICTURES) ** 0.5
        return more * (CPU_FORWARD_MADDS + TRAINING_PASSES * CPU_TRAINING_MADDS)

    def of_teacher(self, teacher: Variant) -> float:
        """The work of that teacher in this training."""
        answered = self.settings.views + 1 if self.settings.unfreeze_from > 0 else self.settings.epochs
        return self.pictures * (1 + FITTED_VIEWS + answered) * teacher.madds

    def memory_bytes(self, teacher: Variant) -> int:
        """Roughly what a teacher needs while it answers: its weights thrice (as they are, folded, on their way), and
        what the layer with the largest activations holds twice.

        Lite0, Lite4, B4 and B7: 89, 270, 543 and 1872 MB are told of a CPU, whose process grew by 95, 246 to 344, 409
        and up to 1474; .43, 1.2, 2.9 and 9.6 GB of a GPU at 32 pictures, where an H100's had .74, 1.8, 3.1 and 9.9.
        """
        at_once = CPU_SLICE if self.device == "cpu" else self.settings.batch
        largest = max(math.prod(layer.in_shape) + math.prod(layer.out_shape) for layer in operators(teacher))
        return 4 * (3 * teacher.params + 2 * at_once * largest)


@dataclass(frozen=True)
class Candidate:
    """A released network, larger than the one that trains, and what it would cost as the teacher."""

    variant: Variant  # with the data set's classes
    times: float  # its work over that of the training itself
    most: float  # of these times that are afforded
    memory_bytes: int

    def too_much(self, memory_bytes: int) -> str:
        """Why a machine with so much memory cannot afford it; empty where it can."""
        if self.times > self.most:
            return f"would cost {self.times:.1f} times as much as the training itself, and {self.most:.1f} is the most"
        if self.memory_bytes > MEMORY_SHARE * memory_bytes:
            return (
                f"would take {self.memory_bytes / 1e9:.1f} GB of memory, more than {MEMORY_SHARE:.0%} of "
                f"the {memory_bytes / 1e9:.1f} GB that there are"
            )
        return ""


def candidates(training: TrainingWork) -> Sequence[Candidate]:
    """The released networks of the family that need more multiply-adds than the one that trains, smallest first.

    None where nothing is fine-tuned: a teacher would have nobody to tell.
    """
    if training.settings.epochs == 0:
        return ()
    work, own = training.work, training.variant
    most = TIMES * max(training.usual_work, work) / work
    all_released = (released(name, own.classes) for name in family_named(own.family).released)
    larger = sorted((other for other in all_released if other.madds > own.madds), key=lambda other: other.madds)
    return [Candidate(other, training.of_teacher(other) / work, most, training.memory_bytes(other)) for other in larger]
