"""Rows in files: written in any layout, read where they lie, found again by the next run."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
import torch

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.training.inputs import feature_store
from edgefit_toolkit.training.inputs.feature_store import FeatureStore, Rows

HOLDS = {"activations": Rows(6, (5, 1, 1), torch.bfloat16), "features": Rows(6, (3,), torch.float32)}


def test_another_run_finds_what_was_saved(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "state" / "features", "key")
    rows = store.open(HOLDS)
    values = torch.randn(4, 1, 1, 5, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2)  # channels last
    rows["activations"][:4] = values
    store.advance(4, 2.5)
    store.save()
    store.advance(1, 3.0)  # and is killed
    again = FeatureStore(store.folder, "key")
    found = again.open(HOLDS)
    assert (again.found, again.done, again.seconds) == (4, 4, 2.5)
    assert torch.equal(found["activations"][:4], values.bfloat16())


@pytest.mark.parametrize("damage", ["key", "rows", "short", "document"])
def test_what_is_not_this_runs_is_made_anew(damage: str, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "key")
    store.open(HOLDS)["features"][:] = 1.0
    store.advance(6, 1.0)
    store.save()
    if damage == "short":
        (tmp_path / "features.bin").write_bytes(b"short")
    if damage == "document":
        (tmp_path / "store.json").write_text("[]")
    holds = HOLDS | {"features": Rows(6, (4,), torch.float32)} if damage == "rows" else HOLDS
    other = FeatureStore(tmp_path, "another" if damage == "key" else "key")
    rows = other.open(holds)
    assert (other.found, other.done) == (0, 0)
    assert rows["features"].eq(0).all()


def test_the_first_of_several_processes_reads_what_lies_beside_its_own(tmp_path: Path) -> None:
    pictures = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))  # two views of five
    counts = (3, 2)
    stores = []
    for rank, count in enumerate(counts):
        store = FeatureStore(tmp_path / f"features-{rank}", "key")
        rows = store.open({"features": Rows(2 * count, (3,), torch.float32)})
        rows["features"][:] = pictures[:, rank::2].flatten(0, 1)
        stores.append(store)
        if rank == 0:
            store.advance(6, 1.0)
            store.save()
    assert stores[0].features_of_all(2, counts) is None  # the other one is not done
    stores[1].advance(4, 1.0)
    stores[1].save()
    whole = stores[0].features_of_all(2, counts)
    assert whole is not None
    assert torch.equal(whole, pictures)
    assert (stores[0].folder / "all.bin").stat().st_size == 2 * 5 * 3 * 4
    assert FeatureStore(stores[0].folder, "key").open({"features": Rows(6, (3,), torch.float32)})["features"].any()
    shutil.rmtree(stores[1].folder)  # as on another machine
    assert stores[0].features_of_all(2, counts) is None


def test_no_rows_need_no_file(tmp_path: Path) -> None:
    rows = FeatureStore(tmp_path, "key").open({"features": Rows(0, (3,), torch.float32)})
    assert rows["features"].shape == (0, 3)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file")
    with pytest.raises(OutputError, match="cannot keep the features"):
        FeatureStore(tmp_path / "features", "key").open(HOLDS)


@pytest.mark.parametrize("room_is_taken", [True, False])
def test_a_full_disk_is_found_at_the_start(
    room_is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for it: the same call fails, with another reason."""
    if not room_is_taken:  # as where the system has no such call
        monkeypatch.delattr(feature_store.os, "posix_fallocate", raising=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OutputError, match="cannot keep the features") as told:
            FeatureStore(tmp_path, "key").open({"features": Rows(1_000_000, (3,), torch.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "they take 0.0 GB" in told.value.hint
    assert not (tmp_path / "store.json").exists()


def test_files_of_no_run_go_with_their_store() -> None:
    store = FeatureStore(None, "")
    store.open(HOLDS)
    folder = store.folder
    assert (folder / "features.bin").exists()
    del store
    assert not folder.exists()
