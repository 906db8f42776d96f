"""Which score of the probabilities tells photographs of something else, float and int8, with and without examples?

    python -m experiments.answers.none_of_these FLOWERS OTHERS --answers FILE.npz

FLOWERS holds train, val and test of five classes. Each is left out in turn: a linear probe on Lite0 learns the other
four, alone and with half of OTHERS as a fifth class. Its float and int8 files answer val and test of the four (to be
kept), all photographs of the class left out, and the other half of OTHERS (to be turned away). Printed: the area under
the ROC curve, and the share of what should be turned away that is kept when 95% of the four are; of float, of float
rounded to the steps that an output of uint8 has, of int8, of int8 that gives square roots.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.routes import litert
from edgefit_converters.routes.deploy import deploy
from edgefit_toolkit.data.answers.answering import Answering
from edgefit_toolkit.data.answers.power import to_power
from edgefit_toolkit.data.answers.taxonomy import Doubles
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
DRAWS = 500  # of the bootstrap
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
        self.classes = sorted(folder.name for folder in (flowers / "train").iterdir())
        self.pixels = {
            (split, name): self._read(flowers / split / name)
            for split in ("train", "val", "test")
            for name in self.classes
        }
        own = {name for one in self.classes for name in others.iterdir() if one in name.name}  # a daisy is no other
        everything = self._read(others, own)
        # to train on, to choose the probe's strength by, to be turned away
        self.others = everything[0::4], everything[2::4], everything[1::2]
        self._features: dict[int, torch.Tensor] = {}
        self.network = load_network(released("lite0"), allow_download=False)[0].eval()

    def _read(self, folder: Path, without: set[Path] | None = None) -> Pixels:
        return load_pixels([file_picture(f) for f in sorted(folder.iterdir()) if f not in (without or set())], self.how)

    @cached_property
    def _upper(self) -> UpperPart:
        return UpperPart(self.network, 0)

    def features(self, pixels: Pixels) -> torch.Tensor:
        """[N, 1280], pooled; computed once for each array."""
        if id(pixels) not in self._features:
            with torch.inference_mode():
                rows = [self._upper.features(to_network_input(pixels[i : i + 20])) for i in range(0, len(pixels), 20)]
            self._features[id(pixels)] = torch.cat(rows)
        return self._features[id(pixels)].clone()

    def files(self, known: list[str], examples: bool, folder: Path) -> Iterator[tuple[str, Path]]:
        """The float and the int8 files of a probe that knows these classes, and perhaps examples of others."""
        parts = {split: [self.pixels[split, name] for name in known] for split in ("train", "val")}
        if examples:
            parts["train"].append(self.others[0])
            parts["val"].append(self.others[1])
        x = {split: torch.cat([self.features(array) for array in arrays]) for split, arrays in parts.items()}
        y = {s: torch.from_numpy(np.repeat(np.arange(len(a)), [len(p) for p in a])) for s, a in parts.items()}
        n = len(parts["train"])
        probe = best_probe(fit_probes(x["train"], y["train"], x["val"], y["val"], n))
        network = load_network(with_classes(released("lite0"), n), allow_download=False)[0].eval()
        probe.into(output_layer(network.classifier))
        temperature = fit_temperature(torch.nn.functional.linear(x["val"], probe.weight, probe.bias), y["val"])
        calibration = np.concatenate(parts["train"])
        for power, int8 in ((1, "int8"), (2, "roots")):
            litert.export_deployed(deploy(network, temperature * power), folder / "float.tflite")
            if power == 1:
                yield "float", folder / "float.tflite"
            quantize_int8(folder / "float.tflite", calibration[:: len(calibration) // 64], folder / "int8.tflite")
            yield int8, folder / "int8.tflite"


def collect(bench: Bench) -> dict[str, Floats]:
    """`class left out/with examples/kind/what` -> probabilities [N, classes]: val and test of each class known, all
    photographs of the class left out (`away`), the examples that chose (`others1`) and the other things (`others2`);
    under `None` those of files that know every class."""
    found: dict[str, Floats] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for left_out in (*bench.classes, None):
            known = [name for name in bench.classes if name != left_out]
            pixels = {f"{split}/{name}": bench.pixels[split, name] for split in ("val", "test") for name in known}
            if left_out is not None:
                pixels["away"] = np.concatenate([bench.pixels[split, left_out] for split in ("train", "val", "test")])
            pixels |= {"others1": bench.others[1], "others2": bench.others[2]}
            for examples in (False, True):
                for kind, path in bench.files(known, examples, Path(scratch)):
                    model = TFLite(path)
                    for what, those in pixels.items():
                        found[f"{left_out}/{examples}/{kind}/{what}"] = model.predict(those)
            print(f"{left_out} left out", flush=True)
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


def apart(pairs: Sequence[tuple[Doubles, Doubles]], chance: np.random.Generator) -> Doubles:
    """[2]: how far the first file's AUROC and FPR95 lie above the last one's, on pictures drawn with replacement."""
    kept, away = (chance.integers(0, len(scores), len(scores)) for scores in pairs[0])
    first, *_, last = ((auroc(x[kept], y[away]), kept_at_95(x[kept], y[away])) for x, y in pairs)
    return np.subtract(first, last)


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
    kinds = ("float", "in 256 steps", "int8", "int8, roots", "float less int8, roots")
    print("| turned away | score | " + " | ".join(f"{kind}: AUROC | FPR95" for kind in kinds) + " |")
    print("|---|---|" + "--:|" * 10)
    for examples in (False, True):
        for what, key in (("class left out", "away"), ("other things", "others2")):
            print("\n".join(rows(answers, examples, key, what + "; with examples" * examples)))


def rows(answers: Mapping[str, Floats], examples: bool, key: str, what: str) -> Iterator[str]:
    """A line for each score: means over the classes left out, and 95% intervals of what int8 changes."""
    chance = np.random.default_rng(0)
    figures, draws = defaultdict[str, list[list[float]]](list), defaultdict[str, list[Doubles]](list)
    for left_out in FAMILIES:
        known = sorted(set(FAMILIES) - {left_out})
        files = []
        for kind, power in (("float", 1), ("int8", 1), ("roots", 2)):
            start = f"{left_out}/{examples}/{kind}"
            kept = np.concatenate([answers[f"{start}/{split}/{n}"] for split in ("val", "test") for n in known])
            files.append((to_power(kept, power), to_power(answers[f"{start}/{key}"], power)))
        files.insert(1, (on_steps(files[0][0]), on_steps(files[0][1])))
        for name, score in scores_of(known, examples).items():
            pairs = [(score(kept), score(away)) for kept, away in files]
            figures[name].append([figure(*pair) for pair in pairs for figure in (auroc, kept_at_95)])
            draws[name].append(np.array([apart(pairs, chance) for _ in range(DRAWS)]))
    for name in figures:
        cells = [f"{value:.3f}" for value in np.mean(figures[name], 0)]
        low, high = np.percentile(np.mean(draws[name], 0), (2.5, 97.5), axis=0)
        cells += [f"{a:+.3f} to {b:+.3f}" for a, b in zip(low, high, strict=True)]
        yield f"| {what} | {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
