"""Fixtures of the phone tests. They skip by name where parts or namespaces are missing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgefit_benchmarks.native.package import RunnerPackage, build_package
from edgefit_benchmarks.targets.adb import Adb
from phone import parts
from phone.world import NoNamespacesError, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A private network without devices."""
    try:
        with World(tmp_path / "world") as made:
            yield made
    except NoNamespacesError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def adb(world: World) -> Adb:
    """The adb client of `world`."""
    try:
        return Adb(str(world.adb))
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def needs_sshd() -> None:
    """Skip without an sshd."""
    try:
        parts.sshd_root()
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def blob(tmp_path: Path) -> Callable[[str, int, int], Path]:
    """Make a file: name, size in bytes, seed."""

    def make(name: str, size: int, seed: int = 0) -> Path:
        folder = tmp_path / f"files-{seed}"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(bytes((i * 7 + seed) % 251 for i in range(min(size, 4096))) * (size // 4096 + 1))
        return path

    return make


@pytest.fixture(scope="session")
def host_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunnerPackage]:
    """The runner for this machine's own architecture, freshly built; packages are looked for there in this session."""
    if platform.machine() != "x86_64" or shutil.which("gcc") is None:
        pytest.skip("no gcc for x86-64 here: the runner cannot be built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFIT_RUNNERS", str(tmp_path_factory.mktemp("runners")))
        yield build_package("x86_64")
