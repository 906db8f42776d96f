"""tensorflow: the network rebuilt in TensorFlow, layer by layer -> SavedModel -> TFLiteConverter.

The independent check on edgefit's quantizer.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy, litert
from edgefit_converters.routes.route import Draft
from edgefit_converters.routes.saved_model import PACKAGES, SavedModelRoute
from edgefit_converters.tflite import inspect, torchgraph
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.records import TFLiteModel


class TensorFlow(SavedModelRoute):
    """The route."""

    name = "tensorflow"
    stack = "torch -> TensorFlow, layer by layer -> TensorFlow's TFLiteConverter"
    packages = PACKAGES

    def export_float(self, network: deploy.Deployed, path: str | Path) -> TFLiteModel:
        """See Route."""
        with tempfile.TemporaryDirectory(prefix="edgefit-") as scratch:
            folder = Path(scratch)
            litert.export_deployed(network, folder / "graph.tflite")  # for the list of its operators
            self.write_float(_rebuild(folder / "graph.tflite", folder), network, folder, path)
        return inspect.read_model(path).as_model("float32")

    def quantize(self, draft: Draft, path: str | Path, recipe: Recipe) -> TFLiteModel:
        """See Route."""
        with tempfile.TemporaryDirectory(prefix="edgefit-") as scratch:
            return self.write_int8(_rebuild(draft.float_path, Path(scratch)), draft, Path(scratch), path, recipe)


def _rebuild(float_path: Path, folder: Path) -> dict[str, Any]:
    """The request's part that describes a float .tflite: its operators, and its constants in an .npz."""
    graph, flat = torchgraph.read_graph(float_path), FlatModel.read(float_path)
    constants = {flat.name(t): flat.constant(t) for operator, _ in flat.weighted() for t in operator.inputs[1:3]}
    np.savez(folder / "layers.npz", allow_pickle=False, **constants)
    size_px = int(flat.graph.tensors[flat.graph.inputs[0]].shape[1])
    return {"layers": str(folder / "layers.npz"), "ops": [asdict(op) for op in graph.ops], "resolution_px": size_px}
