"""edgefit: from a latency budget to a phone-ready int8 image classifier.

    import edgefit_toolkit as edgefit

    plan = edgefit.plan(budget_ms=30, device="pixel7")                  # which network, how quick, what does not fit
    run = edgefit.fit(budget_ms=30, device="pixel7", data="./plants")   # train, convert, guard, benchmark, report
    model = edgefit.load(run.path)                                      # the int8 file, as the app answers
    model("rose.jpg")
    edgefit.bench(run.model, device="host")
    edgefit.EfficientNet(phi=1.5, classes=5)                            # the network itself, a torch.nn.Module

Everything is imported when it is first used: importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefit_toolkit.api.bench import bench as bench
    from edgefit_toolkit.api.fit import Run as Run
    from edgefit_toolkit.api.fit import fit as fit
    from edgefit_toolkit.api.model import Answer as Answer
    from edgefit_toolkit.api.model import load as load
    from edgefit_toolkit.api.plan import Plan as Plan
    from edgefit_toolkit.api.plan import plan as plan
    from edgefit_toolkit.api.sweep import Sweep as Sweep
    from edgefit_toolkit.api.sweep import sweep as sweep
    from edgefit_toolkit.errors import EdgefitError as EdgefitError
    from edgefit_toolkit.network.efficientnet import EfficientNet as EfficientNet

__version__ = "0.2.0"

_PUBLIC = {
    "Answer": "api.model",
    "EdgefitError": "errors",
    "EfficientNet": "network.efficientnet",
    "Plan": "api.plan",
    "Run": "api.fit",
    "Sweep": "api.sweep",
    "bench": "api.bench",
    "fit": "api.fit",
    "load": "api.model",
    "plan": "api.plan",
    "sweep": "api.sweep",
}
__all__ = [
    "Answer", "EdgefitError", "EfficientNet", "Plan", "Run", "Sweep", "__version__", "bench", "fit", "load",
    "plan", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
