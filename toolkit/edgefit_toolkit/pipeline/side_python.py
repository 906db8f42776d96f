"""The python of the side environment that has tflite-runtime (and TensorFlow, onnx-tf), made on first use."""

from __future__ import annotations

from pathlib import Path

from edgefit_converters.routes.environments import ensure
from edgefit_toolkit.progress import Ui


def side_python(ui: Ui, *, offline: bool = False) -> Path:
    """Its interpreter; progress is shown while it is made. Raises SideEnvironmentError when it cannot be."""
    from edgefit_converters.routes.routes import ENVIRONMENT

    return ensure(ENVIRONMENT, ui.progress, offline=offline)
