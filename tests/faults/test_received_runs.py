"""A run directory from someone else: what its documents name stays inside it, and is the file that they describe."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toolkit.test_app import fake_runtime
from toolkit.test_serve import a_run

from edgefit_toolkit.app import bundle
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import inside, read_verified
from edgefit_toolkit.pipeline.compare_routes import time_again
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.serve import AppServer

EDGEFIT = Path(sys.executable).with_name("edgefit")
SECRET = b"a key of the person who opens the run"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the run directory that its sender would like to have."""
    path = tmp_path / "secret.txt"
    path.write_bytes(SECRET)
    return path


def forged(run: Path, model: str, path: str, digest: str) -> None:
    """The run's report.json with another path and hash for one of its models."""
    file = run / "report.json"
    doc = json.loads(file.read_text())
    doc["models"][model] |= {"path": path, "sha256": digest}
    file.write_text(json.dumps(doc))


@pytest.mark.parametrize("model", ["float", "int8"])
@pytest.mark.parametrize("how", ["up", "absolute", "link", "fifo", "empty", "null byte", "folder"])
def test_no_model_path_leads_out(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch, model: str, how: str
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    run = a_run(tmp_path / "run")
    (run / "link.tflite").symlink_to(secret)
    os.mkfifo(run / "pipe.tflite")
    (run / "folder.tflite").mkdir()
    path = {
        "up": "../secret.txt", "absolute": str(secret), "link": "link.tflite", "fifo": "pipe.tflite", "empty": "",
        "null byte": "a\0b", "folder": "folder.tflite",
    }[how]  # fmt: skip
    forged(run, model, path, hashlib.sha256(SECRET).hexdigest())
    with pytest.raises(InputError, match="is no file of"):
        AppServer(run, cache_dir=cache)
    if model == "int8":
        with pytest.raises(InputError, match="is no file of"):
            bundle(run, tmp_path / "bundle", "web", cache_dir=cache)
        assert not (tmp_path / "bundle").exists()


def test_a_model_that_is_not_the_reports_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    run = a_run(tmp_path / "run")
    (run / "model_float.tflite").write_bytes(SECRET)
    with pytest.raises(InputError, match=r"model_float\.tflite is not the file that"):
        AppServer(run, cache_dir=cache)


def test_the_command_says_it_in_one_message(tmp_path: Path, secret: Path) -> None:
    run = a_run(tmp_path / "run")
    forged(run, "int8", "../secret.txt", hashlib.sha256(SECRET).hexdigest())
    for command in ("serve", "bundle"):
        done = subprocess.run([EDGEFIT, command, run], capture_output=True, timeout=120, check=False)
        assert done.returncode == 2
        assert b"'../secret.txt' is no file of" in done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["labels.txt", "preprocessing.json"])
def test_other_files_of_a_run_are_no_links_out(tmp_path: Path, secret: Path, name: str) -> None:
    run = a_run(tmp_path / "run")
    (run / name).unlink()
    (run / name).symlink_to(secret)
    with pytest.raises(InputError, match="is no file of"):
        bundle(run, tmp_path / "bundle")


def test_a_comparison_to_time_again_names_its_own_files(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "x_int8.tflite").write_bytes(SECRET)
    row = {"converter": "../x", "sha256": hashlib.sha256(SECRET).hexdigest()}
    doc = {"schema": "edgefit.compare/1", "default": "../x", "rows": [row]}
    (tmp_path / "routes" / "compare.json").write_text(json.dumps(doc))
    with pytest.raises(InputError, match="is no file of"):
        time_again(tmp_path / "routes", 1, Silent())


def test_a_folder_reached_by_a_link_is_still_itself(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "real" / "sub" / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "sub/a").read_bytes() == b"a"
    assert read_verified(tmp_path / "link", "sub/../sub/a", hashlib.sha256(b"a").hexdigest()) == b"a"
    with pytest.raises(InputError, match="is no file of"):
        inside(tmp_path / "real" / "sub", "../sub2/a")
