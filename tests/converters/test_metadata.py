"""Labels and normalization inside the file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.models import drawn_pixels

from edgefit_converters.tflite import inspect, metadata
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.interpreter import TFLite

LABELS = ("red ground", "green", "blå", "yellow")


@pytest.fixture
def model(small_int8_tflite: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_int8_tflite, tmp_path / "model.tflite"))


def test_labels_travel_in_the_file_and_answers_stay(model: Path, small_int8_tflite: Path) -> None:
    before = inspect.read_model(small_int8_tflite)
    facts = metadata.embed(model, LABELS, name="grounds")
    assert metadata.read_labels(model) == LABELS
    assert (facts.ops, facts.inputs, facts.outputs) == (before.ops, before.inputs, before.outputs)
    pixels, _ = drawn_pixels(8, seed=3)
    np.testing.assert_array_equal(TFLite(model).predict(pixels), TFLite(small_int8_tflite).predict(pixels))
    flat = FlatModel.read(model)
    entry = next(e for e in flat.model.metadata if e.name == metadata.BUFFER_NAME)
    content = bytes(flat.model.buffers[entry.buffer].data)
    assert content[4:8] == metadata.FILE_IDENTIFIER
    assert b"labels.txt" in content


def test_embedding_repeats_its_bytes_and_replaces_itself(model: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(model, tmp_path / "other.tflite"))
    metadata.embed(model, LABELS)
    metadata.embed(other, ("a", "b", "c", "d"))
    metadata.embed(other, LABELS)
    assert model.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "a"), ("a", "b", "c", " "), ("a", "b", "c", "d\ne")])
def test_labels_that_do_not_fit_are_refused(model: Path, labels: tuple[str, ...]) -> None:
    before = model.read_bytes()
    with pytest.raises(InputError, match="label"):
        metadata.embed(model, labels)
    assert model.read_bytes() == before


def test_a_file_without_labels_says_so(model: Path) -> None:
    with pytest.raises(InputError, match="no labels"):
        metadata.read_labels(model)


CLIENT = """
import sys
import numpy as np
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for picture in np.load(sys.argv[2]):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        print(classifier.classify(image).classifications[0].categories[0].category_name)
"""


def test_mediapipe_gives_the_same_answers(model: Path, small_float_tflite: Path, tmp_path: Path) -> None:
    """MediaPipe Tasks as an outside client, in an environment of its own."""
    python = os.environ.get("EDGEFIT_MEDIAPIPE_PYTHON")
    if not python:
        pytest.skip("EDGEFIT_MEDIAPIPE_PYTHON is not the python of an environment with `pip install mediapipe==1.2.2`")
    pixels, _ = drawn_pixels(16, seed=3)
    np.save(tmp_path / "pixels.npy", pixels)
    for path in (model, Path(shutil.copy(small_float_tflite, tmp_path / "float.tflite"))):
        metadata.embed(path, LABELS)
        ran = subprocess.run(
            [python, "-c", CLIENT, str(path), str(tmp_path / "pixels.npy")], capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines() == [LABELS[i] for i in TFLite(path).predict(pixels).argmax(1)]
