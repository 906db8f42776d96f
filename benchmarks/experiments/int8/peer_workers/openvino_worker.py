"""OpenVINO: post-training quantization by NNCF."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# both report to their maker unless these say no: a benchmark tells nobody anything
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
os.environ["NNCF_CI"] = "1"

import nncf  # noqa: E402
import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
from common import Floats, Worker  # noqa: E402
from nncf.quantization.advanced_parameters import OverflowFix  # noqa: E402

MIXED = nncf.QuantizationPreset.MIXED
INT8: dict[str, dict[str, Any]] = {
    "NNCF as it comes": {},  # symmetric activations, fast bias correction
    "NNCF mixed preset": {"preset": MIXED},  # asymmetric activations
    "NNCF mixed, bias correction layer by layer": {"preset": MIXED, "fast_bias_correction": False},
    # by default NNCF leaves one bit of the first layer unused, for processors whose int8 products overflow
    "NNCF mixed, layer by layer, all 8 bits": {
        "preset": MIXED,
        "fast_bias_correction": False,
        "advanced_parameters": nncf.AdvancedQuantizationParameters(overflow_fix=OverflowFix.DISABLE),
    },
}


def quantize(setting: str, onnx_path: Path, calibration: Floats, out: Path) -> Path:
    model = ov.convert_model(onnx_path)
    if setting != "float32":
        pictures = nncf.Dataset([picture[None] for picture in calibration])
        model = nncf.quantize(model, pictures, subset_size=len(calibration), **INT8[setting])
    path = out / "model.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return path


class Compiled:
    """common.Model."""

    def __init__(self, path: Path, threads: int) -> None:
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        # what is left in float stays float32: bfloat16 would lose answers that are not int8's fault
        config["INFERENCE_PRECISION_HINT"] = "f32"
        model = ov.Core().compile_model(path, "CPU", config)
        self.shape = tuple(model.inputs[0].shape)
        self._request = model.create_infer_request()

    def answer(self, picture: Floats) -> Floats:
        return np.array(self._request.infer({0: picture})[0])

    def placed(self, picture: Floats) -> Callable[[], object]:
        self._request.set_input_tensor(ov.Tensor(picture))

        def invoke() -> None:
            self._request.start_async()
            self._request.wait()

        return invoke


if __name__ == "__main__":
    Worker(("openvino", "nncf"), ("float32", *INT8), quantize, Compiled).main()
