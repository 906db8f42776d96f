"""One run in progress: what the stages share, loaded when first needed, and the rule for skipping a finished stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.pipeline.run import Run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Preprocessing, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefit_toolkit.data.dataset import Dataset, Photo
    from edgefit_toolkit.network.checkpoints import CheckpointMeta
    from edgefit_toolkit.network.efficientnet import EfficientNet

Work = Callable[[], tuple[dict[str, Any], list[Path]]]


@dataclass
class Job:
    """The state that stages hand on. Pixels and networks are loaded once, and only by a stage that runs."""

    settings: FitSettings
    run: Run
    ui: Ui
    variant: Variant  # with the data set's classes
    dataset: Dataset
    total_stages: int

    @property
    def checkpoint(self) -> Path:
        """The fine-tuned network."""
        return self.run.path / "checkpoint.safetensors"

    @property
    def float_tflite(self) -> Path:
        """The converted float network."""
        return self.run.path / "model_float.tflite"

    @property
    def int8_tflite(self) -> Path:
        """The model to ship."""
        return self.run.path / "model_int8.tflite"

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

    @cached_property
    def test_pixels(self) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of the test split."""
        return self._pixels(self.dataset.test, "reading test pictures")

    @cached_property
    def val_pixels(self) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of the validation split."""
        return self._pixels(self.dataset.val, "reading validation pictures")

    def pixels(self, photos: tuple[Photo, ...], label: str) -> NDArray[np.uint8]:
        """uint8 [N, R, R, 3] of any photographs, with progress."""
        return self._pixels(photos, label)

    def _pixels(self, photos: tuple[Photo, ...], label: str) -> NDArray[np.uint8]:
        from edgefit_toolkit.data.pixels import load_pixels

        return load_pixels(photos, self.preprocessing, on_progress=self.ui.progress, label=label)

    def stage(self, number: int, title: str, name: str, key: str, work: Work) -> dict[str, Any]:
        """The stage's value: from the manifest when it ran with this very key, else by running it now."""
        value = self.run.done(name, key)
        self.ui.stage(number, self.total_stages, title, resumed=value is not None)
        if value is not None:
            return value
        started = time.monotonic()
        value, files = work()
        return self.run.finish(name, key, value, files, time.monotonic() - started)
