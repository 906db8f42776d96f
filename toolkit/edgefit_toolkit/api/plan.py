"""The pick from Python: a plan that shows itself, as a table in a terminal and with its plot in a notebook."""

from __future__ import annotations

import dataclasses
import html
import io
from collections.abc import Mapping
from typing import Any

from edgefit_toolkit.api.console import listener
from edgefit_toolkit.network.families import DEFAULT_FAMILY
from edgefit_toolkit.picker import plan as picked
from edgefit_toolkit.progress import Progress, Ui
from edgefit_toolkit.records import Budget

WIDE = 100  # characters of a plan as text
NOTEBOOK_PX = 880  # height of a plan in a notebook


class Plan(picked.Plan):
    """`pick`, `next` (the next larger network, which does not fit), `frontier` (every network) and `notes`.

    `pick.phi`, `pick.variant` and `pick.latency` say which network it is and how quick; `str(plan)` is the table.
    """

    def __str__(self) -> str:
        from rich.console import Console

        from edgefit_toolkit.picker.view import render_plan

        text = io.StringIO()
        Console(file=text, width=WIDE, highlight=False, no_color=True, force_jupyter=False).print(render_plan(self))
        return text.getvalue().rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """A page of its own in a frame, so that neither its style nor the notebook's reaches the other."""
        from edgefit_toolkit.report.html import render_plan_page

        document: Any = picked.plan_json(self)
        page, style = html.escape(render_plan_page(document)), f"width:100%;height:{NOTEBOOK_PX}px;border:0"
        return f'<iframe srcdoc="{page}" style="{style}" title="edgefit plan"></iframe>'


def plan(  # noqa: PLR0913  (one keyword a flag of `edgefit plan`)
    budget_ms: float,
    device: str,
    *,
    percentile: int = 90,
    confidence: float = 0.5,
    accelerator: str = "cpu",
    family: str = DEFAULT_FAMILY,
    scaling: str = "continuous",
    network: str | None = None,
    phi: float | None = None,
    measure: bool = True,
    where: Mapping[str, str] | None = None,
    threads: int | None = None,
    on_progress: Progress | Ui | None = None,
) -> Plan:
    """The largest network that answers within `budget_ms` on `device`, and the next one, which does not.

    When the device is attached (or is "host") and `measure` is true, untrained networks are timed until both are
    proven; else the latency is predicted, and says so. `network` (a released one by name) or `phi` skip the picking:
    the plan is then about that one. A prediction must hold with probability `confidence`; `accelerator` is "cpu"
    (int8), "gpu" (float16, predicted only) or "auto", whichever takes the larger network. `where` names one phone or
    board as the flags do: {"serial": ...} or {"host": "user@board"}. Raises BudgetMissed, DeviceUnknown, InputError,
    DeviceError.
    """
    from edgefit_toolkit.picker.search import chosen_variant, make_plan

    chosen = chosen_variant(network, phi, family)
    budget = Budget(budget_ms, percentile, confidence)
    found = make_plan(budget, device, family=family, scaling=scaling, chosen=chosen, accelerator=accelerator)
    if measure and chosen is None and found.accelerator == "cpu":  # probes are int8
        found = _measured(found, where, threads, on_progress)
    return Plan(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})


def _measured(
    found: picked.Plan, where: Mapping[str, str] | None, threads: int | None, on_progress: Progress | Ui | None
) -> picked.Plan:
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.pipeline.measuring.bench import find_bench
    from edgefit_toolkit.pipeline.measuring.prove import prove

    with listener(on_progress) as ui:
        bench = find_bench(load_profile(found.device), where, threads=threads, ui=ui)
        return found if bench is None else prove(found, bench, ui)[0]
