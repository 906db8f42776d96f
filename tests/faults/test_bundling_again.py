"""Bundling into a folder where somebody has worked, and results beside others: nothing that is theirs is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from toolkit.test_app import make_run

from edgefit_toolkit.app import bundle
from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.serve.results import WebResult, keep, read_results

Bundled = tuple[Path, Path]


@pytest.fixture
def bundled(tmp_path: Path) -> Bundled:
    """A run and its Android bundle (it needs no download)."""
    run = make_run(tmp_path / "run")
    return run, bundle(run, tmp_path / "bundle", "android").path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(out: Path) -> None:
    (out / "labels.txt").write_text("daisy\tOx-eye\n")


def add(out: Path) -> None:
    (out / "android" / "keys.properties").write_text("mine")


def link(out: Path) -> None:
    (out / "README.md").unlink()
    (out / "README.md").symlink_to(out / "MODEL_CARD.md")


def break_the_list(out: Path) -> None:
    (out / "bundle.json").write_text("{")


def empty_the_list(out: Path) -> None:
    (out / "bundle.json").write_text('{"sha256": {}}')


@pytest.mark.parametrize("work", [change, add, link, break_the_list, empty_the_list])
def test_own_work_is_kept_unless_forced(bundled: Bundled, work: Callable[[Path], None]) -> None:
    run, out = bundled
    whole = contents(out)
    work(out)
    before = contents(out)
    with pytest.raises(OutputError, match="changed or added since it was bundled") as refused:
        bundle(run, out, "android")
    assert "--force" in refused.value.hint
    assert contents(out) == before
    bundle(run, out, "android", force=True)
    assert contents(out) == whole


def test_an_untouched_bundle_is_replaced(bundled: Bundled) -> None:
    run, out = bundled
    whole = contents(out)
    (out / "labels.txt").unlink()  # what is gone is no work to lose
    bundle(run, out, "android")
    assert contents(out) == whole


def test_a_link_stays_a_link(bundled: Bundled, tmp_path: Path) -> None:
    run, out = bundled
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "ahead").symlink_to(tmp_path / "not yet")
    for name, place in (("link", out), ("ahead", tmp_path / "not yet")):
        bundle(run, tmp_path / name, "android")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).resolve() == place
        assert (place / "bundle.json").is_file()
    (out / "labels.txt").write_text("mine")
    with pytest.raises(OutputError, match="changed or added"):
        bundle(run, tmp_path / "link", "android")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(OutputError):
        bundle(run, tmp_path / "round", "android")


def test_force_replaces_bundles_only(bundled: Bundled, tmp_path: Path) -> None:
    run, _ = bundled
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="is no bundle"):
        bundle(run, tmp_path / "letters", "android", force=True)
    assert (tmp_path / "letters" / "mine.txt").read_text() == "keep"


def test_a_result_never_takes_the_name_of_another(tmp_path: Path) -> None:
    def result(p50_ms: float) -> WebResult:
        return WebResult(
            schema="edgefit.web-bench/1", model="int8", model_sha256="a", runtime="LiteRT.js", threads=1, warmups=1,
            cross_origin_isolated=True, user_agent="x", samples_ms=(p50_ms,) * 50,
        )  # fmt: skip

    for number in (1.0, 2.0, 3.0):
        keep(tmp_path, result(number))
    (tmp_path / "web-bench" / "0001.json").unlink()
    shutil.copy(tmp_path / "web-bench" / "0002.json", tmp_path / "web-bench" / "notes.json")
    assert keep(tmp_path, result(4.0)).name == "0004.json"
    assert sorted({r.samples_ms[0] for r in read_results(tmp_path)}) == [2.0, 3.0, 4.0]
