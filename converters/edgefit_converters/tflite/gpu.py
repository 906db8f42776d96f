"""What LiteRT's GPU delegate would take of a model, by operator kind; nothing here runs on a GPU.

Source: CheckGpuDelegateCompatibility in tensorflow/lite/tools/versioning/gpu_compatibility.cc (TensorFlow at 03a5e4e),
which the delegate itself asks; the page ai.google.dev/edge/litert/performance/gpu lists fewer kinds than it takes. A
kind on the list may still be refused for its shapes or options (a PAD of more than 4 dimensions), so an empty answer
says "nothing falls back by its kind".
"""

from __future__ import annotations

from collections.abc import Iterable

GPU_KINDS = frozenset(
    """
    ADD ADD_N AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D CUMSUM DENSIFY DEPTHWISE_CONV_2D
    DEPTH_TO_SPACE DEQUANTIZE DYNAMIC_UPDATE_SLICE EMBEDDING_LOOKUP FULLY_CONNECTED GATHER HARD_SWISH LSTM
    MAX_POOL_2D MEAN MUL ONE_HOT PACK PAD PADV2 MIRROR_PAD PRELU QUANTIZE RELU RELU6 RELU_N1_TO_1 LEAKY_RELU
    RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM SELECT SELECT_V2 SLICE
    SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V STRIDED_SLICE TILE TRANSPOSE TRANSPOSE_CONV ABS CEIL COS ELU EXP FLOOR
    GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH ATAN2 DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER
    GREATER_EQUAL LOGICAL_AND LESS LESS_EQUAL MAXIMUM MINIMUM NOT_EQUAL POW SQUARED_DIFFERENCE SUB
    STABLEHLO_CLAMP
    """.split()  # noqa: SIM905  (one name a line would be a page)
)

QUANTIZED_NOTE = (  # tensorflow/lite/g3doc/performance/gpu.md and gpu_advanced.md, "Quantized models"
    "a GPU computes a quantized model in floating point: int8 is no faster there, and 8-bit inputs and outputs are "
    "converted on the CPU; hand the GPU the float model"
)


def gpu_fallback(kinds: Iterable[str]) -> tuple[str, ...]:
    """The operator kinds of a model that the GPU delegate leaves to the CPU, sorted."""
    return tuple(sorted(set(kinds) - GPU_KINDS))
