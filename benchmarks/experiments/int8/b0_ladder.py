"""The ladder on a B network: swish and squeeze-excite, where plain int8 is known to fall.

    python -m experiments.int8.b0_ladder ../shared/data/flowers --resolution 96 --epochs 4

B0's released weights need a network connection, so this B0 is distilled here. It begins with Lite0's ImageNet weights
where the shapes match (all but squeeze-excite), gates that are all but open and batch norms measured anew, and learns,
from the train photographs and their mirror images, the answers of a Lite0 with a linear probe on them. Calibrated on
every second train photograph, the last step trains on all; held out are val and test. Writes b0_ladder.json and .md
into benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor
from torch.optim.swa_utils import update_bn

from edgefit_converters.judge.holdout import JudgedStep, table
from edgefit_converters.ladder.climb import climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import litert
from edgefit_converters.tflite import inspect
from edgefit_toolkit.data import pixels as picture_files
from edgefit_toolkit.data import preprocessing, sources
from edgefit_toolkit.data.dataset import Photo
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.network import scaling, weights
from edgefit_toolkit.network.efficientnet import EfficientNet, SqueezeExcite
from edgefit_toolkit.network.head import output_layer
from edgefit_toolkit.training.probe import linear_probe

RESULTS = Path(__file__).parents[2] / "results"
OPEN_GATE = 3.0  # bias of a gate before training: sigmoid(3) = .95
BATCH = 16
CALIBRATION = 100  # about as many photographs
LEARNING_RATE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="a folder with train, val and test")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    dataset = sources.load_dataset(str(arguments.photographs), seed=0)
    train, held_out = dataset.train, (*dataset.val, *dataset.test)
    lite, _ = weights.load_network(scaling.with_classes(scaling.released("lite0"), len(dataset.classes)))
    lite = lite.at_resolution(arguments.resolution).eval()
    pixels, held_pixels = read(train, lite), read(held_out, lite)
    labels, held_labels = labels_of(train), labels_of(held_out)
    teach(lite, pixels, labels, held_pixels[: len(dataset.val)], held_labels[: len(dataset.val)])
    network = b0_from(lite, arguments.resolution)
    update_bn(images(pixels).split(BATCH), network)
    distil(network, lite, images(pixels), arguments.epochs)
    accuracy = {
        name: float((answers(net, held_pixels).argmax(1).numpy() == held_labels).mean())
        for name, net in (("Lite0, the teacher", lite), ("B0, float", network))
    }
    print(accuracy, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        float_path, out = Path(folder) / "float.tflite", Path(folder) / "int8.tflite"
        litert.export_float(network, float_path)
        every = max(1, len(pixels) // CALIBRATION)
        calibration, more = pixels[::every], np.delete(pixels, np.s_[::every], axis=0)
        steps: list[JudgedStep] = []

        def heard(step: JudgedStep) -> None:
            steps.append(step)
            print(step.sentence, flush=True)

        facts = {}
        try:
            evidence = Evidence(
                float_path,
                calibration,
                held_pixels,
                held_labels,
                more_pixels=lambda: more,  # as the pipeline does for the last step
            )
            result = climb(evidence, out, Recipe(first=STEPS[-1].name), on_step=heard)
            read_back = inspect.read_model(out)
            facts = {"operators": read_back.ops, "partitions": read_back.partitions, "outside": read_back.fallback}
            verdict = f"handed over with every step climbed: {result.chosen}"
        except GuardFailed as failed:
            verdict = failed.message.splitlines()[0]
    document = {
        "network": f"B0 at {arguments.resolution} px, distilled from Lite0 on {len(pixels)} photographs, "
        f"{arguments.epochs} epochs; not the released weights; calibrated on {len(calibration)} of them, "
        "the last step trained on all",
        "held_out": f"{len(held_pixels)} photographs (val and test); val also chose the teacher's probe",
        "hardware": f"{cpu_name()}, {arguments.threads} threads",
        "versions": {name: version(name) for name in ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")}
        | {"python": platform.python_version()},
        "top1": accuracy,
        "verdict": verdict,
        "int8": facts,
        "steps": [
            {
                "step": step.name,
                "top1_agreement": step.parity.top1,
                "top5_agreement": step.parity.top5,
                "sqnr_db": round(step.parity.sqnr_db, 2),
                "seconds": round(step.seconds, 1),
                "shortfalls": list(step.shortfalls),
            }
            for step in steps
        ],
    }
    (RESULTS / "b0_ladder.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "b0_ladder.md").write_text(markdown(document, table(steps)))
    print(markdown(document, table(steps)))


def read(photos: Sequence[Photo], network: EfficientNet) -> Pixels:
    """uint8 [N, R, R, 3], as the network takes them."""
    return picture_files.load_pixels(photos, preprocessing.preprocessing_for(network.variant))


def images(pixels: Pixels) -> Tensor:
    """(pixels - 127) / 128 [N, 3, R, R]."""
    return preprocessing.to_network_input(pixels).contiguous(memory_format=torch.channels_last)


def answers(network: EfficientNet, pixels: Pixels) -> Tensor:
    """Logits [N, classes]."""
    with torch.no_grad():
        return torch.cat([network.eval()(part) for part in images(pixels).split(BATCH)])


def teach(lite: EfficientNet, pixels: Pixels, labels: np.ndarray, val_pixels: Pixels, val_labels: np.ndarray) -> None:
    """A linear probe as the teacher's classifier."""
    with torch.no_grad():
        features, val = (
            torch.cat([lite.features(part) for part in images(group).split(BATCH)]) for group in (pixels, val_pixels)
        )
    probes = linear_probe.fit_probes(
        features, torch.from_numpy(labels), val, torch.from_numpy(val_labels), lite.variant.classes
    )
    linear_probe.best_probe(probes).into(output_layer(lite.classifier))


def b0_from(lite: EfficientNet, resolution_px: int) -> EfficientNet:
    """A B0 with Lite0's weights in every layer that both have."""
    variant = replace(scaling.released("b0"), classes=lite.variant.classes)
    network = EfficientNet.from_variant(variant).at_resolution(resolution_px)
    shared, state = lite.state_dict(), network.state_dict()
    state |= {name: value.clone() for name, value in shared.items() if state[name].shape == value.shape}
    network.load_state_dict(state)
    with torch.no_grad():
        # the B family normalizes its input by ImageNet's deviation; the mean is left to the batch norm
        assert network.input_norm is not None
        network.stem.conv.weight /= network.input_norm.weight.view(1, 3, 1, 1)
        for module in network.modules():
            if isinstance(module, SqueezeExcite):
                module.expand.weight *= 0.1
                assert module.expand.bias is not None
                torch.nn.init.constant_(module.expand.bias, OPEN_GATE)
    return network


def distil(network: EfficientNet, teacher: EfficientNet, photos: Tensor, epochs: int) -> None:
    """Trains every weight of `network`, in place, to give the teacher's logits."""
    steps = epochs * (len(photos) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for chosen in torch.randperm(len(photos)).split(BATCH):
            if len(chosen) < BATCH:
                continue
            batch = photos[chosen] if epoch % 2 else photos[chosen].flip(3)
            with torch.no_grad():
                wanted = teacher(batch)
            loss = F.mse_loss(network(batch), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(photos) // BATCH):.2f}", flush=True)
    update_bn(photos.split(BATCH), network)
    network.eval()


def markdown(document: Mapping[str, object], rows: str) -> str:
    """The table with what it was measured on."""
    top1 = ", ".join(f"{name} {value:.3f}" for name, value in dict(document["top1"]).items())  # type: ignore[call-overload]
    return "\n".join(
        [
            "# The ladder on a B network",
            "",
            f"{document['network']}; judged on {document['held_out']}; {document['hardware']}.",
            ", ".join(f"{name} {number}" for name, number in dict(document["versions"]).items()) + ".",  # type: ignore[call-overload]
            f"Top-1 of the networks in float: {top1}. Seconds beside other work on the machine.",
            "",
            rows,
            "",
            f"Verdict, by the product's floors: {document['verdict']}.",
            f"The int8 file: {document['int8'] or 'none'}.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
