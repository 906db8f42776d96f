"""Runs a .tflite file with ai-edge-litert (XNNPACK on this CPU), for answers and not for timing."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TensorFacts:
    """One input or output of a model. real = (stored - zero_point) * scale; float tensors have scale 0."""

    name: str
    dtype: str  # "uint8", "int8", "float32"
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keeps what native libraries write to the process's stderr off the terminal.

    They write past sys.stderr, to file descriptor 2. For short calls only: a progress bar is silent as well meanwhile.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class TFLite:
    """One .tflite image classifier with a static batch of 1, NHWC or (from the onnx-tf route) NCHW.

    Attributes: `path`, `input`, `output` (TensorFacts). `normalization` is the (mean, std) that its network takes
    pixels by; others than ours serve to find out what is wrong with a file. Raises InputError when it is no such model.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int | None = None,
        *,
        normalization: tuple[float, float] = (PIXEL_MEAN, PIXEL_STD),
    ) -> None:
        self.path, self._normalization = Path(path), normalization
        self.threads = threads or usual_threads()
        if not self.path.is_file():
            raise InputError(f"there is no file {self.path}", "hand over the path of a .tflite model")
        self._interpreter = open_interpreter(self.path, self.threads)
        inputs, outputs = read_ends(self._interpreter)
        if not inputs or not outputs or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1:
            shapes = ", ".join(str(end.shape) for end in (*inputs, *outputs))
            raise InputError(
                f"{self.path} takes no single picture: its inputs and outputs are {shapes or 'none'}",
                "hand over an image classifier with a batch of 1",
            )
        self.input, self.output = inputs[0], outputs[0]
        self._with_logits: Any = None  # the same model with its logits as a second output, made on first use
        self._channels_first = len(self.input.shape) == 4 and self.input.shape[1] == 3 != self.input.shape[3]

    @property
    def resolution_px(self) -> int:
        """Input height and width."""
        return self.input.shape[2]

    @property
    def input_of_byte(self) -> npt.NDArray[Any]:
        """What each raw byte 0..255 becomes at the input: [256] in the input's own type.

        For uint8 with scale 1/128 and zero point 127 it is the byte itself.
        """
        mean, std = self._normalization
        real = ((np.arange(256, dtype=np.float32) - mean) / std).astype(np.float32)
        if self.input.dtype == "float32":
            return real
        kind = np.iinfo(self.input.dtype)
        stored = np.clip(np.rint(real / self.input.scale) + self.input.zero_point, kind.min, kind.max)
        values: npt.NDArray[Any] = stored.astype(self.input.dtype)
        return values

    def predict(self, pixels: Pixels) -> Floats:
        """Probabilities [N, classes] of uint8 pictures [N, R, R, 3]."""
        return self._run(self._interpreter, pixels)[0]

    def logits(self, pixels: Pixels) -> Floats:
        """What enters the softmax [N, classes], dequantized; the softmax's temperature is already in it."""
        return self.answers(pixels)[1]

    def answers(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Probabilities and logits, both [N, classes], from one run.

        The logits are a second output of a copy of the model in memory; a model that ends without a softmax gives its
        output twice.
        """
        if self._with_logits is None:
            content = _with_logits(self.path)
            self._with_logits = self._interpreter if content is None else open_interpreter(content, self.threads)
        outputs = self._run(self._with_logits, pixels)
        return outputs[0], outputs[-1]

    def _run(self, interpreter: Any, pixels: Pixels) -> list[Floats]:
        size_px = self.resolution_px
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size_px, size_px, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}; {self.path.name} takes uint8 [N, {size_px}, {size_px}, 3]"
            )
        if self._channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        index, input_of_byte = interpreter.get_input_details()[0]["index"], self.input_of_byte
        ends = interpreter.get_output_details()
        outputs = [np.empty((len(pixels), int(np.prod(end["shape"]))), np.float32) for end in ends]
        for row, picture in enumerate(pixels):
            try:
                interpreter.set_tensor(index, np.ascontiguousarray(input_of_byte[picture][None]))
                interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise InputError(f"{self.path} is damaged: {error}", "make or fetch it again") from error
            for output, end in zip(outputs, ends, strict=True):
                output[row] = interpreter.get_tensor(end["index"]).reshape(-1)
        facts = [_facts(end) for end in ends]
        return [
            output if fact.scale == 0 else (output - fact.zero_point) * np.float32(fact.scale)
            for output, fact in zip(outputs, facts, strict=True)
        ]


def usual_threads() -> int:
    """As many as there are cores, up to four."""
    return min(4, os.cpu_count() or 1)


def open_interpreter(model: Path | bytes, threads: int | None = None, *, keep_tensors: bool = False) -> Any:
    """An allocated ai_edge_litert Interpreter, with the usual threads where `threads` is None.

    `keep_tensors` makes every tensor readable after a run.
    Raises InputError when LiteRT cannot read the model.
    """
    from ai_edge_litert.interpreter import Interpreter

    source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    name = "the model" if isinstance(model, bytes) else str(model)
    with silent_stderr(), warnings.catch_warnings():
        # "preserve_all_tensors ... is intended for debugging": reading tensors is what it is for
        warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve_all_tensors`")
        try:
            interpreter = Interpreter(
                **source, num_threads=threads or usual_threads(), experimental_preserve_all_tensors=keep_tensors
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"{name} is not a .tflite model that LiteRT can run: {reason}",
                "check the file with `edgefit inspect`",
            ) from error
    return interpreter


def read_ends(interpreter: Any) -> tuple[tuple[TensorFacts, ...], tuple[TensorFacts, ...]]:
    """The inputs and the outputs of an interpreter."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return tuple(_facts(d) for d in inputs), tuple(_facts(d) for d in outputs)


def _with_logits(path: Path) -> bytes | None:
    """The model with the input of its last SOFTMAX as a second output; None when it does not end in a softmax."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    graph = model.subgraphs[0]
    for operator in reversed(graph.operators):
        code = flatbuffer_utils.get_builtin_code_from_operator_code(model.operatorCodes[operator.opcodeIndex])
        if code == schema.BuiltinOperator.SOFTMAX:
            graph.outputs = [*graph.outputs, operator.inputs[0]]
            model.signatureDefs = []  # they would have to name the new output
            return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
        if code not in (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE):
            return None
    return None


def _facts(details: dict[str, Any]) -> TensorFacts:
    scale, zero_point = details["quantization"]
    return TensorFacts(
        name=details["name"],
        dtype=np.dtype(details["dtype"]).name,
        shape=tuple(int(size) for size in details["shape"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )
