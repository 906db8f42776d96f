"""One network in the making: what its stages share, loaded when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgefit_toolkit.pipeline.run_directory.run import Run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Preprocessing, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefit_toolkit.data.answers.places import Places
    from edgefit_toolkit.data.answers.taxonomy import Taxonomy
    from edgefit_toolkit.data.dataset import Dataset, Photo
    from edgefit_toolkit.network.checkpoints import CheckpointMeta
    from edgefit_toolkit.network.efficientnet import EfficientNet
    from edgefit_toolkit.pipeline.measuring.bench import Bench
    from edgefit_toolkit.training.world import World

MOST_GUARDED = 1000  # pictures of val and of test: int8's agreement, at its floor of .95, is known to 1 point from both


@dataclass
class Job:
    """A variant, its pictures and the run directory. Pixels and networks are loaded once, when first needed."""

    settings: FitSettings
    run: Run
    ui: Ui
    variant: Variant  # with the data set's classes
    dataset: Dataset
    bench: Bench | None = None  # where the budget is to be met; None: not at hand
    last: int = 8  # number of the run's last stage
    taxonomy: Taxonomy | None = None  # over the data set's classes
    places: Places | None = None  # of the data set's classes
    world: World | None = None  # the processes that train; None: this one alone
    power: int = 1  # of the files' outputs (data/answers/power.py): that of the convert stage, once it ran

    @property
    def checkpoint(self) -> Path:
        """The fine-tuned network."""
        return self.run.path / "checkpoint.safetensors"

    @property
    def labels_file(self) -> Path:
        """The names of the classes, a line each."""
        return self.run.path / "labels.txt"

    @property
    def preprocessing_file(self) -> Path:
        """From a photograph to the network's input, for an app."""
        return self.run.path / "preprocessing.json"

    @property
    def float_tflite(self) -> Path:
        """The converted float network."""
        return self.run.path / "model_float.tflite"

    @property
    def int8_tflite(self) -> Path:
        """The model to ship."""
        return self.run.path / "model_int8.tflite"

    @property
    def answers_file(self) -> Path:
        """Probabilities of the test pictures, of all three networks."""
        return self.run.path / "answers.npz"

    @property
    def answer_file(self) -> Path:
        """How an app makes an answer of the int8 model's probabilities."""
        return self.run.path / "answer.json"

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """From photograph to pixels, for this variant."""
        from edgefit_toolkit.data.preprocessing import preprocessing_for

        return preprocessing_for(self.variant)

    @cached_property
    def _loaded(self) -> tuple[EfficientNet, CheckpointMeta]:
        from edgefit_toolkit.network.checkpoints import load_checkpoint

        return load_checkpoint(self.checkpoint)

    @property
    def network(self) -> EfficientNet:
        """The fine-tuned network, from its checkpoint."""
        return self._loaded[0]

    @property
    def meta(self) -> CheckpointMeta:
        """What the checkpoint says of itself: classes in their order, preprocessing, temperature, validated top-1."""
        return self._loaded[1]

    @property
    def temperature(self) -> float:
        """Divides the logits inside the .tflite files."""
        return self.meta.temperature * self.power

    @cached_property
    def test_pixels(self) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of the test split."""
        return self.pixels(self.dataset.test, "reading test pictures")

    @cached_property
    def val_pixels(self) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of the validation split."""
        return self.pixels(self.dataset.val, "reading validation pictures")

    @cached_property
    def judged_val(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pixels uint8 [N, R, R, 3] and labels [N] of the validation pictures that the guard looks at.

        All of the split, or MOST_GUARDED of a large one: a seeded sample of every class.
        """
        return self._judged("val", self.val_pixels)

    @cached_property
    def judged_test(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The same of the test pictures."""
        return self._judged("test", self.test_pixels)

    def _judged(
        self, split: Literal["val", "test"], pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        from edgefit_toolkit.data.dataset import labels
        from edgefit_toolkit.data.splits import sampled_rows

        truth = labels(self.dataset.split(split))
        rows = sampled_rows(truth.tolist(), MOST_GUARDED, self.settings.seed)
        if len(rows) == len(truth):
            return pixels, truth
        self.ui.note(f"the guard looks at {len(rows):,} of {len(truth):,} {split} pictures, a sample of every class")
        return pixels[rows], truth[rows]

    def pixels(self, photos: Sequence[Photo], label: str) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of any photographs, with progress; many lie in a file that goes with the process."""
        from edgefit_toolkit.data.pixels import load_pixels

        return load_pixels(photos, self.preprocessing, on_progress=self.ui.progress, label=label, folder=self.run.path)
