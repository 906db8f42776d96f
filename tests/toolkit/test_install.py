"""What is in the wheel and the sdist, and edgefit where the packages that convert do not exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.bare_python import ROOT, BarePython
from support.tiny_model import tiny_tflite

from edgefit_converters.routes import installed
from edgefit_toolkit import __version__

PACKAGES = ("toolkit/edgefit_toolkit", "converters/edgefit_converters", "benchmarks/edgefit_benchmarks")


def build(source: Path, kind: str, out: Path) -> Path:
    """The wheel or the sdist of a source tree."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out], cwd=source, check=True)
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def tracked() -> set[str]:
    """The files of the three packages that git does not ignore, as the wheel names them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        pytest.skip("no git checkout: what belongs into the wheel is not known")
    return {name.split("/", 1)[1] for name in asked.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename for info in archive.infolist() if ".dist-info/" not in info.filename}
    assert names == tracked()
    assert wheel.name == f"edgefit_toolkit-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 2_000_000


def test_the_sdist_builds_the_same_wheel_and_carries_no_tests_results_or_photographs(
    wheel: Path, tmp_path: Path
) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
        archive.extractall(tmp_path / "source", filter="data")
    assert {name for name in names if not name.startswith(PACKAGES)} == {
        ".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "constraints.txt", "pyproject.toml"
    }  # fmt: skip
    (source,) = (tmp_path / "source").iterdir()
    again = build(source, "wheel", tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}


def test_the_changelog_names_this_version() -> None:
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("typed", "offered"), [("edgefit pl", "plan"), ("edgefit fit --conv", "--converter")])
def test_the_shell_completes_commands_and_flags(typed: str, offered: str) -> None:
    asked = {"_EDGEFIT_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    edgefit = Path(sys.executable).with_name("edgefit")
    done = subprocess.run([edgefit], capture_output=True, text=True, env=os.environ | asked, check=True)
    assert done.stdout.splitlines() == [f"plain,{offered}"]


@pytest.mark.parametrize(
    ("system", "machine", "converts"),
    [
        ("Linux", "x86_64", True),
        ("Darwin", "arm64", True),
        ("Linux", "aarch64", False),
        ("Windows", "AMD64", False),
    ],
)
@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_only_platforms_with_the_converter_are_told_to_install_it(
    system: str, machine: str, converts: bool, python: str
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    os_name = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}[system]
    here = {"sys_platform": os_name, "platform_machine": machine, "python_version": python}
    wanted = {r.name for r in map(Requirement, project["dependencies"]) if r.marker is None or r.marker.evaluate(here)}
    assert {"torch", "ai-edge-litert", "click"} <= wanted
    assert ({"litert-torch", "ai-edge-quantizer"} <= wanted) is converts
    assert (f"{system} {machine}" in installed.PLATFORMS) is converts


@pytest.fixture(scope="module")
def without_converter(tmp_path_factory: pytest.TempPathFactory) -> BarePython:
    """As on Linux on Arm, and with the modules gone that only POSIX systems have."""
    folder = tmp_path_factory.mktemp("bare") / "packages"
    taken = ("litert_", "ai_edge_quantizer", "edgefit", "jax", "torchao", "transformers")
    return BarePython(folder, taken, modules=("fcntl", "termios", "pwd", "grp"))


def test_without_the_converter_fit_refuses_at_once_and_leaves_nothing_behind(
    without_converter: BarePython, tmp_path: Path
) -> None:
    done = without_converter.edgefit("--budget-ms", "30", "--device", "pixel7", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stdout == ""
    *_, error, hint = done.stderr.splitlines()  # filelock warns first: on Linux it is not made to miss fcntl
    assert error.startswith("error: ")
    assert "litert-converter" in error
    assert hint.startswith("next:")
    assert list(tmp_path.iterdir()) == []


def test_without_the_converter_the_rest_works(without_converter: BarePython, tmp_path: Path) -> None:
    model = tiny_tflite(tmp_path / "tiny.tflite")

    def said(*args: str | Path, code: int = 0) -> str:
        done = without_converter.edgefit(*args, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    assert json.loads(said("plan", "--budget-ms", "30", "--device", "pixel7", "--json"))["pick"]
    assert "pixel7" in said("devices")
    timed = json.loads(said("bench", model, "--min-samples", "10", "--json"))
    assert len(timed["samples_ms"]) >= 10
    assert timed["origin"] == "measured on host"
    assert "CONV_2D" in said("inspect", model)
    assert "--port" in said("serve", "--help")
    done = without_converter.edgefit("doctor", "--json", cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["converter"]["level"] == "warn"
