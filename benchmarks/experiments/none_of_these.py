"""Which score of the probabilities tells photographs of something else, float and int8, with and without examples?

    python -m experiments.none_of_these FLOWERS OTHERS

FLOWERS holds train, val and test of five classes. Each is left out in turn: a linear probe on Lite0 learns the other
four, alone and with half of OTHERS as a fifth class. Its float and int8 files answer val and test of the four (to be
kept), all photographs of the class left out, and the other half of OTHERS (to be turned away). Printed: the area under
the ROC curve, and the share of what should be turned away that is kept when 95% of the four are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.routes import litert
from edgefit_converters.routes.deploy import deploy
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.interpreter import Floats, Pixels, TFLite
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.report.derive import auroc, kept_at_95
from edgefit_toolkit.training.features import UpperPart
from edgefit_toolkit.training.linear_probe import best_probe, fit_probes, fit_temperature

LEAST = 1 / 512  # half a step of the int8 output

Score = Callable[[Floats], Floats]  # probabilities [N, classes] -> how likely each is one of the classes [N]
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
        """The float and the int8 file of a probe that knows these classes, and perhaps examples of others."""
        parts = {split: [self.pixels[split, name] for name in known] for split in ("train", "val")}
        if examples:
            parts["train"].append(self.others[0])
            parts["val"].append(self.others[1])
        x = {split: torch.cat([self.features(array) for array in arrays]) for split, arrays in parts.items()}
        y = {s: torch.from_numpy(np.repeat(np.arange(len(a)), [len(p) for p in a])) for s, a in parts.items()}
        n = len(parts["train"])
        probe = best_probe(fit_probes(x["train"], y["train"], x["val"], y["val"], n))
        network = load_network(with_classes(released("lite0"), n), allow_download=False)[0].eval()
        probe.into(network.classifier)
        temperature = fit_temperature(torch.nn.functional.linear(x["val"], probe.weight, probe.bias), y["val"])
        litert.export_deployed(deploy(network, temperature), folder / "float.tflite")
        yield "float", folder / "float.tflite"
        calibration = np.concatenate(parts["train"])
        quantize_int8(folder / "float.tflite", calibration[:: len(calibration) // 64], folder / "int8.tflite")
        yield "int8", folder / "int8.tflite"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flowers", type=Path)
    parser.add_argument("others", type=Path)
    chosen = parser.parse_args()
    bench, found = (
        Bench(chosen.flowers, chosen.others),
        defaultdict[tuple[str, str, str], list[tuple[float, float]]](list),
    )
    with tempfile.TemporaryDirectory() as scratch:
        for left_out in bench.classes:
            known = [name for name in bench.classes if name != left_out]
            keep = np.concatenate([bench.pixels[split, name] for split in ("val", "test") for name in known])
            away = {
                "class left out": np.concatenate([bench.pixels[s, left_out] for s in ("train", "val", "test")]),
                "other things": bench.others[2],
            }
            for examples in (False, True):
                for kind, path in bench.files(known, examples, Path(scratch)):
                    model = TFLite(path)
                    kept = model.predict(keep)
                    for what, pixels in away.items():
                        turned = model.predict(pixels)
                        scores = (
                            SCORES
                            if not examples
                            else {
                                f"{name}, of the classes": lambda p, s=score: s(p[:, :-1])
                                for name, score in SCORES.items()
                            }
                            | {"not the other class": lambda p: 1 - p[:, -1]}
                        )
                        for name, score in scores.items():
                            ours, theirs = score(kept), score(turned)
                            found[what, name, kind].append((auroc(ours, theirs), kept_at_95(ours, theirs)))
            print(f"{left_out} left out", flush=True)
    print("| turned away | score | float AUROC | FPR95 | int8 AUROC | FPR95 |\n|---|---|--:|--:|--:|--:|")
    for what, name in dict.fromkeys((what, name) for what, name, _ in found):
        means = [np.mean(found[what, name, kind], 0) for kind in ("float", "int8")]
        print(f"| {what} | {name} | " + " | ".join(f"{a:.3f} | {f:.3f}" for a, f in means) + " |")


if __name__ == "__main__":
    main()
