"""Side environments: pinned packages that do not go together with edgefit's own, in a venv that edgefit makes itself.

A lock is a pip requirements file with a hash on every line, below a header of `# key: value` lines that says what it
needs (see `Lock`). A venv cannot be moved, so it is built where it will lie, under a file lock, and counts as finished
only when its stamp, written last, is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from edgefit_toolkit.errors import SideEnvironmentError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.progress import Progress

_STAMP = "edgefit-finished"
_POLL_S = 0.3
_LAST_LINES = 6  # of pip's log, in an error
_NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|Read timed out|Name or service not known|name resolution|Connection refused"
    r"|Could not find a version|No matching distribution|ProxyError|Connection broken"
)


@dataclass(frozen=True)
class Lock:
    """A pip requirements file with hashes.

    Its header gives `python` (3.11), `platform` (linux x86_64), `download_mb`, `installed_mb` and `minutes`.
    """

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """The file's content."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def header(self) -> dict[str, str]:
        """The `# key: value` lines at the top."""
        return dict(re.findall(r"^# ([a-z_]+): (.+)$", self.text.split("\n#\n")[0], re.MULTILINE))

    @property
    def pins(self) -> dict[str, str]:
        """Package -> version."""
        return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", self.text, re.MULTILINE))


TENSORFLOW = Lock("tf215", Path(__file__).with_name("locks") / "tf215.txt")  # with onnx-tf and tflite-runtime


def environment_folder(lock: Lock) -> Path:
    """Where the lock's environment lies, made or not."""
    digest = hashlib.sha256(lock.text.encode()).hexdigest()
    return platformdirs.user_cache_path("edgefit") / "environments" / f"{lock.name}-{digest[:12]}"


def is_made(lock: Lock) -> bool:
    """Whether `ensure` would return at once."""
    folder = environment_folder(lock)
    return (folder / _STAMP).is_file() and _python_of(folder).exists()


def ensure(lock: Lock, on_progress: Progress | None = None, *, offline: bool = False) -> Path:
    """The python of the lock's environment, which is made first where it is missing (minutes, and a network).

    Two processes may ask at once: the second waits. An interrupted build is made anew. Raises SideEnvironmentError when
    the machine or its Python is not the lock's, when packages cannot be fetched, are not the pinned ones or find no
    room, and when it would have to be made `offline`.
    """
    folder = environment_folder(lock)
    python = check(lock, offline=offline)
    if is_made(lock):
        return python
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(folder.name + ".lock"), lock, on_progress):
            if not is_made(lock):
                _build(lock, folder, python, on_progress)
    except OSError as error:
        raise SideEnvironmentError(
            f"the {lock.name} environment cannot be written to {folder}: {error}", _ROOM_HINT
        ) from error
    return _python_of(folder)


def check(lock: Lock, *, offline: bool = False) -> Path:
    """The environment's python, or the one that would make it. Raises SideEnvironmentError where `ensure` would, short
    of fetching anything.
    """
    if is_made(lock):
        return _python_of(environment_folder(lock))
    if offline:
        raise SideEnvironmentError(
            f"the {lock.name} environment has not been made yet, and --offline forbids to make it",
            f"run once without --offline ({lock.header.get('download_mb', '?')} MB are fetched)",
        )
    _check_platform(lock)
    return find_python(lock.header["python"])


_ROOM_HINT = "free some disk space, or let XDG_CACHE_HOME name a folder with more"


def find_python(version: str) -> Path:
    """An interpreter of this minor version (`3.11`): the running one, else `python3.11` on the PATH."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if running == version:
        return Path(sys.executable)
    found = [f"{sys.executable} is {running}"]
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path is None:
        found.append(f"there is no {name} on the PATH")
    else:
        asked = subprocess.run(
            [on_path, "-I", "-c", "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if asked.stdout.strip() == version:
            return Path(on_path)
        said = (asked.stdout + asked.stderr).strip().splitlines() or ["nothing"]
        found.append(f"{on_path} says {said[-1]!r}")
    raise SideEnvironmentError(
        f"this needs Python {version}, because its packages end there; found: {'; '.join(found)}",
        f"install Python {version} with its venv module (Debian: python{version}-venv), or use --converter litert",
    )


def _check_platform(lock: Lock) -> None:
    wanted, found = lock.header.get("platform", ""), f"{platform.system().lower()} {platform.machine()}"
    if wanted and found != wanted:
        raise SideEnvironmentError(
            f"the {lock.name} environment exists for {wanted} only; this machine is {found}", "use --converter litert"
        )


@contextlib.contextmanager
def _alone(path: Path, lock: Lock, on_progress: Progress | None) -> Iterator[None]:
    """Holds the file lock; waits while another process does."""
    alone = FileLock(path)
    try:
        alone.acquire(blocking=False)
    except Timeout:
        if on_progress is not None:
            on_progress(f"waiting for another edgefit that makes the {lock.name} environment", 0, len(lock.pins))
        alone.acquire()
    try:
        yield
    finally:
        alone.release()


def _build(lock: Lock, folder: Path, python: Path, on_progress: Progress | None) -> None:
    if folder.exists():
        shutil.rmtree(folder)  # an interrupted build
    needed_mb = int(lock.header.get("installed_mb", 0)) + int(lock.header.get("download_mb", 0))
    free_mb = shutil.disk_usage(folder.parent).free // 1_000_000
    if free_mb < needed_mb:
        raise SideEnvironmentError(
            f"the {lock.name} environment needs {needed_mb} MB; {folder.parent} has {free_mb} MB free", _ROOM_HINT
        )
    log = folder.with_name(folder.name + ".log")
    log.unlink(missing_ok=True)
    try:
        _run([python, "-I", "-m", "venv", folder], lock, log)
        pip: list[str | Path] = [_python_of(folder), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        install = [*pip, "install", "--no-deps", "--require-hashes", "--progress-bar", "off", "-r", lock.path]
        _run(install, lock, log, lambda: _tell(lock, folder, log, on_progress))
        _run([*pip, "check"], lock, log)
        write_atomic(folder / _STAMP, lock.text)
    finally:
        if not (folder / _STAMP).exists():  # also when interrupted: nobody needs gigabytes of a half
            shutil.rmtree(folder, ignore_errors=True)
    log.unlink(missing_ok=True)


def _run(command: list[str | Path], lock: Lock, log: Path, tell: Callable[[], None] = lambda: None) -> None:
    """Runs a step of the build, its output in the log; `tell` is called while it runs."""
    with log.open("a") as sink:
        process = subprocess.Popen([str(part) for part in command], stdout=sink, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                tell()
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:  # interrupted
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise _failure(lock, log)


def _tell(lock: Lock, folder: Path, log: Path, on_progress: Progress | None) -> None:
    if on_progress is None:
        return
    text, total = log.read_text(errors="replace"), len(lock.pins)
    if "\nInstalling collected packages" in text:
        there = sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info"))
        on_progress(f"installing the {lock.name} environment", min(there, total), total)
    else:
        begun = len(re.findall(r"^Collecting ", text, re.MULTILINE))
        on_progress(f"fetching the {lock.name} environment", min(max(begun - 1, 0), total), total)


def _failure(lock: Lock, log: Path) -> SideEnvironmentError:
    text = log.read_text(errors="replace")
    last = "\n".join([line for line in text.splitlines() if line.strip()][-_LAST_LINES:])
    what = f"the {lock.name} environment could not be made"
    if "DO NOT MATCH THE HASHES" in text or "hashes are required" in text.lower():
        return SideEnvironmentError(
            f"{what}: a package is not the pinned one\n{last}",
            "do not use it: the index, a proxy or the lock file has been changed; install edgefit again",
        )
    if "No space left on device" in text:
        return SideEnvironmentError(f"{what}: the disk is full\n{last}", _ROOM_HINT)
    if _NO_NETWORK.search(text):
        return SideEnvironmentError(
            f"{what}: packages could not be fetched\n{last}",
            f"check the network and pip's index settings and run the same command again; the whole log is {log}",
        )
    return SideEnvironmentError(f"{what}\n{last}", f"the whole log is {log}")


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"
