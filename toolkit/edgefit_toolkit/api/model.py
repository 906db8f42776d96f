"""A finished run as its app answers: the int8 file, its preprocessing, its names, its "not sure"."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefit_toolkit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from edgefit_toolkit.interpreter import Floats

SCHEMA = "edgefit.answers/1"


@dataclass(frozen=True)
class Guess:
    """One class and how likely the int8 model holds it."""

    name: str
    probability: float  # of the softmax, its temperature fitted on validation pictures


@dataclass(frozen=True)
class Answer:
    """What the app would say of one picture."""

    picture: str
    name: str  # the likeliest class, or the node of the taxonomy that is sure enough
    probability: float
    sure: bool  # False: the app says "not sure"
    classes: tuple[Guess, ...]  # every class, likeliest first
    rank: str = "class"  # or a rank of the taxonomy
    other: bool = False  # whether it is none of these

    @property
    def words(self) -> str:
        """`rose`, `family Rosaceae` or `not sure`."""
        if not self.sure:
            return "not sure"
        return self.name if self.rank == "class" else f"{self.rank} {self.name}"

    def __str__(self) -> str:
        guesses = ", ".join(f"{guess.name} {guess.probability:.2f}" for guess in self.classes[:3])
        return f"{self.words} ({self.probability:.2f})" if self.sure else f"not sure ({guesses})"

    def as_json(self, most: int | None = None) -> dict[str, Any]:
        """One of `answers` in `edgefit.answers/1`, with the `most` likeliest classes (None: all)."""
        return asdict(self) | {"classes": [asdict(guess) for guess in self.classes[:most]]}


class Model:
    """The int8 model of a run, callable on pictures; `load` makes it.

    Attributes: `classes` (names in the model's order), `resolution_px`, `threshold` (below it: "not sure"); `taxonomy`
    and `thresholds` of its ranks, where the run has one.
    """

    def __init__(self, run_dir: Path, threads: int | None = None) -> None:
        from edgefit_toolkit.app.source import read_source
        from edgefit_toolkit.interpreter import TFLite

        source = read_source(run_dir)
        self.classes = tuple(label.common or label.label for label in source.labels)
        self.threshold = source.threshold
        self.taxonomy, self.thresholds = source.taxonomy, source.thresholds
        self._preprocessing = source.preprocessing
        self._network = TFLite(run_dir / source.report["models"]["int8"]["path"], threads)

    @property
    def resolution_px(self) -> int:
        """Height and width of what the network sees."""
        return self._preprocessing.resolution_px

    def __call__(self, picture: str | Path | Image.Image) -> Answer:
        """The answer to one picture, a file or an open Pillow image. Raises DataError when it is no picture."""
        return self.answer(self.probabilities(picture), _name_of(picture))

    def probabilities(self, picture: str | Path | Image.Image) -> Floats:
        """[classes], as the int8 model gives them."""
        from edgefit_toolkit.data import decoding, preprocessing
        from edgefit_toolkit.data.readers.folder import file_picture

        with decoding.quiet_pillow():
            try:
                if isinstance(picture, (str, Path)):
                    upright = decoding.decode(file_picture(Path(picture)))
                else:
                    upright = decoding.decode_opened(picture)
            except decoding.BrokenPicture as broken:
                raise DataError(
                    f"{_name_of(picture)} is not a picture that can be read: {broken}",
                    "JPEG, PNG, WebP, AVIF, TIFF, GIF and BMP are read",
                ) from broken
        pixels = preprocessing.apply(upright, self._preprocessing)
        probabilities: Floats = self._network.predict(pixels[None])[0]
        return probabilities

    def answer(self, probabilities: Floats, picture: str = "") -> Answer:
        """The answer that probabilities [classes] make."""
        order = np.argsort(-probabilities, kind="stable")
        guesses = tuple(Guess(self.classes[i], round(float(probabilities[i]), 6)) for i in order)
        best = guesses[0]
        if (tree := self.taxonomy) is not None:
            sums = tree.sums(probabilities[None])
            at = int(tree.answers(sums, self.thresholds)[0])
            if at < 0:
                return Answer(picture, best.name, best.probability, False, guesses)
            name = self.classes[at] if at < len(self.classes) else tree.nodes[at].name
            rank = tree.ranks[tree.nodes[at].rank]
            return Answer(picture, name, round(float(sums[0, at]), 6), True, guesses, rank)
        return Answer(picture, best.name, best.probability, best.probability >= self.threshold, guesses)


def load(run: str | Path, *, threads: int | None = None) -> Model:
    """The int8 model of a finished run directory.

    Raises InputError for an unfinished or damaged run, GuardFailed for one whose int8 model did not pass.
    """
    return Model(Path(run), threads)


def _name_of(picture: str | Path | Image.Image) -> str:
    return str(picture) if isinstance(picture, (str, Path)) else str(getattr(picture, "filename", "") or "picture")
