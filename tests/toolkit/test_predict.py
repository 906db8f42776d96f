"""`edgefit predict` and `load`: the int8 file's own answers, the app's "not sure", and pictures that are none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import report_fixture
from support.pictures import open_file
from support.small_run import RESOLUTION_PX, make_run

from edgefit_toolkit.api.model import SCHEMA, Model, load
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.errors import DataError, InputError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.records import Preprocessing

EDGEFIT = Path(sys.executable).with_name("edgefit")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(run_dir: Path) -> Model:
    return load(run_dir)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Noise, not square, lying on its side by EXIF."""
    pixels = np.random.default_rng(3).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a photo.png"
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def predict(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EDGEFIT, "predict", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_answer_is_the_int8_files(model: Model, run_dir: Path, photo: Path) -> None:
    door = Preprocessing(RESOLUTION_PX, crop_padding_px=32)
    pixels = preprocessing.apply(open_file(photo), door)
    expected = TFLite(run_dir / "model_int8.tflite").predict(pixels[None])[0]
    for picture in (photo, str(photo), Image.open(photo)):
        answer = model(picture)
        by_name = {guess.name: guess.probability for guess in answer.classes}
        assert [by_name[name] for name in report_fixture.CLASSES] == pytest.approx(expected, abs=1e-6)
        assert answer.name == report_fixture.CLASSES[int(expected.argmax())]


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_sure_is_what_reaches_the_threshold(model: Model, values: list[float]) -> None:
    answer = model.answer(np.array(values, np.float32))
    found = [guess.probability for guess in answer.classes]
    assert found == sorted(found, reverse=True)
    assert (answer.probability, answer.name) == (found[0], answer.classes[0].name)
    assert answer.sure == (answer.probability >= model.threshold)
    assert str(answer).startswith("not sure") != answer.sure


def test_the_json_keeps_its_contract(run_dir: Path, photo: Path) -> None:
    done = predict(run_dir, photo, photo, "--json")
    assert done.returncode == 0, done.stderr
    doc = json.loads(done.stdout)
    assert doc["schema"] == SCHEMA == "edgefit.answers/1"
    assert [answer["picture"] for answer in doc["answers"]] == [str(photo)] * 2
    first = doc["answers"][0]
    assert first.keys() >= {"picture", "name", "rank", "probability", "sure", "other", "classes"}
    assert first["classes"][0] == {"name": first["name"], "probability": first["probability"]}
    assert len(first["classes"]) == 5


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(run_dir: Path, photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "note.jpg"
    text.write_text("not a picture")
    done = predict(run_dir, text, photo, tmp_path / "missing.jpg")
    assert done.returncode == 2
    assert [line.endswith(str(photo)) for line in done.stdout.splitlines()] == [True]
    assert "note.jpg is not a picture" in done.stderr
    assert "missing.jpg is not a picture that can be read: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_is_none(tmp_path: Path, model: Model) -> None:
    with pytest.raises(InputError, match="there is no run directory"):
        load(tmp_path / "nothing")
    with pytest.raises(DataError, match="no such file"):
        model(tmp_path / "nothing.jpg")
    done = predict(tmp_path, tmp_path / "nothing.jpg")
    assert done.returncode == 2
    assert "report.json" in done.stderr
