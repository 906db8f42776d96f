"""The whole job on real photographs: one run, killed once on the way, and everything it must leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.report.schema import validate

EDGEFIT = Path(sys.executable).with_name("edgefit")
CLASSES = ("daisy", "rose", "sunflower")
FLAGS = (
    "--device",
    "pixel4",
    "--budget-ms",
    "7.3",
    "--scaling",
    "released",
    "--epochs",
    "3",
    "--offline",
    "--predict-only",
)


@pytest.fixture(scope="module")
def photographs(flowers_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of flowers, 24 / 12 / 12 photographs of each, and two files that are none."""
    folder = tmp_path_factory.mktemp("photographs")
    for split, n in (("train", 24), ("val", 12), ("test", 12)):
        for name in CLASSES:
            target = folder / split / name
            target.mkdir(parents=True)
            for photo in sorted((flowers_dir / split / name).iterdir())[:n]:
                shutil.copy(photo, target)
    whole = next((folder / "train" / "rose").iterdir())
    (folder / "train" / "rose" / "broken.jpg").write_bytes(whole.read_bytes()[:2000])
    (folder / "train" / "daisy" / "notes.jpg").write_text("daisies seen on Sunday\n")
    return folder


@pytest.fixture(scope="module")
def killed_then_finished(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run directory whose first process was killed during fine-tuning; what the second one said on stderr."""
    out = tmp_path_factory.mktemp("runs") / "flowers"
    command = [EDGEFIT, *FLAGS, "--data", photographs, "--out", out]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not list(out.glob("training-state/*/state.json")):  # the probe is saved: fine-tuning begins
        assert first.poll() is None, first.communicate()[1].decode()
        assert time.monotonic() < deadline, "no training state appeared"
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not (out / "report.json").exists()
    second = subprocess.run(command, capture_output=True, text=True, timeout=540)
    assert second.returncode == 0, second.stderr
    assert "predicted to answer on pixel4" in second.stdout
    return out, second.stderr


@pytest.fixture(scope="module")
def doc(killed_then_finished: tuple[Path, str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((killed_then_finished[0] / "report.json").read_text())
    return report


def test_a_killed_run_goes_on_where_it_was(killed_then_finished: tuple[Path, str]) -> None:
    assert "resumed after epoch" in killed_then_finished[1]


def test_the_report_keeps_its_contract(doc: dict[str, Any]) -> None:
    validate(doc)
    assert doc["schema"] == "edgefit.report/1"
    assert doc["plan"]["schema"] == "edgefit.plan/1"
    assert doc["plan"]["pick"]["released"] == "lite0"
    assert {"top1", "sqnr_db", "n"} <= set(doc["agreement"])
    assert {"hardware", "dtype", "p50_ms", "top1"} <= set(doc["reference"])
    for name in ("float_torch", "float_tflite", "int8_tflite"):
        assert doc["accuracy"][name]["n"] == 36
    for row in doc["measurements"]:
        assert len(row["samples_ms"]) >= 50
        assert row["origin"] == "measured on host"
        assert row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert doc["verdict"]["origin"] == "predicted"
    assert [times["model"] for times in doc["operator_times"]] == ["int8", "float"]
    for times in doc["operator_times"]:
        counts = {row["op"]: row["count"] for row in times["rows"]}
        assert counts == doc["models"][times["model"]]["ops"]
        assert times["origin"] == "measured on host"


def test_the_files_are_the_ones_that_the_report_names(
    killed_then_finished: tuple[Path, str], doc: dict[str, Any]
) -> None:
    out = killed_then_finished[0]
    for name in ("float", "int8"):
        model = doc["models"][name]
        content = (out / model["path"]).read_bytes()
        assert len(content) == model["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == model["sha256"]
    assert (out / "labels.txt").read_text().split() == list(CLASSES)
    assert not list(out.glob("**/.*.tflite*")), "half-written files"
    html = (out / "report.html").read_text()
    assert len(html) < 3_000_000


def test_the_int8_model_answers_raw_bytes_and_learned_the_flowers(
    killed_then_finished: tuple[Path, str], doc: dict[str, Any], photographs: Path
) -> None:
    model = TFLite(killed_then_finished[0] / doc["models"]["int8"]["path"])
    assert (model.input.dtype, model.output.dtype) == ("uint8", "uint8")
    assert model.input.shape == (1, 224, 224, 3)
    assert (model.input.scale, model.input.zero_point) == (1 / 128, 127)
    dataset = load_dataset(str(photographs), seed=0)
    pixels = load_pixels(dataset.test, preprocessing_for(released("lite0")))
    right = sum(
        int(row.argmax()) == photo.label for row, photo in zip(model.predict(pixels), dataset.test, strict=True)
    )
    assert right / len(dataset.test) == pytest.approx(doc["accuracy"]["int8_tflite"]["top1"])
    assert right / len(dataset.test) > 0.75  # chance is 0.33; a linear probe on 250 photographs reaches 0.9


def test_broken_files_are_named_and_left_out(killed_then_finished: tuple[Path, str], doc: dict[str, Any]) -> None:
    assert {row["file"] for row in doc["data"]["skipped"]} == {"broken.jpg", "notes.jpg"}
    assert "broken.jpg" in killed_then_finished[1]
    assert doc["data"]["counts"] == {"train": 72, "val": 36, "test": 36}


def test_the_same_command_again_repeats_no_stage(
    killed_then_finished: tuple[Path, str], photographs: Path, doc: dict[str, Any]
) -> None:
    out = killed_then_finished[0]
    done = subprocess.run(
        [EDGEFIT, *FLAGS, "--data", photographs, "--out", out, "--json"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("(done before)") == 5
    again = json.loads(done.stdout)
    assert again["models"] == doc["models"]
    assert again["measurements"] == doc["measurements"]


def test_the_trace_shows_this_very_network(doc: dict[str, Any]) -> None:
    steps = {step["step"]: step for step in doc["pipeline_trace"]}
    assert steps["features"]["shape"] == [7, 7, 1280]
    assert steps["classification"]["shape"] == [3]
    pixel = steps["preprocessing"]["pixel"]
    assert pixel["value"] == pytest.approx([(raw - 127) / 128 for raw in pixel["raw"]])
    epochs = doc["training"]["trace"]
    assert epochs[0]["phase"] == "probe"
    assert all(line["observation"] for line in epochs)
