"""What a training in progress leaves on disk after each epoch, so that a killed run goes on and ends the same.

    DIR/state.json                the trace so far, the name and SHA-256 of the tensors: renaming it in is the commit
    DIR/epoch-0007.safetensors    weights, their moving average, the best ones, AdamW's moments

No random state is kept: every random number is a function of the seed and the epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.records import Epoch, as_json

SCHEMA = "edgefit.training-state/1"


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next epoch depends on, after the last line of `trace`."""

    trace: tuple[Epoch, ...]
    tensors: dict[str, Tensor]


def save_state(folder: Path, key: str, state: TrainingState) -> None:
    """Puts the state in place of the one before it, whole or not at all. Raises OutputError."""
    name = f"epoch-{state.trace[-1].epoch:04d}.safetensors"
    raw = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in state.tensors.items()})
    document = {
        "schema": SCHEMA,
        "key": key,
        "tensors": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "trace": as_json(state.trace),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, raw)
        write_atomic(folder / "state.json", json.dumps(document))
        _remove_tensors(folder, but=name)
    except OSError as error:
        raise OutputError(
            f"the training state cannot be written to {folder}: {error}",
            "free some space, or choose another --out DIR",
        ) from error


def load_state(folder: Path, key: str) -> TrainingState | None:
    """The last finished epoch of a training with this very key; None where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        document = json.loads((folder / "state.json").read_text("utf-8"))
        if document["schema"] != SCHEMA or document["key"] != key:
            return None
        raw = (folder / str(document["tensors"])).read_bytes()
        if hashlib.sha256(raw).hexdigest() != document["sha256"]:
            return None
        trace = tuple(Epoch(**line) for line in document["trace"])
        return TrainingState(trace, safetensors.torch.load(raw)) if trace else None
    return None


def discard_state(folder: Path) -> None:
    """Removes the state of a finished training, and of others beside it that were given up: one folder a training.

    Folders in which anything else lies stay.
    """
    given_up = [document.parent for document in folder.parent.glob("*/state.json") if SCHEMA in _text(document)]
    for one in (folder, *given_up):
        (one / "state.json").unlink(missing_ok=True)
        _remove_tensors(one, but="")
        with contextlib.suppress(OSError):  # not empty, or never made
            one.rmdir()


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


def _remove_tensors(folder: Path, but: str) -> None:
    for file in folder.glob("epoch-*.safetensors"):
        if file.name != but:
            file.unlink(missing_ok=True)
