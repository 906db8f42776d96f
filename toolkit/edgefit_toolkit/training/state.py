"""What a training in progress leaves on disk, so that a killed run goes on and ends the same.

    DIR/state.json                      the trace so far, where in the next epoch it is, the name and SHA-256 of the
                                        tensors: renaming it in is the commit
    DIR/epoch-0007.safetensors          weights, their moving average, the best ones, AdamW's moments
    DIR/epoch-0007-0120.safetensors     the same 120 steps into epoch 8, with the random state of dropout

After every epoch, and within one every SAVE_EVERY_S. The order of the pictures and their views are functions of the
seed and the epoch, and are not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.records import Epoch, as_json

SCHEMA = "edgefit.training-state/2"
SAVE_EVERY_S = 240.0  # a step takes less than the minute that is left of five


@dataclass(frozen=True)
class Position:
    """How far an unfinished epoch is, and what it has added up."""

    step: int = 0  # steps done
    loss_sum: float = 0.0  # over pictures
    right: int = 0  # pictures


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next step depends on: `position` is that in the epoch after the last line of `trace`."""

    trace: tuple[Epoch, ...]
    tensors: dict[str, Tensor]
    position: Position = Position()

    @property
    def finite(self) -> bool:
        """Whether one could go on from here: a step that went wrong may show in the next one's loss only."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors.values())


class Keeper:
    """Keeps the state of one training in a folder, or, with None, nothing."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.folder, self.key = folder, key
        self._saved_s = time.monotonic()

    def load(self) -> TrainingState | None:
        """As `load_state`."""
        return None if self.folder is None else load_state(self.folder, self.key)

    @property
    def due(self) -> bool:
        """Whether the last state is SAVE_EVERY_S old."""
        return self.folder is not None and time.monotonic() - self._saved_s >= SAVE_EVERY_S

    def save(self, state: TrainingState) -> None:
        """As `save_state`, but for a state from which nothing good can come."""
        if self.folder is not None and state.finite:
            save_state(self.folder, self.key, state)
        self._saved_s = time.monotonic()


def save_state(folder: Path, key: str, state: TrainingState) -> None:
    """Puts the state in place of the one before it, whole or not at all. Raises OutputError."""
    within = f"-{state.position.step:04d}" if state.position.step else ""
    name = f"epoch-{state.trace[-1].epoch:04d}{within}.safetensors"
    raw = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in state.tensors.items()})
    document = {
        "schema": SCHEMA,
        "key": key,
        "tensors": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "position": asdict(state.position),
        "trace": as_json(state.trace),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, raw)
        write_atomic(folder / "state.json", json.dumps(document))
        for file in folder.glob("epoch-*.safetensors"):
            if file.name != name:
                file.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the training state cannot be written to {folder}: {error}",
            "free some space, or choose another --out DIR",
        ) from error


def load_state(folder: Path, key: str) -> TrainingState | None:
    """The last state of a training with this very key; None where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        document = json.loads((folder / "state.json").read_text("utf-8"))
        if document["schema"] != SCHEMA or document["key"] != key:
            return None
        raw = (folder / str(document["tensors"])).read_bytes()
        if hashlib.sha256(raw).hexdigest() != document["sha256"]:
            return None
        trace = tuple(Epoch(**line) for line in document["trace"])
        position = Position(**document["position"])
        return TrainingState(trace, safetensors.torch.load(raw), position) if trace else None
    return None
