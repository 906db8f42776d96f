"""Processor architectures under Android's names ("arm64-v8a"), and what others call them."""

from __future__ import annotations

# uname -m -> ABI
ABIS = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "armv7l": "armeabi-v7a",
}

# What uname -m, and Linux's own /proc/sys/kernel/arch, call the machines of an ABI
ARCHITECTURES = {
    "arm64-v8a": {"aarch64", "arm64"},
    "armeabi-v7a": {"armv7l", "armv8l", "aarch64", "arm", "arm64"},
    "x86_64": {"x86_64"},
    "x86": {"i686", "x86", "x86_64"},
}

# e_machine of an ELF file -> ABI (elf.h: EM_X86_64, EM_AARCH64, EM_ARM, EM_386)
MACHINES = {62: "x86_64", 183: "arm64-v8a", 40: "armeabi-v7a", 3: "x86"}


def is_foreign(abi: str, kernel: str) -> bool:
    """Whether programs of `abi` cannot be a kernel's own: they are emulated (qemu-user answers uname, not that file).

    `kernel` is /proc/sys/kernel/arch; empty, or an ABI that is not known, tells nothing.
    """
    return bool(kernel and abi in ARCHITECTURES and kernel not in ARCHITECTURES[abi])
