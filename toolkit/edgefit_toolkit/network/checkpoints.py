"""A fine-tuned network on disk: NAME.safetensors with the tensors, NAME.json with what they are. No pickle.

The sidecar names the tensors' SHA-256 and is written last, so that a pair cut short by a crash is refused, not used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.records import Preprocessing, Variant, as_json

SCHEMA = "edgefit.checkpoint/1"


@dataclass(frozen=True)
class CheckpointMeta:
    """What a reader must know to use the tensors: how to build the network, how to feed it, what it answers."""

    variant: Variant
    preprocessing: Preprocessing
    classes: tuple[str, ...]  # in the order of the network's answers
    temperature: float  # divides the logits before the softmax
    val_top1: float
    provenance: Mapping[str, Any] = field(default_factory=dict)  # of the ImageNet weights it began with
    training: Mapping[str, Any] = field(default_factory=dict)  # settings, seconds, best epoch
    versions: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""  # of the tensors file; filled in by save_checkpoint


def sidecar_of(path: Path) -> Path:
    """The JSON file beside a checkpoint."""
    return path.with_suffix(".json")


def save_checkpoint(path: Path, network: EfficientNet, meta: CheckpointMeta) -> CheckpointMeta:
    """Writes `path` (a .safetensors name) and its sidecar; returns the meta with the tensors' hash.

    Raises InputError when network and meta do not belong together, OutputError when they cannot be written.
    """
    if network.variant != meta.variant or len(meta.classes) != network.variant.classes:
        raise InputError(
            f"the network is {network.variant.label} with {network.variant.classes} classes, "
            f"its description {meta.variant.label} with {len(meta.classes)} names"
        )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    raw = safetensors.torch.save(tensors)
    meta = dataclasses.replace(meta, sha256=hashlib.sha256(raw).hexdigest())
    document = {"schema": SCHEMA, "tensors": path.name, **as_json(meta)}
    try:
        write_atomic(path, raw)
        write_atomic(sidecar_of(path), json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error}", "free some space, or choose another --out DIR"
        ) from error
    return meta


def load_checkpoint(path: Path) -> tuple[EfficientNet, CheckpointMeta]:
    """The network in eval mode, on the CPU, and its meta.

    Raises InputError when a file is missing, is not a checkpoint, was changed, or holds another network's tensors.
    """
    meta = _read_sidecar(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _broken(path, f"cannot be read: {error}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != meta.sha256:
        raise _broken(path, f"has SHA-256 {found[:12]}..., its description says {meta.sha256[:12]}...")
    try:
        network = EfficientNet.from_variant(meta.variant)
        network.load_state_dict(safetensors.torch.load(raw))
    except (safetensors.SafetensorError, RuntimeError, TypeError, ValueError, InputError) as error:
        raise _broken(path, f"does not hold the tensors of {meta.variant.label}: {_first_line(error)}") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise _broken(path, "holds numbers that are not finite")
    return network.eval(), meta


def _read_sidecar(path: Path) -> CheckpointMeta:
    sidecar = sidecar_of(path)
    try:
        document = json.loads(sidecar.read_text("utf-8"))
    except OSError as error:
        raise _broken(sidecar, f"cannot be read: {error}") from error
    except ValueError as error:
        raise _broken(sidecar, f"is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _broken(sidecar, f"is not an {SCHEMA} document")
    try:
        values = {f.name: document[f.name] for f in dataclasses.fields(CheckpointMeta)}
        values["variant"] = Variant(**values["variant"])
        values["preprocessing"] = Preprocessing(**values["preprocessing"])
        values["classes"] = tuple(str(name) for name in values["classes"])
        meta = CheckpointMeta(**values)
        if not (math.isfinite(meta.temperature) and meta.temperature > 0):
            raise ValueError(f"temperature {meta.temperature}")
        if len(meta.classes) != meta.variant.classes:
            raise ValueError(f"{len(meta.classes)} class names for {meta.variant.classes} classes")
        if not isinstance(meta.sha256, str):
            raise ValueError(f"sha256 {meta.sha256!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(sidecar, f"has a field missing or wrong: {_first_line(error)}") from error
    return meta


def _broken(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}", "train again with `edgefit train`, or copy both files of the checkpoint anew")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
