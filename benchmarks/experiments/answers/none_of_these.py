"""Which score of the probabilities tells photographs of something else, float and int8, with and without examples?

    python -m experiments.answers.none_of_these FLOWERS OTHERS --answers FILE.npz

FLOWERS holds train, val and test of five classes. Each is left out in turn, and the photographs of the other four are
cut into FOLDS: a linear probe on Lite0 learns all folds but one, alone and with a quarter of OTHERS as a fifth class.
Its float and int8 files, made as edgefit makes them where something may be turned away (square roots of
probabilities, the ladder's first step), answer the fold that they never saw (to be kept), all photographs of the class
left out, and the other half of OTHERS (to be turned away). Printed: the area under the ROC curve, and the share of
what should be turned away that is kept when 95% of the four are; of float, of the float softmax rounded to the steps
that an output of uint8 has, of int8.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgefit_converters.ladder.climb import climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.recipe import Floors, Recipe
from edgefit_converters.routes import litert
from edgefit_converters.routes.deploy import deploy
from edgefit_toolkit.data.answers.answering import Answering
from edgefit_toolkit.data.answers.power import to_power
from edgefit_toolkit.data.answers.taxonomy import Doubles, Indices
from edgefit_toolkit.data.answers.taxonomy_table import parse_taxonomy
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.interpreter import Floats, Pixels, TFLite
from edgefit_toolkit.network.head import output_layer
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.report.derive import auroc, kept_at_95
from edgefit_toolkit.training.inputs.features import UpperPart
from edgefit_toolkit.training.probe.linear_probe import best_probe, fit_probes, fit_temperature

FAMILIES = dict.fromkeys(("daisy", "dandelion", "sunflower"), "Asteraceae") | {"rose": "Rosaceae", "tulip": "Liliaceae"}
SPLITS = ("train", "val", "test")
FOLDS = 3
ROOTS = 2  # times the softmax's temperature, whose answers are then roots
DRAWS = 500  # of the bootstrap
RECIPE = Recipe(floors=Floors(top1=0.5, sqnr_db=6.0, accuracy_loss=0.2))  # edgefit's own, none refused
LEAST = 1 / 512  # half a step of the int8 output

Score = Callable[[NDArray[Any]], Any]  # probabilities [N, classes] -> how likely each is one of the classes [N]
SCORES: dict[str, Score] = {
    "largest probability": lambda p: p.max(1),
    "first less second": lambda p: np.sort(p, 1)[:, -1] - np.sort(p, 1)[:, -2],
    "entropy": lambda p: (p * np.log(np.maximum(p, LEAST))).sum(1),
    "generalized entropy, power .1": lambda p: -(np.maximum(p, LEAST) ** 0.1 * (1 - p + LEAST) ** 0.1).sum(1),
    "energy of log p, temperature 4": lambda p: -np.log((np.maximum(p, LEAST) ** 0.25).sum(1)),
}


class Bench:
    """Lite0 and the photographs."""

    def __init__(self, flowers: Path, others: Path) -> None:
        self.how = preprocessing_for(released("lite0"))
        self.network = load_network(released("lite0"), allow_download=False)[0].eval()
        self.classes = sorted(folder.name for folder in (flowers / "train").iterdir())
        self.own: dict[str, Indices] = {}  # which split of its folder a photograph of a class lies in, by its number
        self.pixels: dict[str, Pixels] = {}
        for name in self.classes:
            parts = [self._read(flowers / split / name) for split in SPLITS]
            self.pixels[name] = np.concatenate(parts)
            self.own[name] = np.repeat(np.arange(len(SPLITS)), [len(part) for part in parts])
        own = {name for one in self.classes for name in others.iterdir() if one in name.name}  # a daisy is no other
        everything = self._read(others, own)
        # to train on, to choose the probe's strength by, to be turned away
        self.others = everything[0::4], everything[2::4], everything[1::2]
        self._features: dict[str, torch.Tensor] = {}

    def _read(self, folder: Path, without: set[Path] | None = None) -> Pixels:
        return load_pixels([file_picture(f) for f in sorted(folder.iterdir()) if f not in (without or set())], self.how)

    @cached_property
    def _upper(self) -> UpperPart:
        return UpperPart(self.network, 0)

    def features(self, what: str, pixels: Pixels) -> torch.Tensor:
        """[N, 1280], pooled; computed once for each name."""
        if what not in self._features:
            with torch.inference_mode():
                rows = [self._upper.features(to_network_input(pixels[i : i + 20])) for i in range(0, len(pixels), 20)]
            self._features[what] = torch.cat(rows)
        return self._features[what].clone()

    def split(self, name: str, fold: int | None) -> Indices:
        """0, 1 or 2 for each photograph of a class: to train on, to validate and to test, where a fold is tested."""
        if fold is None:
            return self.own[name]
        number = np.arange(len(self.pixels[name]))
        rest = np.where(number // FOLDS % 5 == 0, 1, 0)
        return np.where(number % FOLDS == fold, 2, rest)

    def files(self, known: list[str], fold: int | None, examples: bool, folder: Path) -> Iterator[tuple[str, Path]]:
        """The float and the int8 files of a probe that knows these classes, and perhaps examples of others."""
        pixels: tuple[list[Pixels], list[Pixels]] = ([], [])  # of each class, to train on and to validate
        features: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for name in known:
            split, every = self.split(name, fold), self.features(name, self.pixels[name])
            for number in (0, 1):
                pixels[number].append(self.pixels[name][split == number])
                features[number].append(every[torch.from_numpy(split == number)])
        for number in (0, 1) if examples else ():
            pixels[number].append(self.others[number])
            features[number].append(self.features(f"others {number}", self.others[number]))
        n = len(pixels[0])
        y = [torch.from_numpy(np.repeat(np.arange(n), [len(part) for part in parts])) for parts in pixels]
        x = [torch.cat(parts) for parts in features]
        probe = best_probe(fit_probes(x[0], y[0], x[1], y[1], n))
        network = load_network(with_classes(released("lite0"), n), allow_download=False)[0].eval()
        probe.into(output_layer(network.classifier))
        temperature = fit_temperature(torch.nn.functional.linear(x[1], probe.weight, probe.bias), y[1])
        litert.export_deployed(deploy(network, temperature * ROOTS), folder / "float.tflite")
        yield "float", folder / "float.tflite"
        calibration, judged = (np.concatenate(parts) for parts in pixels)
        calibration = calibration[:: len(calibration) // RECIPE.calibration_photos]
        climb(Evidence(folder / "float.tflite", calibration, judged), folder / "int8.tflite", RECIPE)
        yield "int8", folder / "int8.tflite"


def collect(bench: Bench) -> dict[str, Floats]:
    """`class left out/fold/with examples/kind/what` -> what files say, [N, classes]: of known classes the photographs
    tested, all of the class left out (`away`), the examples that chose (`others1`) and the other things (`others2`);
    under `None/None` files that know every class, by the photographs' own splits (`val/CLASS`, `test/CLASS`)."""
    found: dict[str, Floats] = {}
    runs = [(left_out, fold) for left_out in bench.classes for fold in range(FOLDS)]
    with tempfile.TemporaryDirectory() as scratch:
        for left_out, fold in (*runs, (None, None)):
            known = [name for name in bench.classes if name != left_out]
            splits = {name: bench.split(name, fold) for name in known}
            pixels = {f"test/{name}": bench.pixels[name][splits[name] == 2] for name in known}
            pixels |= {f"val/{name}": bench.pixels[name][splits[name] == 1] for name in known}
            if left_out is not None:
                pixels["away"] = bench.pixels[left_out]
            pixels |= {"others1": bench.others[1], "others2": bench.others[2]}
            for examples in (False, True):
                for kind, path in bench.files(known, fold, examples, Path(scratch)):
                    model = TFLite(path)
                    for what, those in pixels.items():
                        found[f"{left_out}/{fold}/{examples}/{kind}/{what}"] = model.predict(those)
            print(f"{left_out} left out, fold {fold}", flush=True)
    return found


def up_the_families(known: list[str], examples: bool) -> Answering:
    """Over the known classes and, with examples, a last one of other things."""
    table = "class,family\n" + "".join(f"{name},{FAMILIES[name]}\n" for name in known)
    tree = parse_taxonomy(table, known, "families")
    return Answering(tree.with_class("other"), {}, other=len(known)) if examples else Answering(tree, {})


def scores_of(known: list[str], examples: bool) -> dict[str, Score]:
    """Every score of probabilities over the known classes and, with examples, one of other things."""
    how = up_the_families(known, examples)
    if not examples:
        return SCORES | {"certainty up the families": how.certainty}
    own = {name: lambda p, score=score: score(p[:, :-1]) for name, score in SCORES.items()}
    return own | {
        "1 - probability of the other class": lambda p: 1 - p[:, -1],
        "certainty up the families": how.certainty,
    }


def on_steps(probabilities: Doubles) -> Doubles:
    """As an output of uint8 can say them."""
    return np.asarray(np.rint(probabilities * 256).clip(0, 255) / 256)


@dataclass(frozen=True)
class Scores:
    """What one file after another says, fold by fold."""

    kept: Doubles  # [N], of each photograph of the known classes, by the file that never saw it
    away: Doubles  # [FOLDS, M], of each photograph that should be turned away, by every file

    def figures(self) -> tuple[float, float]:
        """AUROC and FPR95."""
        return auroc(self.kept, self.away.ravel()), kept_at_95(self.kept, self.away.ravel())

    def drawn(self, kept: Indices, away: Indices) -> Scores:
        """Of these photographs."""
        return Scores(self.kept[kept], self.away[:, away])


def apart(one: Scores, other: Scores, chance: np.random.Generator) -> Doubles:
    """[2]: how far one's AUROC and FPR95 lie above the other's, on pictures drawn with replacement."""
    kept, away = (chance.integers(0, n, n) for n in (len(one.kept), one.away.shape[1]))
    return np.subtract(one.drawn(kept, away).figures(), other.drawn(kept, away).figures())


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flowers", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("--answers", type=Path, required=True, help="An .npz: written, or read where it exists.")
    chosen = parser.parse_args()
    if not chosen.answers.exists():
        np.savez(chosen.answers, allow_pickle=False, **collect(Bench(chosen.flowers, chosen.others)))
    with np.load(chosen.answers) as file:
        answers = dict(file)
    kinds = ("float", "in 256 steps", "int8", "int8 less float")
    print("| turned away | score | " + " | ".join(f"{kind}: AUROC | FPR95" for kind in kinds) + " |")
    print("|---|---|" + "--:|" * 8)
    for examples in (False, True):
        for what, key in (("class left out", "away"), ("other things", "others2")):
            print("\n".join(rows(answers, examples, key, what + "; with examples" * examples)))


def rows(answers: Mapping[str, Floats], examples: bool, key: str, what: str) -> Iterator[str]:
    """A line for each score: means over the classes left out, and 95% intervals of what int8 changes."""
    chance = np.random.default_rng(0)
    figures, draws = defaultdict[str, list[list[float]]](list), defaultdict[str, list[Doubles]](list)
    for left_out in FAMILIES:
        known = sorted(set(FAMILIES) - {left_out})
        kept, away = defaultdict[str, list[Doubles]](list), defaultdict[str, list[Doubles]](list)
        for fold in range(FOLDS):
            for kind in ("float", "int8"):
                start = f"{left_out}/{fold}/{examples}/{kind}"
                tested = [answers[f"{start}/test/{name}"] for name in known]
                kept[kind].append(to_power(np.concatenate(tested), ROOTS))
                away[kind].append(to_power(answers[f"{start}/{key}"], ROOTS))
        for side in (kept, away):
            side["in 256 steps"] = [on_steps(some) for some in side["float"]]
        for name, score in scores_of(known, examples).items():
            said = {
                kind: Scores(np.concatenate([score(p) for p in kept[kind]]), np.stack([score(p) for p in away[kind]]))
                for kind in ("float", "in 256 steps", "int8")
            }
            figures[name].append([figure for scores in said.values() for figure in scores.figures()])
            draws[name].append(np.array([apart(said["int8"], said["float"], chance) for _ in range(DRAWS)]))
    for name in figures:
        means = np.mean(figures[name], 0)
        low, high = np.percentile(np.mean(draws[name], 0), (2.5, 97.5), axis=0)
        cells = [f"{value:.3f}" for value in means]
        cells += [f"{m:+.3f} ({a:+.3f} to {b:+.3f})" for m, a, b in zip(means[-2:] - means[:2], low, high, strict=True)]
        yield f"| {what} | {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
