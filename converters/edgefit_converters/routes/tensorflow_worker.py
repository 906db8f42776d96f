"""Runs inside the side environment: a network -> TensorFlow -> float and int8 .tflite. Imports nothing of edgefit.

    python tensorflow_worker.py REQUEST.json

The request names `saved_model` (a folder: made when `onnx` or `layers` is given, else used as it is), `resolution_px`,
and what to write: `float` and `int8`, the latter with `calibration` (.npy, uint8 [N, R, R, 3]) and `io_dtype`.
`onnx` is the file to convert; `layers` an .npz with `NAME/weight` (in TFLite's layout) and `NAME/bias`, for `ops`.
Progress goes to stdout as JSON lines {"label", "done", "total"}, everything else to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402  (settings first)
import tensorflow as tf  # type: ignore[import-untyped]  # noqa: E402

Request = dict[str, Any]
Tell = Callable[[str, int, int], None]


def main() -> None:
    """Carries out one request."""
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # TensorFlow and onnx-tf print

    def tell(label: str, done: int, total: int) -> None:
        print(json.dumps({"label": label, "done": done, "total": total}), file=lines)

    if "onnx" in request:
        tell("onnx-tf: ONNX to TensorFlow", 0, 1)
        save_onnx(request)
    elif "layers" in request:
        tell("rebuilding the network in TensorFlow", 0, 1)
        save_layers(request)
    if "float" in request:
        tell("TensorFlow: float .tflite", 0, 1)
        write(request["float"], tf.lite.TFLiteConverter.from_saved_model(request["saved_model"]))
    if "int8" in request:
        write(request["int8"], int8_converter(request, tell))


def write(path: str, converter: Any) -> None:
    """Converts into a file."""
    content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)


def int8_converter(request: Request, tell: Tell) -> Any:
    """Full integer: per-channel weights, min-max ranges from the calibration pictures, integers at both ends."""
    pictures = np.load(request["calibration"])

    def representative() -> Iterator[list[Any]]:
        for index, picture in enumerate(pictures):
            tell("TensorFlow: calibrating", index, len(pictures))
            yield [((picture.astype(np.float32) - 127) / 128)[None]]

    converter = tf.lite.TFLiteConverter.from_saved_model(request["saved_model"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, request["io_dtype"])
    return converter


def save_onnx(request: Request) -> None:
    """ONNX -> SavedModel by onnx-tf."""
    import onnx  # type: ignore[import-not-found]
    from onnx_tf.backend import prepare  # type: ignore[import-not-found]

    model = onnx.load(request["onnx"])
    as_tensorflow_pads(model.graph)
    compute_channels_last(model.graph)
    prepared = prepare(model)
    traced = type(prepared.tf_module)
    for name in ("__call__", "gen_tensor_dict"):
        # shapes are static, so nothing needs autograph, which rewrites every handler
        setattr(traced, name, tf.function(getattr(traced, name).python_function, autograph=False))
    prepared.export_graph(request["saved_model"])


def as_tensorflow_pads(graph: Any) -> None:
    """Says SAME_UPPER where the padding is that: onnx-tf makes a PAD between two TRANSPOSEs of every other padding.

    All of the network's padding is TensorFlow's SAME by construction; what torch writes are its numbers for this
    resolution. The caller compares the answers.
    """
    from onnx import helper

    makers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        source = makers.get(node.input[0])
        if source is not None and source.op_type == "Pad":  # uneven sides stand before the convolution
            node.input[0] = source.input[0]
        elif not any(attributes["pads"].ints):
            continue
        node.attribute.remove(attributes["pads"])
        node.attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in [node for node in graph.node if node.op_type == "Pad" and node.output[0] not in read]:
        graph.node.remove(node)


def compute_channels_last(graph: Any) -> None:
    """Pooling, sigmoids and products between two transposes each, which cancel against those around them.

    onnx-tf stands between the NCHW of ONNX and the NHWC that TensorFlow computes in, and puts a pair around every
    convolution; TensorFlow removes the pairs that meet, and would keep those that meet across these operators.
    """
    from onnx import helper

    readers = {name: node for node in graph.node for name in node.input}
    for node in [node for node in graph.node if node.op_type in ("GlobalAveragePool", "Sigmoid", "Mul")]:
        at, result = list(graph.node).index(node), node.output[0]
        inner = [f"{result}/{index}" for index in range(len(node.input))]
        parts = [
            helper.make_node("Transpose", [name], [nhwc], perm=[0, 2, 3, 1])
            for name, nhwc in zip(node.input, inner, strict=True)
        ]
        flatten = readers[result] if readers[result].op_type == "Flatten" else None
        graph.node.remove(node)
        if node.op_type == "GlobalAveragePool" and flatten is not None:  # [N, C] at once
            graph.node.remove(flatten)
            parts.append(helper.make_node("ReduceMean", inner, flatten.output, axes=[1, 2], keepdims=0))
        else:
            if node.op_type == "GlobalAveragePool":
                parts.append(helper.make_node("ReduceMean", inner, [f"{result}/nhwc"], axes=[1, 2], keepdims=1))
            else:
                parts.append(helper.make_node(node.op_type, inner, [f"{result}/nhwc"]))
            parts.append(helper.make_node("Transpose", [f"{result}/nhwc"], [result], perm=[0, 3, 1, 2]))
        for offset, part in enumerate(parts):
            graph.node.insert(at + offset, part)


def save_layers(request: Request) -> None:
    """A list of TFLite operators and their constants -> the same network in TensorFlow -> SavedModel."""
    size_px, ops = request["resolution_px"], request["ops"]
    with np.load(request["layers"]) as constants:
        layers = {name: constants[name] for name in constants.files}
    flat = {name for op in ops if op["kind"] == "FULLY_CONNECTED" for name in op["inputs"]}

    def run(op: dict[str, Any], inputs: list[Any]) -> Any:
        kind, x = op["kind"], inputs[0]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            weight, bias = layers[f"{op['layer']}/weight"], layers[f"{op['layer']}/bias"]
            if kind == "FULLY_CONNECTED":
                return tf.linalg.matmul(x, weight.T) + bias
            padding, (down, across) = "SAME" if op["same"] else "VALID", op["stride"]
            if kind == "CONV_2D":
                y = tf.nn.conv2d(x, weight.transpose(1, 2, 3, 0), (down, across), padding)
            else:
                y = tf.nn.depthwise_conv2d(x, weight.transpose(1, 2, 3, 0), (1, down, across, 1), padding)
            return y + bias
        if kind == "MEAN":
            return tf.reduce_mean(x, (1, 2), keepdims=op["name"] not in flat)
        return {"ADD": tf.add, "MUL": tf.multiply, "LOGISTIC": tf.sigmoid}[kind](*inputs)

    activations = {"": tf.identity, "RELU": tf.nn.relu, "RELU6": tf.nn.relu6}

    def forward(image: Any) -> Any:
        values = {"image": image}
        for op in ops:
            values[op["name"]] = activations[op["activation"]](run(op, [values[name] for name in op["inputs"]]))
        return {"scores": tf.nn.softmax(values[ops[-1]["name"]])}

    module = tf.Module()
    module.forward = tf.function(forward, input_signature=[tf.TensorSpec((1, size_px, size_px, 3), name="image")])
    tf.saved_model.save(module, request["saved_model"], signatures=module.forward.get_concrete_function())


if __name__ == "__main__":
    main()
