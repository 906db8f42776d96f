"""The runner, packed: a program with its dynamic loader and every library that it needs, in one folder.

    python -m edgefit_benchmarks.native.package --abi arm64-v8a

It starts on any Linux kernel of its architecture, Android's too, because it brings its C library along. It is
made on the user's machine and kept in the cache: the loader and the libraries come from the cross compiler's own
folders, LiteRT from the wheel of the very version that runs on this host, so that answers can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import platformdirs

from edgefit_benchmarks.abi import ABIS
from edgefit_toolkit.errors import DeviceError, DownloadError, EdgefitError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.host import python_module

SOURCE = Path(__file__).with_name("edgefit_runner.c")
RUNNER = "edgefit_runner"
LITERT_LIBRARY = "libLiteRt.so"
MANIFEST = "bundle.json"

LITERT_VERSION = "2.3.0"
# The Linux wheel of ai-edge-litert for each foreign ABI: platform tag for pip, SHA-256 of the file
WHEELS = {
    "arm64-v8a": (
        "manylinux_2_27_aarch64",
        "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
    ),
}
COMPILERS = {"arm64-v8a": "aarch64-linux-gnu-gcc", "x86_64": "gcc"}
LOADERS = {"arm64-v8a": "ld-linux-aarch64.so.1", "x86_64": "ld-linux-x86-64.so.2"}
# What the runner and libLiteRt.so (its DT_NEEDED) load, beside the loader
LIBRARIES = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1")


@dataclass(frozen=True)
class RunnerPackage:
    """A runner that is ready to be pushed."""

    abi: str
    folder: Path
    files: dict[str, str]  # name -> SHA-256; all of them go into one folder on the target
    loader: str
    litert_version: str

    @property
    def name(self) -> str:
        """The folder's name on a target: another runner, another folder."""
        return f"runner-{hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:16]}"

    def command(self, folder: str) -> list[str]:
        """How the runner is started once its files lie in `folder`; flags follow."""
        return [
            f"{folder}/{self.loader}",
            "--library-path",
            folder,
            f"{folder}/{RUNNER}",
            f"--lib={folder}/{LITERT_LIBRARY}",
        ]


def cache_dir() -> Path:
    """Where packed runners are kept: $EDGEFIT_RUNNERS, else below the user's cache."""
    own = os.environ.get("EDGEFIT_RUNNERS")
    return Path(own) if own else Path(platformdirs.user_cache_path("edgefit")) / "runner"


def package_path(abi: str) -> Path:
    """Where the runner of this source and LiteRT version lies, or would lie."""
    return cache_dir() / f"{abi}-litert{LITERT_VERSION}-{sha256_of(SOURCE)[:8]}"


def find_package(abi: str) -> RunnerPackage | None:
    """The packed runner from the cache; None when there is none or a file of it has changed."""
    folder = package_path(abi)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    package = RunnerPackage(abi, folder, manifest["files"], manifest["loader"], manifest["litert_version"])
    whole = all((folder / n).is_file() and sha256_of(folder / n) == sha for n, sha in package.files.items())
    return package if whole else None


def build_package(abi: str, *, compiler: str | None = None) -> RunnerPackage:
    """Compile the runner for `abi` and gather its libraries into the cache.

    `compiler` is a gcc for that ABI (default: COMPILERS). DeviceError when no runner is known for the ABI or the
    compiler is missing; DownloadError when the wheel cannot be had or is not the pinned one.
    """
    if abi not in COMPILERS:
        raise DeviceError(f"there is no runner for {abi}; there is one for {', '.join(COMPILERS)}", "use such a device")
    cc = shutil.which(compiler or COMPILERS[abi])
    if cc is None:
        raise DeviceError(
            f"the runner for {abi} is not built, and there is no {compiler or COMPILERS[abi]}", how_to_build(abi)
        )
    target = package_path(abi)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as work:
        folder = Path(work) / "packed"
        folder.mkdir()
        _run(
            [
                cc,
                "-std=gnu11",
                "-O2",
                "-s",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-o",
                str(folder / RUNNER),
                str(SOURCE),
                "-ldl",
            ]
        )
        for name in (LOADERS[abi], *LIBRARIES):
            shutil.copyfile(_library(cc, name), folder / name)
        shutil.copyfile(_litert_library(abi, Path(work)), folder / LITERT_LIBRARY)
        for name in (RUNNER, LOADERS[abi]):
            (folder / name).chmod(0o755)
        manifest = {
            "schema": "edgefit.runner-bundle/1",
            "abi": abi,
            "loader": LOADERS[abi],
            "litert_version": LITERT_VERSION,
            "compiler": _run([cc, "--version"]).splitlines()[0],
            "files": {path.name: sha256_of(path) for path in sorted(folder.iterdir())},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
    return RunnerPackage(abi, target, manifest["files"], LOADERS[abi], LITERT_VERSION)  # type: ignore[arg-type]


def how_to_build(abi: str) -> str:
    """The commands that make a bundle."""
    package = {"arm64-v8a": "apt install gcc-aarch64-linux-gnu", "x86_64": "apt install gcc"}.get(abi, "")
    return f"{package} (Debian), then `python -m edgefit_benchmarks.native.package --abi {abi}`"


def _litert_library(abi: str, work: Path) -> Path:
    """libLiteRt.so of LITERT_VERSION for `abi`: the installed one for this host, else out of the pinned wheel."""
    if ABIS.get(platform.machine()) == abi and platform.system() == "Linux":
        installed = metadata.version("ai-edge-litert")
        if installed != LITERT_VERSION:
            raise DownloadError(
                f"ai-edge-litert {installed} is installed, the runner is for {LITERT_VERSION}", "reinstall"
            )
        return Path(str(metadata.distribution("ai-edge-litert").locate_file(f"ai_edge_litert/{LITERT_LIBRARY}")))
    tag, expected = WHEELS[abi]
    command = [*python_module("pip"), "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", tag, "--python-version", "3.11", "--dest", str(work), f"ai-edge-litert=={LITERT_VERSION}"]
    try:
        _run(command)
    except DeviceError as error:
        raise DownloadError(
            f"the {tag} wheel of ai-edge-litert did not come: {error.message}", "is there a network?"
        ) from error
    (wheel,) = work.glob("ai_edge_litert-*.whl")
    found = sha256_of(wheel)
    if found != expected:
        raise DownloadError(f"{wheel.name} has SHA-256 {found}, pinned is {expected}", "do not use it")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(f"ai_edge_litert/{LITERT_LIBRARY}", work))


def _library(cc: str, name: str) -> Path:
    """A run-time library as the compiler finds it."""
    found = Path(_run([cc, f"-print-file-name={name}"]).strip())
    if not found.is_absolute() or not found.exists():
        raise DeviceError(f"{cc} has no {name}", "install the compiler's C and C++ libraries")
    return found


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise DeviceError(f"{Path(command[0]).name} failed: {said[-1]}", "edgefit doctor")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the runner for an ABI into the cache.")
    parser.add_argument("--abi", choices=sorted(COMPILERS), default="arm64-v8a")
    parser.add_argument("--compiler", help="a gcc for that ABI")
    args = parser.parse_args()
    try:
        package = build_package(args.abi, compiler=args.compiler)
    except EdgefitError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    megabytes = sum((package.folder / name).stat().st_size for name in package.files) / 1e6
    print(f"{package.folder}  ({megabytes:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
