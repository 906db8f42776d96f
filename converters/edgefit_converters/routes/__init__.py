"""From the network to .tflite files. Every converter route by name: one module a route, and one entry in ROUTES."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edgefit_converters.routes.installed import check_installed
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.progress import Progress

if TYPE_CHECKING:
    from edgefit_converters.routes.route import Route

ROUTES = {  # name, as in --converter -> module and class, imported when it is opened: each brings seconds of packages
    "litert": ("edgefit_converters.routes.litert", "LiteRT"),
    "onnx-tf": ("edgefit_converters.routes.onnx_tf", "OnnxTf"),
    "tensorflow": ("edgefit_converters.routes.tensorflow", "TensorFlow"),
}
DEFAULT = "litert"


def check_route(name: str, *, offline: bool = False) -> None:
    """Whether the route can convert on this machine, asked before anything is trained for it.

    Raises ConversionError, SideEnvironmentError, and InputError for an unknown name.
    """
    if name == DEFAULT:
        check_installed()  # at once, without loading what would convert
    else:
        open_route(name, offline=offline).check()


def open_route(name: str, on_progress: Progress | None = None, *, offline: bool = False) -> Route:
    """The route of this name; at once, whatever it needs is made when it converts.

    `offline` forbids to fetch a side environment that is not there yet. Raises InputError for an unknown name.
    """
    if name not in ROUTES:
        raise InputError(f"{name!r} is not a converter; valid: {', '.join(ROUTES)}", f"use --converter {DEFAULT}")
    module, kind = ROUTES[name]
    route: Route = getattr(import_module(module), kind)(on_progress, offline=offline)
    return route
