"""Operators of other people's networks, so that their published latencies can teach and test the predictor.

Only what the committed rows need: MobileNet v1-v4, MobileOne, the multi-hardware MobileNets, MnasNet-A1, EfficientNet
(Lite and B) and EfficientDet-Lite. Their multiply-adds agree with the papers' counts (test_published_latency.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from math import prod

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.graph import Operator, OperatorKind, operators
from edgefit_toolkit.network.scaling import released, variant_from_factors

ANCHORS, CLASSES = 9, 90  # of EfficientDet-Lite's heads


@lru_cache(maxsize=256)
def network(name: str, input_px: int) -> tuple[Operator, ...]:
    """Every operator of a published network, 1000 classes (detectors: 90). Raises InputError for one that is not known.

    Names: mobilenet_v1_0.75, mobilenet_v2_1.0, mobilenet_v3_large_0.5, mobilenet_v3_small, mobilenetv4_conv_small
    (_medium, _large), mobileone_s0 (_s4), mobilenet_multihw_max_1.5 (_avg_), mnasnet_a1_1.0, efficientnet_lite0..,
    efficientnet_b0.., efficientdet_lite0.. (a width without a number is 1.0).
    """
    for pattern, build in _BUILDERS.items():
        if found := re.fullmatch(pattern, name):
            return tuple(build(found[1], input_px))
    raise InputError(f"the operators of {name!r} are not known", "networks.py lists the ones that are")


def sorted_scores(name: str, input_px: int) -> int:
    """Scores that TFLite_Detection_PostProcess goes through: nine anchors a place, of 90 classes; 0 for no detector."""
    heads = [layer for layer in network(name, input_px) if layer.out_shape[2] == ANCHORS * CLASSES]
    return sum(prod(layer.out_shape) for layer in heads) if name.startswith("efficientdet") else 0


class _Chain:
    """Layers appended one after another, with the shape that the next one reads."""

    def __init__(self, input_px: int, channels: int = 3) -> None:
        self.operators: list[Operator] = []
        self.size, self.channels = input_px, channels

    def conv(self, out: int, kernel: int = 1, stride: int = 1, act: bool = False) -> None:
        kind: OperatorKind = "pointwise" if kernel == 1 else "conv"
        self._weighted(kind, out, kernel, stride, self.channels)
        if act:
            self.plain("act")

    def depthwise(self, kernel: int, stride: int = 1, act: bool = False) -> None:
        self._weighted("depthwise", self.channels, kernel, stride, 1)
        if act:
            self.plain("act")

    def _weighted(self, kind: OperatorKind, out: int, kernel: int, stride: int, depth: int) -> None:
        before, size = (self.size, self.size, self.channels), -(-self.size // stride)
        weights = kernel * kernel * depth * out
        shape = (size, size, out)
        self.operators.append(
            Operator("", kind, 0, before, shape, kernel, stride, weights * size * size, weights + 2 * out)
        )
        self.size, self.channels = size, out

    def plain(self, kind: OperatorKind) -> None:
        shape = (self.size, self.size, self.channels)
        self.operators.append(Operator("", kind, 0, shape, shape, 1, 1, 0, 0))

    def squeeze(self, squeezed: int) -> None:
        shape = (self.size, self.size, self.channels)
        madds = 2 * self.channels * squeezed
        self.operators.append(Operator("", "se", 0, shape, shape, 1, 1, madds, madds + squeezed + self.channels))

    def bottleneck(self, hidden: int, out: int, kernel: int, stride: int, squeezed: int = 0, act: bool = False) -> None:
        skip = stride == 1 and self.channels == out
        if hidden != self.channels:
            self.conv(hidden, act=act)
        self.depthwise(kernel, stride, act)
        if squeezed:
            self.squeeze(squeezed)
        self.conv(out)
        if skip:
            self.plain("add")

    def universal(self, first: int, second: int, hidden: int, out: int, stride: int) -> None:
        """MobileNetV4's block: kernels of the depthwise convolutions before and after the expansion, 0 for none."""
        skip = stride == 1 and self.channels == out
        if first:
            self.depthwise(first, stride if not second else 1)
        self.conv(hidden)
        if second:
            self.depthwise(second, stride)
        self.conv(out)
        if skip:
            self.plain("add")

    def pool(self) -> None:
        before = (self.size, self.size, self.channels)
        self.operators.append(Operator("", "pool", 0, before, (1, 1, self.channels), self.size, 1, 0, 0))
        self.size = 1

    def classify(self, classes: int = 1000) -> None:
        if self.size > 1:
            self.pool()
        before, weights = (1, 1, self.channels), self.channels * classes
        self.operators.append(Operator("", "fc", 0, before, (1, 1, classes), 1, 1, weights, weights + classes))


def _eights(channels: float, least: int = 8) -> int:
    """MobileNet's rounding: the nearest multiple of 8, up where that loses more than a tenth."""
    rounded = max(least, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _mobilenet_v1(width: str, input_px: int) -> list[Operator]:
    alpha = float(width or 1)
    chain = _Chain(input_px)
    chain.conv(int(32 * alpha), 3, 2)
    steps = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for out, stride in steps:  # Howard et al. 2017, table 1
        chain.depthwise(3, stride)
        chain.conv(int(out * alpha))
    chain.classify()
    return chain.operators


def _mobilenet_v2(width: str, input_px: int) -> list[Operator]:
    alpha = float(width or 1)
    chain = _Chain(input_px)
    chain.conv(_eights(32 * alpha), 3, 2)
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, out, repeats, stride in stages:  # Sandler et al. 2018, table 2
        for repeat in range(repeats):
            chain.bottleneck(chain.channels * expand, _eights(out * alpha), 3, stride if repeat == 0 else 1)
    chain.conv(_eights(1280 * max(1.0, alpha)))
    chain.classify()
    return chain.operators


_V3 = {  # Howard et al. 2019, tables 1 and 2: kernel, hidden, out, squeeze-excite, hard swish, stride
    "large": [
        *[
            (3, 16, 16, 0, 0, 1),
            (3, 64, 24, 0, 0, 2),
            (3, 72, 24, 0, 0, 1),
            (5, 72, 40, 1, 0, 2),
            (5, 120, 40, 1, 0, 1),
        ],
        *[(5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1)],
        *[(3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2)],
        *[(5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1)],
    ],
    "small": [
        *[
            (3, 16, 16, 1, 0, 2),
            (3, 72, 24, 0, 0, 2),
            (3, 88, 24, 0, 0, 1),
            (5, 96, 40, 1, 1, 2),
            (5, 240, 40, 1, 1, 1),
        ],
        *[(5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2)],
        *[(5, 576, 96, 1, 1, 1), (5, 576, 96, 1, 1, 1)],
    ],
}
_V3_HEAD = {"large": (960, 1280), "small": (576, 1024)}


def _mobilenet_v3(name: str, input_px: int) -> list[Operator]:
    size, _, width = name.partition("_")
    alpha = float(width or 1)
    last, features = _V3_HEAD[size]
    chain = _Chain(input_px)
    chain.conv(_eights(16 * alpha), 3, 2, act=True)
    for kernel, expanded, out, squeeze, swish, stride in _V3[size]:
        hidden = _eights(expanded * alpha)
        chain.bottleneck(
            hidden, _eights(out * alpha), kernel, stride, _eights(hidden / 4) if squeeze else 0, bool(swish)
        )
    chain.conv(_eights(last * alpha), act=True)
    chain.pool()
    chain.conv(features, act=True)
    chain.classify()
    return chain.operators


# Qin et al. 2024, tables 11, 12, 14: stem, fused blocks (kernel 3, stride 2), then kernels before and after the
# expansion, hidden, out, stride
_V4 = {
    "small": (32, [(32, 32), (96, 64)], "5 5 192 96 2, 0 3 192 96 1 *4, 3 0 384 96 1, 3 3 576 128 2, 5 5 512 128 1, "
        "0 5 512 128 1, 0 5 384 128 1, 0 3 512 128 1 *2"),
    "medium": (32, [(128, 48)], "3 5 192 80 2, 3 3 160 80 1, 3 5 480 160 2, 3 3 640 160 1 *2, 3 5 640 160 1, "
        "3 3 640 160 1, 3 0 640 160 1, 0 0 320 160 1, 3 0 640 160 1, 5 5 960 256 2, 5 5 1024 256 1, 3 5 1024 256 1 *2, "
        "0 0 1024 256 1, 3 0 1024 256 1, 3 5 512 256 1, 5 5 1024 256 1, 0 0 1024 256 1 *2, 5 0 512 256 1"),
    "large": (24, [(96, 48)], "3 5 192 96 2, 3 3 384 96 1, 3 5 384 192 2, 3 3 768 192 1 *3, 3 5 768 192 1, "
        "5 3 768 192 1 *5, 3 0 768 192 1, 5 5 768 512 2, 5 5 2048 512 1 *3, 5 0 2048 512 1, 5 3 2048 512 1, "
        "5 0 2048 512 1 *2, 5 3 2048 512 1, 5 5 2048 512 1, 5 0 2048 512 1 *3"),
}  # fmt: skip


def _mobilenet_v4(size: str, input_px: int) -> list[Operator]:
    stem, fused, rows = _V4[size]
    chain = _Chain(input_px)
    chain.conv(stem, 3, 2)
    for hidden, out in fused:
        chain.conv(hidden, 3, 2)
        chain.conv(out)
    for row in rows.split(", "):
        spec, _, repeats = row.partition(" *")
        first, second, hidden, out, stride = map(int, spec.split())
        for _ in range(int(repeats or 1)):
            chain.universal(first, second, hidden, out, stride)
    chain.conv(960)
    chain.pool()
    chain.conv(1280)
    chain.classify()
    return chain.operators


_ONE = {  # Vasu et al. 2023, tables 2 and 3: channels of the stages, squeezed blocks of the stages
    "0": ((48, 128, 256, 1024), (0, 0, 0, 0)),
    "4": ((192, 448, 896, 2048), (0, 0, 5, 1)),
}


def _mobileone(size: str, input_px: int) -> list[Operator]:
    channels, squeezed = _ONE[size]
    chain = _Chain(input_px)
    chain.conv(min(64, channels[0]), 3, 2)
    for out, repeats, last in zip(channels, (2, 8, 10, 1), squeezed, strict=True):
        for repeat in range(repeats):
            squeeze = repeat >= repeats - last
            chain.depthwise(3, 2 if repeat == 0 else 1)
            if squeeze:
                chain.squeeze(chain.channels // 16)
            chain.conv(out)
            if squeeze:
                chain.squeeze(out // 16)
    chain.classify()
    return chain.operators


_MULTI = {  # Chu et al. 2021, as in tensorflow/models official/vision mobilenet.py: kernel, stride, out, expansion
    "max": "3 2 32 3, 5 2 64 6, 3 1 64 2 *2, 5 2 128 6, 3 1 128 4, 3 1 128 3 *2, 3 1 128 6, 3 1 128 3, 3 2 160 6, "
    "5 1 160 4, 3 1 160 5, 5 1 160 4",
    "avg": "3 2 32 3, 3 1 32 2, 5 2 64 5, 3 1 64 3, 3 1 64 2, 3 1 64 3, 5 2 128 6, 3 1 128 3 *3, 3 1 160 6, 3 1 160 4, "
    "3 2 192 6, 5 1 192 4 *3",
}


def _multi_hardware(name: str, input_px: int) -> list[Operator]:
    kind, _, width = name.partition("_")
    alpha = float(width or 1)
    chain = _Chain(input_px)
    chain.conv(_eights(32 * alpha), 3, 2)
    for row in _MULTI[kind].split(", "):
        spec, _, repeats = row.partition(" *")
        kernel, stride, out, expand = map(int, spec.split())
        for _ in range(int(repeats or 1)):
            chain.bottleneck(chain.channels * expand, _eights(out * alpha), kernel, stride)
    chain.conv(_eights(960 * alpha))
    chain.pool()
    chain.conv(_eights(1280 * alpha))
    chain.classify()
    return chain.operators


def _mnasnet_a1(width: str, input_px: int) -> list[Operator]:
    alpha = float(width or 1)
    chain = _Chain(input_px)
    chain.conv(_eights(32 * alpha), 3, 2)
    stages = [(1, 3, 16, 1, 1, 0), (6, 3, 24, 2, 2, 0), (3, 5, 40, 3, 2, 1), (6, 3, 80, 4, 2, 0)]
    stages += [(6, 3, 112, 2, 1, 1), (6, 5, 160, 3, 2, 1), (6, 3, 320, 1, 1, 0)]
    for expand, kernel, out, repeats, stride, squeeze in stages:  # Tan et al. 2019, figure 7
        for repeat in range(repeats):
            squeezed = max(1, chain.channels // 4) if squeeze else 0
            step = stride if repeat == 0 else 1
            chain.bottleneck(chain.channels * expand, _eights(out * alpha), kernel, step, squeezed)
    chain.conv(1280)
    chain.classify()
    return chain.operators


def _efficientnet(name: str, input_px: int) -> list[Operator]:
    spec = released(name)
    variant = variant_from_factors(spec.width, spec.depth, input_px, spec.family, phi=spec.phi)
    return list(operators(variant))


_DET = {  # google/automl efficientdet/hparams_config.py, efficientdet-lite*: fpn channels, cells, head repeats
    "0": ("lite0", 64, 3, 3),
    "1": ("lite1", 88, 4, 3),
    "2": ("lite2", 112, 5, 3),
    "3": ("lite3", 160, 6, 4),
    "3x": ("lite3", 200, 6, 4),
    "4": ("lite4", 224, 7, 4),
}


def _efficientdet_lite(name: str, input_px: int) -> list[Operator]:
    base, channels, cells, repeats = _DET[name]
    spec = released(base)
    trunk = blocks("lite", spec.width, spec.depth)
    features = variant_from_factors(spec.width, spec.depth, input_px, "lite", phi=spec.phi)
    found = [layer for layer in operators(features) if layer.stage < 7]
    size = -(-input_px // 8)
    sizes = [size, -(-size // 2), -(-size // 4), -(-size // 8), -(-size // 16)]  # levels 3 to 7
    widths = [next(b.out_channels for b in reversed(trunk) if b.stage == stage) for stage in (2, 4, 6)]
    sources = [*zip(sizes, widths, strict=False), (sizes[2], widths[2]), (sizes[3], channels)]
    for at, (level_px, width) in enumerate(sources):  # resample every input to the pyramid's channels
        if width != channels:
            found += _run(level_px, width, lambda chain: chain.conv(channels))
        if at >= 3:
            found += _run(sizes[at], channels, lambda chain: chain.plain("act"))
    for _ in range(cells):  # top-down over levels 6..3, bottom-up over 4..7: add, (add,) separable convolution
        for level_px, adds in [(px, 1) for px in sizes[3::-1]] + [(px, 2) for px in sizes[1:4]] + [(sizes[4], 1)]:

            def fuse(chain: _Chain, adds: int = adds) -> None:
                chain.plain("act")  # resize or pool
                for _ in range(adds):
                    chain.plain("add")
                chain.depthwise(3)
                chain.conv(channels)

            found += _run(level_px, channels, fuse)
    for outputs in (ANCHORS * CLASSES, ANCHORS * 4):
        for level_px in sizes:

            def head(chain: _Chain, outputs: int = outputs) -> None:
                for _ in range(repeats):
                    chain.depthwise(3)
                    chain.conv(channels)
                chain.depthwise(3)
                chain.conv(outputs)

            found += _run(level_px, channels, head)
    return found


def _run(size: int, channels: int, build: Callable[[_Chain], None]) -> list[Operator]:
    chain = _Chain(size, channels)
    build(chain)
    return chain.operators


_BUILDERS: dict[str, Callable[[str, int], list[Operator]]] = {
    r"mobilenet_v1(?:_([\d.]+))?": _mobilenet_v1,
    r"mobilenet_v2(?:_([\d.]+))?": _mobilenet_v2,
    r"mobilenet_v3_((?:large|small)(?:_[\d.]+)?)": _mobilenet_v3,
    r"mobilenetv4_conv_(small|medium|large)": _mobilenet_v4,
    r"mobileone_s([04])": _mobileone,
    r"mobilenet_multihw_((?:max|avg)(?:_[\d.]+)?)": _multi_hardware,
    r"mnasnet_a1(?:_([\d.]+))?": _mnasnet_a1,
    r"efficientnet_(lite\d|b\d)": _efficientnet,
    r"efficientdet_lite(\d|3x)": _efficientdet_lite,
}
