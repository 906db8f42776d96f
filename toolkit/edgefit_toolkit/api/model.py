"""A finished run as its app answers: the int8 file, its preprocessing, its names, its "not sure"."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefit_toolkit.errors import DataError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from edgefit_toolkit.interpreter import Floats

SCHEMA = "edgefit.answers/1"


@dataclass(frozen=True)
class Guess:
    """One class and how likely the int8 model holds it."""

    name: str
    probability: float  # of the softmax, its temperature fitted on validation pictures
    seldom: bool = False  # whether it seldom occurs in the place and month that were named

    def as_json(self) -> dict[str, Any]:
        """`name`, `probability`; `seldom` where it is so."""
        doc = asdict(self)
        return doc if self.seldom else {"name": doc["name"], "probability": doc["probability"]}

    def __str__(self) -> str:
        return f"{self.name} {self.probability:.2f}{' (seldom seen here)' if self.seldom else ''}"


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
    seldom: bool = False  # whether it seldom occurs in the place and month that were named

    @property
    def words(self) -> str:
        """`rose`, `family Rosaceae`, `not sure` or `none of these`."""
        if not self.sure:
            return "none of these" if self.other else "not sure"
        return self.name if self.rank == "class" else f"{self.rank} {self.name}"

    def __str__(self) -> str:
        guesses = ", ".join(map(str, self.classes[:3]))
        return f"{self.words} ({self.probability:.2f})" if self.sure else f"{self.words} ({guesses})"

    def as_json(self, most: int | None = None) -> dict[str, Any]:
        """One of `answers` in `edgefit.answers/1`, with the `most` likeliest classes (None: all)."""
        return asdict(self) | {"classes": [guess.as_json() for guess in self.classes[:most]]}


class Model:
    """The int8 model of a run, callable on pictures; `load` makes it.

    Attributes: `classes` (names in the model's order), `resolution_px`, `threshold` (of one class: below it
    "not sure"), `answering` (how answers are made: the tree, the thresholds of its ranks, the floor of "none of these",
    places).
    """

    def __init__(self, run_dir: Path, threads: int | None = None) -> None:
        from edgefit_toolkit.app.source import read_source
        from edgefit_toolkit.interpreter import TFLite

        source = read_source(run_dir)
        self.classes = tuple(label.common or label.label for label in source.labels)
        self.answering, self.threshold = source.answering, source.threshold
        self._preprocessing = source.preprocessing
        self._network = TFLite(run_dir / source.report["models"]["int8"]["path"], threads)

    @property
    def resolution_px(self) -> int:
        """Height and width of what the network sees."""
        return self._preprocessing.resolution_px

    def __call__(
        self, picture: str | Path | Image.Image, *, region: str | None = None, month: int | None = None
    ) -> Answer:
        """The answer to one picture, a file or an open Pillow image, perhaps with where and when it was taken.

        Raises DataError when it is no picture, InputError for a region or month that the run does not know.
        """
        return self.answer(self.outputs(picture), _name_of(picture), region=region, month=month)

    def probabilities(self, picture: str | Path | Image.Image) -> Floats:
        """float32 [classes], whatever place and season say."""
        from edgefit_toolkit.data.answers.power import to_power

        found: Floats = to_power(self.outputs(picture)[None], self.answering.power)[0].astype("float32")
        return found

    def outputs(self, picture: str | Path | Image.Image) -> Floats:
        """float32 [classes], as the int8 model gives them."""
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
        outputs: Floats = self._network.predict(pixels[None])[0]
        return outputs

    def answer(
        self, outputs: Floats, picture: str = "", *, region: str | None = None, month: int | None = None
    ) -> Answer:
        """The answer that the model's outputs [classes] make. Raises InputError as calling it does."""
        how = self.answering
        seldom = self._seldom(region, month)
        weighed = how.weighed(outputs[None], seldom)
        guesses = tuple(
            Guess(self.classes[i], round(float(weighed[0, i]), 6), bool(seldom[i]))
            for i in sorted(how.known, key=lambda i: (-weighed[0, i], i))
        )
        best, other = guesses[0], bool(how.is_other(outputs[None])[0])
        at = int(how.answers(outputs[None], seldom)[0])
        if at < 0:
            return Answer(picture, best.name, best.probability, False, guesses, other=other, seldom=best.seldom)
        node, total = how.tree.nodes[at], float(how.tree.sums(weighed)[0, at])
        if at < len(self.classes):
            return Answer(picture, self.classes[at], round(total, 6), True, guesses, seldom=bool(seldom[at]))
        return Answer(picture, node.name, round(total, 6), True, guesses, how.tree.ranks[node.rank])

    def check_place(self, region: str | None, month: int | None) -> None:
        """Raises InputError for a region or month that the run does not know."""
        places = self.answering.places
        if region is None and month is None:
            return
        if places is None:
            raise InputError("this run knows no places", "make it with a places.csv: edgefit fit --places FILE")
        if region is not None and region not in places.regions:
            raise InputError(f"this run knows no region {region!r}", f"known: {', '.join(places.regions)}")
        if month is not None and not 1 <= month <= 12:
            raise InputError(f"{month} is no month", "valid: 1 to 12")

    def _seldom(self, region: str | None, month: int | None) -> NDArray[np.bool_]:
        self.check_place(region, month)
        places, count = self.answering.places, len(self.classes)
        return np.zeros(count, bool) if places is None else places.seldom(count, region, month)


def load(run: str | Path, *, threads: int | None = None) -> Model:
    """The int8 model of a finished run directory.

    Raises InputError for an unfinished or damaged run, GuardFailed for one whose int8 model did not pass.
    """
    return Model(Path(run), threads)


def _name_of(picture: str | Path | Image.Image) -> str:
    return str(picture) if isinstance(picture, (str, Path)) else str(getattr(picture, "filename", "") or "picture")
