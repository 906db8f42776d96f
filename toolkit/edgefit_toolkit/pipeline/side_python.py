"""The python of the side environment that has tflite-runtime (and TensorFlow, onnx-tf), made on first use."""

from __future__ import annotations

from pathlib import Path

from edgefit_converters.routes.environments import TENSORFLOW, ensure
from edgefit_toolkit.progress import Ui


def side_python(ui: Ui, *, offline: bool = False) -> Path:
    """Its interpreter; progress is shown while it is made. Raises SideEnvironmentError when it cannot be."""
    return ensure(TENSORFLOW, ui.progress, offline=offline)
