"""What a user asked of one run."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.families import DEFAULT_FAMILY
from edgefit_toolkit.pipeline.run_directory.place import first_free
from edgefit_toolkit.pipeline.run_directory.run import MANIFEST
from edgefit_toolkit.records import IoDtype

Balance = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class FitSettings:
    """Every choice that changes what a run makes. Checked where it is used, so that each has one message."""

    budget_ms: float
    device: str
    percentile: int = 90
    confidence: float = 0.5  # that a predicted pick must fit with
    family: str = DEFAULT_FAMILY
    scaling: str = "continuous"
    network: str | None = None  # a released one by name, instead of picking
    phi: float | None = None  # this one, instead of picking
    data: str | None = None  # a folder, "flowers", or None for the drawn demo set
    taxonomy: str | None = None  # a table of the classes' species, genera, ...; None: the data folder's, if it has one
    other: str | None = None  # a folder of photographs of other things, to be turned away
    places: str | None = None  # a table of where and when classes occur; None: the data folder's, if it has one
    precision: float = 0.95  # wanted share of right answers among those that the app is sure of
    seed: int = 0
    epochs: int | None = None  # None: chosen from the size of the job
    compile: bool = False  # training, by torch.compile
    teacher: str | None = (
        None  # whose answers are learnt beside the labels: a run, a checkpoint, a released network; or "auto"
    )
    balance: Balance = "auto"  # each class counts alike; auto: where the largest has ten times the smallest's pictures
    threads: int | None = None  # of host measurements; None: the host's cores, at most 4
    offline: bool = False
    where: dict[str, str] = field(default_factory=dict)  # what to measure on: flag of a kind of target -> its name
    measure: bool = True  # on the device, when it is there; False: predict only
    calibration_n: int = 96  # photographs that set the int8 ranges
    io_dtype: IoDtype = "uint8"  # of the int8 model's input and output
    converter: str = "litert"  # the route to .tflite: see edgefit_converters.routes.ROUTES

    @property
    def chosen(self) -> bool:
        """Whether the network was asked for, so that nothing picks and nothing steps down."""
        return self.network is not None or self.phi is not None


DEFAULTS = {field.name: field.default for field in dataclasses.fields(FitSettings)}
NAMED = {  # what a run's name says of a choice that is not the default
    "percentile": "p{}",
    "confidence": "confidence{:g}",
    "family": "{}",
    "scaling": "{}",
    "network": "{}",
    "phi": "phi{:g}",
    "io_dtype": "{}-io",
    "converter": "{}",
    "epochs": "{}epochs",
    "compile": "compiled",
    "teacher": "teacher-{}",
    "balance": "balance-{}",
}


def default_out(settings: FitSettings) -> Path:
    """The run directory of these settings: the same command finds its own run again."""
    return first_free(name_of(settings), dataclasses.asdict(settings))


def name_of(settings: FitSettings) -> str:
    """What tells a run of these settings from others: `pixel7-30ms-plants-seed0`."""
    data = "demo" if settings.data is None else Path(settings.data).resolve().name
    parts = [settings.device, f"{settings.budget_ms:g}ms", data, f"seed{settings.seed}"]
    for name, said in NAMED.items():
        value = getattr(settings, name)
        if value != DEFAULTS[name]:
            parts.append(said.format(Path(value).stem if name == "teacher" else value))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))


def saved_settings(run_dir: Path) -> tuple[FitSettings, str]:
    """The settings and the command that a run directory was made with. Raises InputError when it is none."""
    file = run_dir / MANIFEST
    try:
        saved = dict(json.loads(file.read_bytes())["settings"])
        saved.setdefault("where", {flag: saved[flag] for flag in ("serial", "host") if saved.get(flag)})
        fields = {field.name: field for field in dataclasses.fields(FitSettings)}
        missing = [name for name, field in fields.items() if name not in saved and field.default is dataclasses.MISSING]
        if missing:
            raise ValueError(f"it has no {missing[0]}")
        known = {name: saved[name] for name in fields if name in saved}  # an older run knows fewer choices
        return msgspec.convert(known, FitSettings), str(saved["command"])
    except FileNotFoundError as error:
        raise InputError(
            f"{run_dir} is not a run directory: it has no {MANIFEST}", "name the --out of a run"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise InputError(
            f"{file} cannot be read: {error}", "the `edgefit fit` command that made the run does what is missing again"
        ) from error
