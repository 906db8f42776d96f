"""Residual streams: what the blocks of one stage hand on, with no activation between writer and reader."""

from __future__ import annotations

from edgefit_converters.tflite.torchgraph import Graph, Op


def streams(graph: Graph) -> list[frozenset[str]]:
    """Tensors that are one residual stream: linear convolutions' outputs, joined by the sums they enter."""
    joined: dict[str, frozenset[str]] = {}
    for op in graph.ops:
        if _is_linear(op, graph):
            joined[op.name] = frozenset((op.name,))
        elif op.kind == "ADD":
            parts = [joined.get(name) for name in op.inputs]
            if None in parts:
                for part in parts:  # a sum with something else: none of it may be scaled
                    for name in part or ():
                        joined.pop(name, None)
                continue
            whole = frozenset((op.name,)).union(*(part for part in parts if part))
            joined.update(dict.fromkeys(whole, whole))
    return sorted(set(joined.values()), key=min)


def _is_linear(op: Op, graph: Graph) -> bool:
    """A convolution whose output nothing but convolutions and sums read as it is (swish reads it twice)."""
    readers = {reader.kind for reader in graph.ops if op.name in reader.inputs}
    return op.kind == "CONV_2D" and op.groups == 1 and not op.activation and readers <= {"CONV_2D", "ADD"}
