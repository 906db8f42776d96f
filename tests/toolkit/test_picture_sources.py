"""Sources of pictures: those there are, and one that this test adds."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.training_parts import CLASSES, draw, fresh_network, variant

from edgefit_toolkit.data import sources
from edgefit_toolkit.data.assembly import assemble
from edgefit_toolkit.data.dataset import About, Candidate, Dataset, labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import Source, load_dataset
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.settings import TrainSettings


def from_memory(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    """`--data memory:N` is N drawn pictures of each class."""
    random = np.random.default_rng(0)
    offered: dict[str, list[Candidate]] = {}
    for label, name in enumerate(CLASSES):
        offered[name] = []
        for number in range(int(data.removeprefix("memory:"))):
            out = io.BytesIO()
            draw(label, random).save(out, "PNG")
            picture = f"{number:02d}.png"
            opener = partial(io.BytesIO, out.getvalue())
            offered[name].append(Candidate(name=picture, place=f"{data}/{name}/{picture}", opener=opener))
    about = About(where=data, name="memory", kind="drawn")
    return assemble({"all": offered}, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"memory": Source(lambda data: data.startswith("memory:"), from_memory)}
    monkeypatch.setattr(sources, "SOURCES", known | sources.SOURCES)


def test_a_source_of_one_s_own_is_trained_on(memory: None) -> None:
    dataset = load_dataset("memory:20", seed=0)
    assert dataset.classes == CLASSES
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (42, 9, 9)
    photo = dataset.train[0]
    with photo.open() as stream:
        assert hashlib.sha256(stream.read()).hexdigest() == photo.sha256
    settings = TrainSettings(epochs=1, views=1, unfreeze_from=6, lr=1e-3, batch=16)
    result = fine_tune(fresh_network(), dataset, settings)
    answers = predict(result.network, load_pixels(dataset.test, preprocessing_for(variant())))
    assert (answers.argmax(1) == labels(dataset.test)).mean() > 0.5  # chance is .33


def test_the_same_pictures_from_files_are_the_same_data_set(memory: None, tmp_path: Path) -> None:
    from_shelf = load_dataset("memory:10", seed=3)
    for photo in (*from_shelf.train, *from_shelf.val, *from_shelf.test):
        file = tmp_path / from_shelf.classes[photo.label] / photo.name
        file.parent.mkdir(exist_ok=True)
        with photo.open() as stream:
            file.write_bytes(stream.read())
    assert load_dataset(str(tmp_path), seed=3).sha256 == from_shelf.sha256


def test_a_folder_may_be_called_like_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "plants.csv"
    folder.mkdir()
    assert sources.SOURCES["folder"].means(str(folder))
    assert not sources.SOURCES["manifest"].means(str(folder))


def test_what_is_no_other_source_is_a_folder() -> None:
    assert list(sources.SOURCES) == ["demo", "flowers", "shards", "hugging face", "manifest", "coco", "folder"]
    meant = {
        "demo": "demo",
        "flowers": "flowers",
        "wds:a/{000..009}.tar": "shards",
        "hf:owner/name:config": "hugging face",
        "a/list.csv": "manifest",
        "a/LIST.Parquet": "manifest",
        "traps.json": "coco",
        "./demo": "folder",
        "demo ": "folder",
        "a.tar": "folder",
    }
    for data, source in meant.items():
        assert next(name for name, entry in sources.SOURCES.items() if entry.means(data)) == source
