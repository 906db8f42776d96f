"""The whole job from Python, and the run that it leaves."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.api.console import listener
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.progress import Progress, Ui

if TYPE_CHECKING:
    from edgefit_toolkit.api.model import Model
    from edgefit_toolkit.pipeline.settings import FitSettings
    from edgefit_toolkit.report.schema import ReportDoc


@dataclass(frozen=True)
class Run:
    """A finished run directory."""

    path: Path
    report: ReportDoc  # report.json, schema edgefit.report/1

    @property
    def model(self) -> Path:
        """The int8 .tflite."""
        return self.path / self.report["models"]["int8"]["path"]

    @property
    def fits(self) -> bool:
        """Whether the int8 model answers within the budget."""
        return self.report["verdict"]["fits"]

    def load(self) -> Model:
        """The int8 model, callable on pictures."""
        from edgefit_toolkit.api.model import load

        return load(self.path)

    def __str__(self) -> str:
        return f"{self.report['verdict']['sentence']}\n  {self.model}\n  {self.path / 'report.html'}"


def fit(
    budget_ms: float,
    device: str,
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    on_progress: Progress | Ui | None = None,
    **choices: Any,
) -> Run:
    """Pick, fine-tune, convert, guard, benchmark and report; a broken or finished run in `out` goes on where it was.

    `data` is what --data takes (None: the drawn demo set), `out` the run directory (None: the command line's default).
    `choices` are the other fields of FitSettings, such as seed=1, epochs=10, family="b", offline=True. `on_progress`
    hears (label, done, total, detail), or is a whole `Ui`; None: lines on stderr.

    Raises BudgetMissed, GuardFailed, InputError and its kinds, DeviceError, ConversionError.
    """
    settings = settings_of(budget_ms=budget_ms, device=device, data=None if data is None else str(data), **choices)
    return run(settings, out, on_progress, command=f"edgefit.{_call(settings)}")


def run(settings: FitSettings, out: str | Path | None, on_progress: Progress | Ui | None, *, command: str) -> Run:
    """The job of these settings; `command` is what the report names as the way to do it again. Raises as `fit` does."""
    from edgefit_toolkit.pipeline.fit import fit as fit_pipeline
    from edgefit_toolkit.pipeline.settings import default_out

    path = default_out(settings) if out is None else Path(out)
    with listener(on_progress) as ui:
        document: Any = fit_pipeline(settings, path, ui, command=command)
    return Run(path, document)


def settings_of(**choices: Any) -> FitSettings:
    """FitSettings of these choices. Raises InputError for a name that it does not have."""
    from edgefit_toolkit.pipeline.settings import FitSettings

    known = [field.name for field in dataclasses.fields(FitSettings)]
    for name in choices:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise InputError(f"fit has no choice {name!r}; near: {', '.join(near)}")
    return FitSettings(**choices)


def _call(settings: FitSettings) -> str:
    """The call that makes this run again: what differs from the defaults."""
    said = [
        f"{field.name}={getattr(settings, field.name)!r}"
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != _default(field)
    ]
    return f"fit({', '.join(said)})"


def _default(field: dataclasses.Field[Any]) -> Any:
    """MISSING, which no setting is, where there is none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
