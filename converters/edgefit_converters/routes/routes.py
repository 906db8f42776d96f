"""The converter routes by name: the default, the card's own, and TensorFlow's converter on a rebuilt network."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from edgefit_converters.int8 import quantize
from edgefit_converters.recipe import Recipe, Rung
from edgefit_converters.routes import litert
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.routes.environments import Lock
from edgefit_converters.routes.route import Draft, Route
from edgefit_converters.routes.side_worker import SideWorker
from edgefit_converters.routes.tensorflow import OnnxTf, TensorFlow
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import TFLiteModel

DEFAULT = "litert"
NAMES = (DEFAULT, "onnx-tf", "tensorflow")
ENVIRONMENT = Lock("tf215", Path(__file__).with_name("locks") / "tf215.txt")  # TensorFlow, onnx-tf, tflite-runtime
WORKER = Path(__file__).with_name("tensorflow_worker.py")

__all__ = ["DEFAULT", "ENVIRONMENT", "NAMES", "Draft", "LiteRT", "Progress", "Route", "open_route"]


def open_route(name: str, on_progress: Progress | None = None, *, offline: bool = False) -> Route:
    """The route of this name; at once, whatever it needs is made when it converts.

    `offline` forbids to fetch a side environment that is not there yet. Raises InputError for an unknown name.
    """
    worker = SideWorker(ENVIRONMENT, WORKER, on_progress, offline=offline)
    routes: tuple[Route, ...] = (LiteRT(), OnnxTf(worker), TensorFlow(worker))
    for route in routes:
        if route.name == name:
            return route
    raise InputError(f"{name!r} is not a converter; valid: {', '.join(NAMES)}", f"use --converter {DEFAULT}")


class LiteRT:
    """The default: litert-torch writes the float file, ai-edge-quantizer makes it int8 with edgefit's ranges."""

    name = "litert"
    stack = "torch -> litert-torch -> ai-edge-quantizer"

    def versions(self) -> dict[str, str]:
        """Of the packages that convert."""
        return {package: version(package) for package in ("torch", "litert-torch", "ai-edge-quantizer")}

    def to_make(self) -> str:
        """Nothing: it came with the install."""
        return ""

    def declines(self, rung: Rung) -> str:
        """Nothing: the ladder was made for this route."""
        return ""

    def export_float(self, network: Deployed, path: str | Path) -> TFLiteModel:
        """See Route."""
        return litert.export_deployed(network, path)

    def quantize(self, draft: Draft, path: str | Path, recipe: Recipe) -> TFLiteModel:
        """See Route."""
        return quantize.quantize_with(draft.float_path, draft.ranges, path, recipe, draft.scales)
