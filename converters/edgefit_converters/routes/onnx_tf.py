"""onnx-tf: torch -> ONNX -> onnx-tf -> SavedModel -> TFLiteConverter, the card's own stack."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy, onnx_export
from edgefit_converters.routes.route import Draft
from edgefit_converters.routes.saved_model import PACKAGES, SavedModelRoute
from edgefit_converters.tflite import inspect, torchgraph
from edgefit_toolkit.records import TFLiteModel


class OnnxTf(SavedModelRoute):
    """The route; `quantize` starts from the network, not from the float .tflite."""

    name = "onnx-tf"
    stack = "torch -> ONNX -> onnx-tf -> TensorFlow's TFLiteConverter"
    packages = ("onnx", "onnx-tf", "tensorflow-addons", *PACKAGES)

    def export_float(self, network: deploy.Deployed, path: str | Path) -> TFLiteModel:
        """See Route."""
        with tempfile.TemporaryDirectory(prefix="edgefit-") as scratch:
            folder = Path(scratch)
            onnx_export.export_onnx(network, folder / "network.onnx")
            self.write_float({"onnx": str(folder / "network.onnx")}, network, folder, path)
        return inspect.read_model(path).as_model("float32")

    def quantize(self, draft: Draft, path: str | Path, recipe: Recipe) -> TFLiteModel:
        """See Route. `draft.network` must be there."""
        if draft.network is None:
            raise ValueError("the onnx-tf route starts from the network, and the draft has none")
        with tempfile.TemporaryDirectory(prefix="edgefit-") as scratch:
            folder = Path(scratch)
            layers = torchgraph.read_graph(draft.float_path).layers
            onnx_export.export_onnx(draft.network, folder / "network.onnx", layers)
            return self.write_int8({"onnx": str(folder / "network.onnx")}, draft, folder, path, recipe)
