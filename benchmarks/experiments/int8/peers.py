"""int8 by other tools, on the photographs of guard_ladder.py: TensorFlow's converter, ONNX Runtime, OpenVINO with NNCF.

    python -m experiments.int8.peers judge ../shared/data/imagenet-samples lite0 lite1 lite2 --work DIR [--others ...]
    python -m experiments.int8.peers time --work DIR      (on a quiet machine: latency ratios of the models of `judge`)
    python -m experiments.int8.peers page                 (peers.md again, after guard_ladder.py has run)

Every tool gets the same network (batch norms folded), the same photographs to calibrate on and the same to be judged by
as edgefit's ladder (experiments.int8.halves). ONNX Runtime and OpenVINO live in an environment of their own, made on
first use from peer_workers/lock.txt. Writes peers.json and .md into benchmarks/results, edgefit's steps from
guard_ladder.json beside the peers'.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import OpenSession, measure_interleaved
from edgefit_converters.int8 import quantize
from edgefit_converters.judge.parity import compare_answers
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy, litert, onnx_export, open_route
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.routes.environments import Lock, ensure
from edgefit_converters.routes.route import Draft
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.interpreter import Floats, TFLite
from edgefit_toolkit.network import scaling, weights
from edgefit_toolkit.records import Parity, Preprocessing
from experiments.int8 import peer_table
from experiments.int8.halves import Half, described, join, read_halves, split_others

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results"
LOCK = Lock("peers", HERE / "peer_workers" / "lock.txt")
WORKERS = {
    "ONNX Runtime": HERE / "peer_workers" / "onnxruntime_worker.py",
    "OpenVINO": HERE / "peer_workers" / "openvino_worker.py",
}
OPENED_BY = {".onnx": "ONNX Runtime", ".xml": "OpenVINO"}
TENSORFLOW = "TensorFlow's converter"
FLOAT = "float32"
TIMED = ("U8S8 min-max", "S8S8 min-max", "NNCF mixed preset")  # how ranges were chosen changes no latency
BASE = "edgefit"
OPSET = 17


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    judged = commands.add_parser("judge", help="quantize with every tool and compare the answers")
    judged.add_argument("photographs", type=Path, help="a folder with labels.csv (column `file`)")
    judged.add_argument("networks", nargs="+", help="released variants, such as lite0")
    judged.add_argument("--others", type=Path, help="a folder with other photographs to calibrate on, at any depth")
    judged.add_argument("--threads", type=int, default=2)
    timed = commands.add_parser("time", help="latency ratios of what `judge` left in its folder")
    timed.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    timed.add_argument("--repeats", type=int, default=3, help="with processes of their own; the median p50 counts")
    commands.add_parser("page", help="write peers.md from peers.json and guard_ladder.json")
    for command in (judged, timed):
        command.add_argument("--work", type=Path, required=True, help="a folder for models and arrays (1 GB)")
    arguments = parser.parse_args()
    path = RESULTS / "peers.json"
    if arguments.command == "judge":
        joining, _ = split_others(arguments.others)
        now = judge(arguments.photographs, joining, arguments.networks, arguments.work, arguments.threads)
        document = peer_table.merged(json.loads(path.read_text()) if path.exists() else {}, now)
    else:
        document = json.loads(path.read_text())
    if arguments.command == "time":
        document["latency"] = time_all(arguments.work, arguments.threads, arguments.repeats)
    path.write_text(json.dumps(document, indent=1) + "\n")
    page = peer_table.markdown(document, json.loads((RESULTS / "guard_ladder.json").read_text()))
    path.with_suffix(".md").write_text(page)
    print(page)


@dataclass(frozen=True)
class Answers:
    """What one tool's models said, one a half."""

    tool: str
    setting: str
    logits: list[Floats]  # of the half's held-out pictures
    seconds: float  # mean of quantizing
    versions: dict[str, str]


def judge(photographs: Path, joining: list[Path], networks: list[str], work: Path, threads: int) -> dict[str, Any]:
    """Every tool's int8 of every network; the models stay in WORK/<network>."""
    torch.set_num_threads(threads)
    python = ensure(LOCK, lambda what, done, total, detail="": print(f"{what}: {done} of {total}", flush=True))
    versions = {BASE: {name: version(name) for name in ("torch", "ai-edge-litert")}}
    versions[BASE]["python"] = platform.python_version()
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}  # int8, float
    for name in networks:
        variant = scaling.released(name)
        network = deploy.deploy(weights.load_network(variant)[0])
        how = preprocessing.preprocessing_for(variant)
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        halves = read_halves(photographs, how, joining)
        references = [reference(network, half, folder / f"{number}", how) for number, half in enumerate(halves)]
        make_base(network, halves[0], folder / f"{BASE}.tflite")
        export_onnx(network, folder / "float.onnx")
        workers = (_through_worker(python, tool, folder, len(halves), threads) for tool in WORKERS)
        for found in chain([_through_tensorflow(network, halves, folder)], *workers):
            parities = [compare(*pair) for pair in zip(references, found.logits, strict=True)]
            row = {"network": name, "tool": found.tool, "setting": found.setting, **join(parities)}
            rows[found.setting == FLOAT].append({**row, "seconds": round(found.seconds, 1)})
            versions[found.tool] = found.versions
            print(json.dumps(row), flush=True)
    return {
        "photographs": described(photographs, joining),
        "hardware": f"{cpu_name()}, {threads} threads",
        "versions": versions,
        "rows": rows[False],
        "floats": rows[True],
    }


def export_onnx(network: Deployed, path: Path) -> None:
    """The network as ONNX: float32 [1, 3, R, R] `image` -> `logits`."""
    size_px = network.variant.resolution_px
    with onnx_export.onnx_at_hand(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on its older exporter, the one that needs no onnxscript
        torch.onnx.export(
            network, (torch.zeros(1, 3, size_px, size_px),), path, dynamo=False, opset_version=OPSET,
            input_names=["image"], output_names=["logits"],
        )  # fmt: skip


def reference(network: Deployed, half: Half, folder: Path, how: Preprocessing) -> Floats:
    """The float network's logits of the held-out pictures; leaves both sets for the workers in the folder."""
    folder.mkdir(exist_ok=True)
    for name, pixels in (("calibration", half.calibration), ("holdout", half.holdout)):
        np.save(folder / f"{name}.npy", preprocessing.to_network_input(pixels, how).numpy())
    with torch.inference_mode():
        inputs = preprocessing.to_network_input(half.holdout, how)
        logits: Floats = torch.cat([network(picture[None]) for picture in inputs]).numpy()
    return logits


def make_base(network: Deployed, half: Half, path: Path) -> None:
    """edgefit's own int8, for its latency: every step's file has the same graph."""
    float_path = path.with_name("float.tflite")
    litert.export_deployed(network, float_path)
    quantize.quantize_int8(float_path, half.calibration, path)


def compare(reference_logits: Floats, logits: Floats) -> Parity:
    """Logits stand in for scores: the largest is the same."""
    return compare_answers((reference_logits, reference_logits), (logits, logits))


def _through_tensorflow(network: Deployed, halves: Sequence[Half], folder: Path) -> Answers:
    """edgefit's route through TensorFlow's converter, plain: no step of the ladder touches it."""
    route = open_route("tensorflow")
    float_path = folder / "tensorflow_float.tflite"
    route.export_float(network, float_path)
    started = time.monotonic()
    paths = [folder / f"tensorflow_{number}.tflite" for number in range(len(halves))]
    for path, half in zip(paths, halves, strict=True):
        route.quantize(Draft(float_path, half.calibration, ranges={}, scales=None, network=network), path, Recipe())
    seconds = (time.monotonic() - started) / len(halves)
    logits = [TFLite(path).logits(half.holdout) for path, half in zip(paths, halves, strict=True)]
    return Answers(TENSORFLOW, "as it comes (min-max)", logits, seconds, route.versions())


def _through_worker(python: Path, tool: str, folder: Path, halves: int, threads: int) -> Iterator[Answers]:
    """One for each of the worker's settings."""
    worker = WORKERS[tool]
    for setting in json.loads(_run(python, worker, "settings")):
        said, logits = [], []
        for number in range(halves):
            inputs, out = folder / str(number), folder / worker.stem / setting / str(number)
            out.mkdir(parents=True, exist_ok=True)
            files = ["--onnx", folder / "float.onnx", "--calibration", inputs / "calibration.npy"]
            files += ["--holdout", inputs / "holdout.npy", "--out", out]
            printed = _run(python, worker, "quantize", setting, *files, "--threads", threads)
            said.append(json.loads(printed.splitlines()[-1]))  # below the tool's own progress bars
            logits.append(np.load(out / "logits.npy"))
        yield Answers(tool, setting, logits, fmean(s["seconds"] for s in said), said[0]["versions"])


def _run(python: Path, worker: Path, *arguments: object) -> str:
    """What the worker prints."""
    ran = subprocess.run([python, worker, *map(str, arguments)], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(f"{worker.name} {arguments[0]} failed: {ran.stderr.strip()[-2000:]}")
    return ran.stdout


def time_all(work: Path, threads: list[int], repeats: int) -> dict[str, Any]:
    """p50 of every tool's int8 model in turns, and its ratio to edgefit's."""
    python = ensure(LOCK)
    rows = []
    for folder in sorted(path.parent for path in work.glob(f"*/{BASE}.tflite")):
        models = dict(_models(folder))
        openers = {tool: _opener(python, path) for tool, path in models.items() if path.suffix in OPENED_BY}
        for n in threads:
            rounds = [
                measure_interleaved(
                    LocalTarget(), models, TimingOptions(threads=n, max_seconds=3.0, seed=seed), openers=openers
                )
                for seed in range(repeats)
            ]
            for tool in models:
                p50_ms = [summarise(measured[tool].samples_ms).p50_ms for measured in rounds]
                row = {"network": folder.name, "tool": tool, "threads": n, "runtime": rounds[0][tool].runtime}
                rows.append({**row, "p50_ms": p50_ms})
    return {"base": BASE, "hardware": cpu_name(), "rows": peer_table.ratios(rows, BASE)}


def _opener(python: Path, path: Path) -> OpenSession:
    """Opens a model of a peer's format by its worker."""
    worker = (str(python), str(WORKERS[OPENED_BY[path.suffix]]), "time")
    return lambda model, options: HostSession(model, options, worker=worker)


def _models(folder: Path) -> Iterator[tuple[str, Path]]:
    """What `judge` made of a network, one file a runtime and number format."""
    yield BASE, folder / f"{BASE}.tflite"
    yield TENSORFLOW, folder / "tensorflow_0.tflite"
    for tool, worker in WORKERS.items():
        for setting in TIMED:
            for path in sorted((folder / worker.stem / setting / "0").glob("*")):
                if path.name in ("int8.onnx", "model.xml"):
                    yield f"{tool}, {setting}", path


if __name__ == "__main__":
    main()
