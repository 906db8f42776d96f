"""Which micro-kernels XNNPACK picks on which core, and whose pipeline model says what they cost. Data, with reasons.

XNNPACK asks cpuinfo for the core's identity (MIDR) and for its instructions, and picks a set of kernels; so a set is
counted on an emulated core of that identity. LLVM has pipeline models of the Neoverse cores and of Arm's small cores;
`-mcpu=cortex-a76`, `cortex-a78` and `cortex-x1` silently give the Cortex-A57's, so the Neoverse twin is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgefit_toolkit.records import Precision


@dataclass(frozen=True)
class KernelSet:
    """Kernels that one kind of core is given."""

    midr_part: str  # of /proc/cpuinfo: what the core calls itself
    cpu: str  # qemu's -cpu: which instructions it has
    precisions: tuple[Precision, ...]
    pipelines: tuple[str, ...]  # LLVM's models of the cores that run these kernels


NEON, DOT, I8MM = "cortex-a72", "cortex-a76", "max,sve=off,sme=off"
KERNEL_SETS: dict[str, KernelSet] = {
    "a76": KernelSet("0xd0b", DOT, ("int8", "float32"), ("neoverse-n1", "neoverse-v1", "neoverse-v2", "cortex-a57")),
    "x3": KernelSet("0xd4e", I8MM, ("int8", "float32"), ("neoverse-n2", "neoverse-v2", "cortex-a510")),
    "a78": KernelSet("0xd41", DOT, ("float32",), ("neoverse-n1", "neoverse-v1")),
    "a72": KernelSet("0xd08", NEON, ("int8", "float32"), ("cortex-a57",)),
    "a73": KernelSet("0xd09", NEON, ("float32",), ("cortex-a57",)),
    "a57": KernelSet("0xd07", NEON, ("int8",), ("cortex-a57",)),
    "kryo": KernelSet("0x205", NEON, ("int8", "float32"), ("kryo",)),
    "a53": KernelSet("0xd03", NEON, ("int8", "float32"), ("cortex-a53",)),
    "a55": KernelSet("0xd05", DOT, ("int8", "float32"), ("cortex-a55",)),
}
QUALCOMM = ("kryo",)  # MIDR implementer 0x51; all others are Arm's own, 0x41


@dataclass(frozen=True)
class CoreKind:
    """What stands for one microarchitecture."""

    pipeline: str
    int8: str  # kernel set
    float32: str
    own: bool  # the pipeline model is this very core's, or its Neoverse twin's
    why: str


_TWIN = "Arm derives the Neoverse core from it"
CORES: dict[str, CoreKind] = {
    "Cortex-A53": CoreKind("cortex-a53", "a53", "a53", True, "LLVM's own model"),
    "Cortex-A55": CoreKind("cortex-a55", "a55", "a55", True, "LLVM's own model"),
    "Cortex-A510": CoreKind("cortex-a510", "x3", "x3", True, "LLVM's own model"),
    "Cortex-A520": CoreKind("cortex-a510", "x3", "x3", False, "successor; LLVM uses the A510's model too"),
    "Cortex-A57": CoreKind("cortex-a57", "a57", "a76", True, "LLVM's own model"),
    "Kryo": CoreKind("kryo", "kryo", "kryo", True, "LLVM's own model"),
    "Cortex-A72": CoreKind("cortex-a57", "a72", "a72", False, "successor of the A57; LLVM has no other"),
    "Cortex-A73": CoreKind("cortex-a57", "a72", "a73", False, "narrower front end; LLVM has no other"),
    "Cortex-A75": CoreKind("cortex-a57", "a57", "a76", False, "wider front end, same vector units; LLVM has no other"),
    "Cortex-A76": CoreKind("neoverse-n1", "a76", "a76", True, _TWIN),
    "Cortex-A77": CoreKind("neoverse-n1", "a76", "a78", False, "wider front end, same vector units as the A76"),
    "Cortex-A78": CoreKind("neoverse-n1", "a76", "a78", False, "wider front end, same vector units as the A76"),
    "Cortex-A710": CoreKind("neoverse-n2", "x3", "x3", True, _TWIN),
    "Cortex-A715": CoreKind("neoverse-n2", "x3", "x3", False, "successor of the A710; LLVM has no other"),
    "Cortex-A720": CoreKind("neoverse-n2", "x3", "x3", False, "successor of the A715; LLVM has no other"),
    "Cortex-A725": CoreKind("neoverse-n2", "x3", "x3", False, "successor of the A720; LLVM has no other"),
    "Cortex-X1": CoreKind("neoverse-v1", "a76", "a78", True, _TWIN),
    "Cortex-X2": CoreKind("neoverse-v2", "x3", "x3", False, "predecessor of the X3, same four vector pipes"),
    "Cortex-X3": CoreKind("neoverse-v2", "x3", "x3", True, _TWIN),
    "Cortex-X4": CoreKind("neoverse-v2", "x3", "x3", False, "successor of the X3, same four vector pipes"),
    "Cortex-X925": CoreKind("neoverse-v2", "x3", "x3", False, "six vector pipes against the X3's four"),
    "Oryon-L": CoreKind("neoverse-v2", "x3", "x3", False, "four vector pipes; LLVM's own model lacks instructions"),
    "Oryon-M": CoreKind("neoverse-v2", "x3", "x3", False, "four vector pipes; LLVM's own model lacks instructions"),
}
