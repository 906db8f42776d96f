"""ONNX Runtime: static QDQ quantization, weights int8 per channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from common import Floats, Worker
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

U8, S8 = QuantType.QUInt8, QuantType.QInt8
INT8 = {  # activations, how their ranges are chosen; each at its library's default constants
    "U8S8 min-max": (U8, CalibrationMethod.MinMax),
    "S8S8 min-max": (S8, CalibrationMethod.MinMax),
    "U8S8 entropy": (U8, CalibrationMethod.Entropy),
    "U8S8 percentile": (U8, CalibrationMethod.Percentile),
}
CHUNK = 10  # histograms keep every activation of a chunk in memory: 1 GB at 260 px


class Pictures(CalibrationDataReader):
    """The calibration pictures one by one, chunk by chunk."""

    def __init__(self, pictures: Floats) -> None:
        self.pictures = pictures
        self.set_range(0, len(pictures))

    def __len__(self) -> int:
        return len(self.pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._rest: Iterator[Floats] = iter(self.pictures[start_index:end_index])

    def get_next(self) -> dict[str, Floats] | None:
        picture = next(self._rest, None)
        return None if picture is None else {"image": picture[None]}


def quantize(setting: str, onnx_path: Path, calibration: Floats, out: Path) -> Path:
    if setting == "float32":
        return onnx_path
    activations, method = INT8[setting]
    prepared, path = out / "prepared.onnx", out / "int8.onnx"
    quant_pre_process(onnx_path, prepared, skip_symbolic_shape=True)
    chunk = next(size for size in range(CHUNK, 0, -1) if len(calibration) % size == 0)
    quantize_static(
        prepared, path, Pictures(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=activations, weight_type=S8, calibrate_method=method,
        extra_options={"CalibStridedMinMax": chunk},
    )  # fmt: skip
    return path


class Session:
    """common.Model."""

    def __init__(self, path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.shape = tuple(self._session.get_inputs()[0].shape)

    def answer(self, picture: Floats) -> Floats:
        return np.asarray(self._session.run(None, {"image": picture})[0])

    def placed(self, picture: Floats) -> Callable[[], object]:
        binding = self._session.io_binding()
        binding.bind_cpu_input("image", picture)
        binding.bind_output("logits")
        return lambda: self._session.run_with_iobinding(binding)


if __name__ == "__main__":
    Worker(("onnxruntime", "onnx"), ("float32", *INT8), quantize, Session).main()
