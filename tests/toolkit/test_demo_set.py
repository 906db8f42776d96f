"""The drawn plants: the same bytes each time, real variety, redrawn where the cache is damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.demo import album, drawn_set
from edgefit_toolkit.data.demo.backgrounds import BACKGROUNDS
from edgefit_toolkit.data.demo.scene import KINDS, PLANTS, SIZES_PX
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import DataError

PER_KIND = 4


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a small demo set in it, drawn by processes of its own."""
    folder = tmp_path_factory.mktemp("cache")
    drawn_set.ensure(folder, per_kind=PER_KIND)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_ten_kinds_labelled_as_drawn(cache: Path) -> None:
    dataset = drawn_set.load(seed=0, cache_dir=cache, per_kind=PER_KIND)
    assert dataset.classes == KINDS
    assert len(KINDS) == 10
    assert dataset.kind == "drawn"
    assert "drawn" in dataset.name
    assert "drawn by edgefit's own code" in dataset.notes[0]
    assert "drawn pictures" in dataset.summary
    assert dataset.skipped == ()
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [20, 10, 10]


def test_every_picture_repeats_byte_for_byte_in_any_process(cache: Path) -> None:
    folder = drawn_set.ensure(cache, per_kind=PER_KIND)
    for kind in KINDS:
        assert (folder / album.relative_path(kind, 2)).read_bytes() == album.draw(kind, 2)


def test_all_pictures_differ(cache: Path) -> None:
    pictures = files(drawn_set.ensure(cache, per_kind=PER_KIND))
    assert len(pictures) == len(set(pictures.values())) == 10 * PER_KIND


def test_a_second_load_draws_nothing(cache: Path) -> None:
    seen: list[str] = []
    first = drawn_set.load(seed=3, cache_dir=cache, per_kind=PER_KIND)
    again = drawn_set.load(seed=3, cache_dir=cache, per_kind=PER_KIND, on_progress=lambda stage, *_: seen.append(stage))
    assert set(seen) == {"checking photographs"}
    assert again == first


def test_damage_in_the_cache_is_drawn_again(tmp_path: Path) -> None:
    folder = drawn_set.ensure(tmp_path, per_kind=1)
    before = files(folder)
    index = folder.with_name(f"{folder.name}.json")
    stages: list[tuple[str, int, int]] = []

    (folder / album.relative_path("oak", 0)).write_bytes(b"damaged")
    (folder / album.relative_path("rose", 0)).unlink()
    drawn_set.ensure(tmp_path, per_kind=1, on_progress=lambda *event: stages.append(event))
    assert files(folder) == before
    assert stages == [("drawing demo plants", 9, 10), ("drawing demo plants", 10, 10)]

    for broken in ("[]", '{"schema": "edgefit.demo/0", "sha256": {}}'):
        index.write_text(broken)
        drawn_set.ensure(tmp_path, per_kind=1)
        assert files(folder) == before
        assert len(json.loads(index.read_text())["sha256"]) == 10


def test_an_interrupted_drawing_leaves_no_half_picture_behind(tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn_set.ensure(tmp_path, per_kind=1, on_progress=interrupt)
    (folder,) = (tmp_path / "demo").iterdir()  # and no index
    for path in folder.rglob("*.jpg"):
        if not path.name.startswith("."):
            assert path.read_bytes() == album.draw(path.parent.name, 0)
    assert len(files(drawn_set.ensure(tmp_path, per_kind=1))) >= 10


def test_an_unwritable_cache(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be drawn into") as refused:
        drawn_set.load(seed=0, cache_dir=tmp_path, per_kind=1)
    assert "--data DIR" in refused.value.hint


def test_a_failing_drawing_process_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / f"plants-{album.version()}-{PER_KIND}"
    folder.mkdir(parents=True)
    (folder / "clover").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="File exists"):
        drawn_set.ensure(tmp_path, per_kind=PER_KIND)


def test_the_default_without_data(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(drawn_set.load.__kwdefaults__, "per_kind", PER_KIND)
    expected: Dataset = drawn_set.load(seed=1, cache_dir=cache)
    for word in (None, "demo"):
        assert load_dataset(word, seed=1, cache_dir=cache) == expected


def test_pictures_look_like_photographs(cache: Path) -> None:
    folder = drawn_set.ensure(cache, per_kind=PER_KIND)
    brightness = []
    for data in files(folder).values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "JPEG"
            assert image.size in SIZES_PX
            raw = np.asarray(image.convert("RGB"), dtype=float)
        assert raw.std() > 8  # neither blank nor burnt out
        brightness.append(raw.mean())
    assert max(brightness) - min(brightness) > 60  # light and backgrounds vary


@pytest.mark.parametrize("kind", KINDS)
def test_a_plant_fills_its_sheet_and_varies(kind: str) -> None:
    first, second = (np.asarray(PLANTS[kind](np.random.default_rng(seed)), dtype=int) for seed in (1, 2))
    for sheet in (first, second):
        assert 0.05 < (sheet[..., 3] > 128).mean() < 0.85
    assert np.abs(first - second).mean() > 3


@pytest.mark.parametrize("ground", BACKGROUNDS, ids=lambda ground: ground.__name__)
@pytest.mark.parametrize("size", [(320, 320), (288, 360)])
def test_backgrounds_fill_the_picture(ground, size: tuple[int, int]) -> None:
    for seed in range(4):  # wood draws its planks either way
        picture = ground(np.random.default_rng(seed), *size)
        assert picture.shape == (size[1], size[0], 3)
        assert np.isfinite(picture).all()


def test_the_version_follows_the_drawing_code() -> None:
    assert len(album.version()) == 12
    code = "from edgefit_toolkit.data.demo import album; print(album.version())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == album.version()
