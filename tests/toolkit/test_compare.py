"""`edgefit compare`: the routes on one small checkpoint, converted, guarded and timed for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import toy_route
from support.models import SMALL_PX, drawn_pixels
from support.training_parts import CLASSES, drawn_dataset, fresh_network

from edgefit_converters import recipe
from edgefit_converters.ladder import steps
from edgefit_converters.routes import ROUTES, litert
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.checkpoints import CheckpointMeta, save_checkpoint
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.pipeline.compare_routes import compare_routes, time_again
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.subject import Subject, open_subject
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.report.tables.routes import markdown, table

EDGEFIT = Path(sys.executable).with_name("edgefit")


def small_subject(network: EfficientNet) -> Subject:
    holdout, labels = drawn_pixels(40, seed=5)
    return Subject("small", network, 1.0, ("brick", "grass", "sky", "sand"), drawn_pixels(32, seed=1)[0], holdout,
                   labels, "drawn")  # fmt: skip


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder's first step, with floors that the small network clears."""
    floors = recipe.Floors(top1=0.5, sqnr_db=6.0, accuracy_loss=0.5)
    plain = recipe.Recipe
    monkeypatch.setattr(steps, "STEPS", steps.STEPS[:1])
    monkeypatch.setattr(recipe, "Recipe", lambda **k: plain(floors=floors, first="min-max PTQ", **k))


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, small_float_tflite: Path) -> None:
    """litert-torch's conversion, which takes seconds, by the file that it gave before."""

    def export(network: Deployed, path: Path) -> Any:
        shutil.copy(small_float_tflite, path)
        return read_model(path).as_model("float32")

    monkeypatch.setattr(litert, "export_deployed", export)


@pytest.mark.usefixtures("one_step", "converted")
def test_routes_are_compared_on_the_same_checkpoint(
    small_network: EfficientNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUTES, "toy", toy_route.ENTRY)
    doc = compare_routes(small_subject(small_network), ["toy", "litert"], tmp_path, Silent(), rounds=3)
    json.dumps(doc, allow_nan=False)
    assert (doc["schema"], doc["default"]) == ("edgefit.compare/1", "litert")
    assert [row["converter"] for row in doc["rows"]] == ["toy", "litert"]
    for row in doc["rows"]:
        facts = read_model(tmp_path / f"{row['converter']}_int8.tflite")
        assert (row["sha256"], row["ops"], row["partitions"]) == (facts.sha256, facts.ops, facts.partitions)
        assert row["float_sqnr_db"] > 80  # both float files are the checkpoint
        assert row["n"] == 40
        assert row["steps"][0]["name"] == "min-max PTQ"
    for timed in doc["latencies"]:
        assert len(timed["ratios"]) == len(timed["p50_ms"]) == 3
        assert min(timed["ratios"]) <= timed["ratio"] <= max(timed["ratios"])
        assert timed["origin"] == "measured on host"
        if timed["converter"] == "litert":
            assert set(timed["ratios"]) == {1.0}
    (tmp_path / "compare.json").write_text(json.dumps(doc))
    again = time_again(tmp_path, 1, Silent())
    assert again["rows"] == doc["rows"]
    assert [len(timed["ratios"]) for timed in again["latencies"]] == [1] * len(doc["latencies"])
    text = markdown(doc)
    for row in doc["rows"]:
        assert f"| {row['converter']} |" in text
        assert f"{row['agreement']:.3f} (n 40)" in text
        assert row["stack"] in text
    heads, lines = table(doc)
    assert all(len(cells) == len(heads) for cells in lines)
    (tmp_path / "litert_int8.tflite").write_bytes(b"another")
    with pytest.raises(InputError, match=r"litert_int8\.tflite is not the file"):
        time_again(tmp_path, 1, Silent())
    with pytest.raises(InputError, match="no comparison to time again"):
        time_again(tmp_path / "elsewhere", 1, Silent())


@pytest.mark.usefixtures("one_step", "converted")
def test_a_route_that_cannot_run_is_a_row_and_no_end(
    small_network: EfficientNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty cache"))
    doc = compare_routes(
        small_subject(small_network), ["litert", "tensorflow"], tmp_path / "out", Silent(), rounds=1, offline=True
    )
    litert, tensorflow = doc["rows"]
    assert "error" not in litert
    assert "has not been made yet" in tensorflow["error"]
    assert tensorflow["exit_code"] == 2
    assert {timed["converter"] for timed in doc["latencies"]} == {"litert"}
    assert "has not been made yet" in markdown(doc)
    assert table(doc)[1][1][8] == "failed"


@pytest.mark.usefixtures("converted")
def test_a_refused_route_keeps_its_steps(
    small_network: EfficientNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = recipe.Recipe
    high = recipe.Floors(sqnr_db=90.0)
    monkeypatch.setattr(steps, "STEPS", steps.STEPS[:1])
    monkeypatch.setattr(recipe, "Recipe", lambda **k: plain(floors=high, first="min-max PTQ", **k))
    doc = compare_routes(small_subject(small_network), ["litert"], tmp_path, Silent())
    (row,) = doc["rows"]
    assert row["exit_code"] == 1
    assert [step["passed"] for step in row["steps"]] == [False]
    assert doc["latencies"] == []
    assert [file.name for file in tmp_path.iterdir()] == ["litert_float.tflite"]


@pytest.mark.parametrize("names", [["onnx2tf"], ["litert", "litert"], []])
def test_converters_that_are_none_are_refused(small_network: EfficientNet, tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match="no list of different converters"):
        compare_routes(small_subject(small_network), names, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


# what is compared


def test_released_weights_take_any_folder_of_photographs(tmp_path: Path) -> None:
    for i, picture in enumerate(drawn_pixels(9, seed=3)[0]):
        (tmp_path / "sub").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / ("sub" if i % 2 else ".") / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n")
    found = open_subject("Lite0", str(tmp_path), Silent(), count=3, offline=True)
    assert found.calibration.shape == (3, 224, 224, 3)
    assert found.holdout.shape == (4, 224, 224, 3)
    assert (found.labels == -1).all()
    assert "3 of every second one calibrate, the 4 others judge" in found.photographs
    pairs = [(a == b).all() for a in found.calibration for b in found.holdout]
    assert not any(pairs)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A run directory with a checkpoint and its data set."""
    run = tmp_path / "run"
    run.mkdir()
    data = tmp_path / "data"
    dataset = drawn_dataset(tmp_path, train=4, val=3, test=2)
    for split in ("train", "val", "test"):
        for photo in dataset.split(split):
            target = data / split / CLASSES[photo.label]
            target.mkdir(parents=True, exist_ok=True)
            Path(photo.place).rename(target / photo.name)
    network = fresh_network()
    save_checkpoint(run / "checkpoint.safetensors", network,
                    CheckpointMeta(network.variant, Preprocessing(SMALL_PX), CLASSES, 1.5, 0.5))  # fmt: skip
    saved = vars(FitSettings(30.0, "pixel7", data=str(data), calibration_n=6)) | {"command": "edgefit fit"}
    (run / "manifest.json").write_text(json.dumps({"settings": saved}))
    return run


def test_a_run_brings_its_own_photographs(trained: Path) -> None:
    found = open_subject(str(trained), None, Silent())
    assert (len(found.calibration), len(found.holdout)) == (6, 15)
    assert found.classes == CLASSES
    assert found.temperature == 1.5
    assert (found.labels[-6:] == -1).all()  # of test pictures none is looked at
    assert sorted(found.labels[:9].tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    same = open_subject(str(trained / "checkpoint.safetensors"), str(trained.parent / "data"), Silent(), count=6)
    np.testing.assert_array_equal(same.holdout, found.holdout)


def test_what_cannot_be_compared_is_said(trained: Path, tmp_path: Path) -> None:
    for what, data, words in (
        ("lite9", None, "nothing to compare routes on"),
        (str(tmp_path), None, "holds no checkpoint"),
        (str(trained / "checkpoint.safetensors"), None, "without photographs"),
        ("lite0", None, "without photographs"),
        ("lite0", str(tmp_path / "none"), "there is no folder"),
        ("lite0", str(trained), "holds 0 photographs"),
    ):
        with pytest.raises(InputError, match=words):
            open_subject(what, data, Silent(), offline=True)
    (trained.parent / "data" / "train" / "rings").rename(trained.parent / "data" / "train" / "zigzags")
    (trained.parent / "data" / "val" / "rings").rename(trained.parent / "data" / "val" / "zigzags")
    (trained.parent / "data" / "test" / "rings").rename(trained.parent / "data" / "test" / "zigzags")
    with pytest.raises(InputError, match="the data set has the classes lines, spots, zigzags"):
        open_subject(str(trained), None, Silent())


def test_the_command_refuses_with_one_message(tmp_path: Path) -> None:
    done: Any = subprocess.run([EDGEFIT, "compare", "lite9"], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "nothing to compare routes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
