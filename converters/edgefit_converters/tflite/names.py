"""Layer names for an int8 file that another quantizer wrote: those of the float file that it was made from."""

from __future__ import annotations

from typing import Any

from edgefit_converters.tflite.flatfile import WEIGHTED, FlatModel
from edgefit_converters.tflite.inspect import IO_CASTS
from edgefit_toolkit.errors import ConversionError


def copy_names(source: FlatModel, target: FlatModel) -> None:
    """Gives the target's tensors the source's names, operator by operator, and its ends `image` and `scores`.

    Raises ConversionError when the two have other operators than the casts at the ends of an int8 file.
    """
    own, theirs = _computing(source), _computing(target)
    if [source.kind(operator) for operator in own] != [target.kind(operator) for operator in theirs]:
        raise ConversionError("the converter gave the int8 file other operators than the float file")
    named: set[int] = set()
    for from_, to in zip(own, theirs, strict=True):
        pairs = list(zip(from_.outputs, to.outputs, strict=True))
        if source.kind(from_) in WEIGHTED:
            to.inputs = list(to.inputs)
            for slot in (1, 2):
                if to.inputs[slot] in named:  # equal constants have been merged
                    to.inputs[slot] = target.add_tensor(to.inputs[slot])
                named.add(to.inputs[slot])
            pairs += [(from_.inputs[slot], to.inputs[slot]) for slot in (1, 2)]
        for known, tensor in pairs:
            target.graph.tensors[tensor].name = source.name(known).encode()
    for operator in target.graph.operators:
        if target.kind(operator) in IO_CASTS:  # the inner side; rename_ends names the outer one
            for inner, name in ((operator.outputs[0], "image/int8"), (operator.inputs[0], "scores/int8")):
                if inner not in (*target.graph.inputs, *target.graph.outputs):
                    target.graph.tensors[inner].name = name.encode()
    target.rename_ends("image", "scores")


def _computing(flat: FlatModel) -> list[Any]:
    return [operator for operator in flat.graph.operators if flat.kind(operator) not in IO_CASTS]
