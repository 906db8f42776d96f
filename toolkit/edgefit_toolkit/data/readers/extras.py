"""Libraries that one kind of data set needs and the others do without."""

from __future__ import annotations

import importlib
from types import ModuleType

from edgefit_toolkit.errors import DataError


def need(module: str, extra: str, what: str) -> ModuleType:
    """The module. Raises DataError with what to install where it is missing; `what` needs it, `extra` brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise DataError(
            f"{what} needs the package {package}, which is not installed", f"pip install 'edgefit-toolkit[{extra}]'"
        ) from error
