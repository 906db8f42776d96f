"""Side environments, really made: from a tiny wheel in a folder, and by the errors that real pip gives."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edgefit_converters.routes.environments import TENSORFLOW, Lock, ensure, environment_folder, find_python, is_made
from edgefit_toolkit.errors import SideEnvironmentError

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
HEADER = f"# python: {VERSION}\n# download_mb: 1\n# installed_mb: 30\n#\n# A test.\n"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one module; pip looks nowhere but in its folder, and caches are the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = tmp_path / "wheels" / "leaflet_of_tests-1.0-py3-none-any.whl"
    path.parent.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    about = "leaflet_of_tests-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("leaflet_of_tests.py", "ANSWER = 42\n")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: leaflet-of-tests\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return path


def lock_for(wheel: Path, digest: str | None = None, header: str = HEADER) -> Lock:
    digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
    path = wheel.parent / "pins.txt"
    path.write_text(f"{header}leaflet-of-tests==1.0 --hash=sha256:{digest}\n")
    return Lock("leaflet", path)


def test_made_once_and_used_again(wheel: Path) -> None:
    lock = lock_for(wheel)
    heard: list[tuple[str, int, int]] = []
    assert not is_made(lock)
    python = ensure(lock, lambda *said: heard.append(said))
    code = "import leaflet_of_tests; print(leaflet_of_tests.ANSWER)"
    assert subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout == "42\n"
    assert all(0 <= done <= total == 1 and "leaflet" in label for label, done, total in heard)
    assert is_made(lock)
    wheel.unlink()  # nothing is fetched again
    assert ensure(lock, offline=True) == python
    assert lock.path.read_text() == (environment_folder(lock) / "edgefit-finished").read_text()


def test_another_lock_is_another_environment(wheel: Path) -> None:
    before = environment_folder(lock_for(wheel))
    assert environment_folder(lock_for(wheel, header=HEADER + "# more\n")) != before


def test_a_package_that_is_not_the_pinned_one_is_refused(wheel: Path) -> None:
    lock = lock_for(wheel, digest="0" * 64)
    with pytest.raises(SideEnvironmentError, match="not the pinned one") as failed:
        ensure(lock)
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in failed.value.message
    assert not environment_folder(lock).exists()


def test_no_index_and_no_network(wheel: Path) -> None:
    lock = lock_for(wheel)
    wheel.unlink()
    with pytest.raises(SideEnvironmentError, match="packages could not be fetched") as failed:
        ensure(lock)
    log = Path(failed.value.hint.rsplit(" ", 1)[-1])
    assert "leaflet-of-tests==1.0" in log.read_text()
    assert not is_made(lock)


def test_offline_says_what_is_missing(wheel: Path) -> None:
    with pytest.raises(SideEnvironmentError, match="--offline") as failed:
        ensure(lock_for(wheel), offline=True)
    assert "run once without --offline (1 MB" in failed.value.hint


def test_another_python_is_named(wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = lock_for(wheel, header=HEADER.replace(VERSION, "3.4"))
    with pytest.raises(SideEnvironmentError, match=r"needs Python 3\.4.*there is no python3\.4 on the PATH") as failed:
        ensure(lock)
    assert f"{sys.executable} is 3.{sys.version_info.minor}" in failed.value.message
    assert "--converter litert" in failed.value.hint
    broken = tmp_path / "bin" / "python3.4"  # as a version manager leaves them
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'python3.4: not installed' >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with pytest.raises(SideEnvironmentError, match=r"says 'python3\.4: not installed'"):
        find_python("3.4")


def test_another_machine_is_named(wheel: Path) -> None:
    lock = lock_for(wheel, header="# platform: plan9 mips\n" + HEADER)
    with pytest.raises(SideEnvironmentError, match="plan9 mips only"):
        ensure(lock)


def test_too_little_room_is_said_before_anything_is_fetched(wheel: Path) -> None:
    lock = lock_for(wheel, header=HEADER.replace("# installed_mb: 30", f"# installed_mb: {10**9}"))
    with pytest.raises(SideEnvironmentError, match=r"needs 1000000001 MB") as failed:
        ensure(lock)
    assert "XDG_CACHE_HOME" in failed.value.hint


def test_a_killed_build_counts_for_nothing_and_two_at_once_make_one(wheel: Path) -> None:
    lock = lock_for(wheel)
    code = (
        "import sys; from pathlib import Path; from edgefit_converters.routes.environments import Lock, ensure;"
        "print(ensure(Lock('leaflet', Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(lock.path)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (environment_folder(lock) / "pyvenv.cfg").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert environment_folder(lock).is_dir()
    assert not is_made(lock)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].strip() for process in both]
    assert said == [str(environment_folder(lock) / "bin" / "python")] * 2
    assert is_made(lock)


def test_the_committed_lock_pins_every_package_by_hash() -> None:
    lines = [line for line in TENSORFLOW.text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(TENSORFLOW.pins) > 40
    assert all(line.count(" --hash=sha256:") == 1 and len(line.rsplit(":", 1)[1]) == 64 for line in lines)
    assert TENSORFLOW.pins["onnx-tf"] == "1.10.0"
    assert TENSORFLOW.header["python"] == "3.11"
    assert set(TENSORFLOW.header) == {"python", "platform", "download_mb", "installed_mb", "minutes"}


def test_a_cache_that_cannot_be_written(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SideEnvironmentError, match="cannot be written"):
        ensure(lock_for(wheel))
