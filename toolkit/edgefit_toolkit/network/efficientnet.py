"""EfficientNet in PyTorch: any family, at any width, depth and resolution.

families.py says what differs. All take float NCHW (pixels - 127) / 128, so every model takes the same bytes. The
shape comments show phi 0 at 224 x 224 (Lite0, B0), N pictures: 3 x 224 x 224 -> 320 x 7 x 7 -> 1280 -> classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import Block, blocks, head_channels, stem_channels
from edgefit_toolkit.network.families import DEFAULT_FAMILY, Colour, family_named
from edgefit_toolkit.network.head import initialise_classifier, new_classifier
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD, Variant

BN_EPS = 1e-3  # TensorFlow's EfficientNet; PyTorch's default of 1e-5 changes the released networks' answers
BN_MOMENTUM = 0.01  # 1 - TensorFlow's 0.99


def same_padding(size_px: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis, in pixels (before, after): at stride 2 `after` may be one more."""
    out = -(-size_px // stride)
    total = max((out - 1) * stride + kernel - size_px, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution with SAME padding for one known input size.

    Equal sides pad inside the convolution. Unequal sides need a ZeroPad2d, which litert-torch folds into the
    TFLite operator's own SAME padding: neither leaves a PAD in the converted graph.
    """

    def __init__(
        self, channels_in: int, channels_out: int, size_px: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        before, after = same_padding(size_px, kernel, stride)
        padding = before if before == after else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
        self.pad = None if before == after else nn.ZeroPad2d((before, after, before, after))
        self.size_out_px = -(-size_px // stride)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.pad is None else self.pad(x))


class ConvNormAct(nn.Module):
    """Convolution, batch norm, activation. `fold_batch_norm` leaves an identity as norm, and a bias instead."""

    def __init__(self, conv: SameConv2d, act: nn.Module) -> None:
        super().__init__()
        self.conv: nn.Conv2d = conv
        self.norm: nn.Module = nn.BatchNorm2d(conv.out_channels, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out

    @property
    def batch_norm(self) -> nn.BatchNorm2d:
        """Its norm. Raises ScalingError where that is folded away."""
        if not isinstance(self.norm, nn.BatchNorm2d):
            raise ScalingError("this network's batch norms are folded: resize the network that they were folded from")
        return self.norm


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole picture holds: pool, squeeze, expand, sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.adaptive_avg_pool2d(x, 1)  # N x C x 1 x 1
        gate = self.expand(F.silu(self.reduce(gate)))  # C -> squeezed -> C
        return x * torch.sigmoid(gate)


class MBConv(nn.Module):
    """Inverted residual: widen by `expand`, convolve every channel alone, narrow; add the input if shapes allow."""

    def __init__(self, block: Block, size_px: int, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        middle = block.hidden_channels
        self.skip = block.skip
        self.expand: ConvNormAct | None = None
        if block.expand != 1:
            self.expand = ConvNormAct(SameConv2d(block.in_channels, middle, size_px), act())
        depthwise = SameConv2d(middle, middle, size_px, block.kernel, block.stride, groups=middle)
        self.depthwise = ConvNormAct(depthwise, act())
        self.se: SqueezeExcite | None = None
        if block.se_channels:
            self.se = SqueezeExcite(middle, block.se_channels)
        self.size_out_px = depthwise.size_out_px
        self.project = ConvNormAct(SameConv2d(middle, block.out_channels, self.size_out_px), nn.Identity())

    @property
    def first(self) -> ConvNormAct:
        """The convolution that reads what the block is given."""
        return self.depthwise if self.expand is None else self.expand

    def widened(self, x: Tensor) -> Tensor:
        """What `depthwise` reads; shapes of the second block of Lite0: N x 16 x 112 x 112 -> N x 96 x 112 x 112."""
        y: Tensor = x if self.expand is None else self.expand(x)
        return y

    def ungated(self, x: Tensor) -> Tensor:
        """What `se` reads: -> N x 96 x 56 x 56."""
        y: Tensor = self.depthwise(self.widened(x))
        return y

    def hidden(self, x: Tensor) -> Tensor:
        """What `project` reads: -> N x 96 x 56 x 56."""
        y = self.ungated(x)
        return y if self.se is None else self.se(y)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.hidden(x))  # N x 24 x 56 x 56
        return x + out if self.skip else out


class ImageNetNorm(nn.Module):
    """(pixels - 127) / 128 -> (pixels / 255 - mean) / std: the fixed first layer of a family that was trained so.

    A 1 x 1 depthwise convolution, since in int8 that is one operator with one scale per channel; its weights are
    buffers outside the state dict: nothing to train, nothing to store.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, mean_std: tuple[Colour, Colour]) -> None:
        super().__init__()
        mean, std = torch.tensor(mean_std).double()
        self.register_buffer("weight", (PIXEL_STD / 255 / std).float().view(3, 1, 1, 1), persistent=False)
        self.register_buffer("bias", ((PIXEL_MEAN / 255 - mean) / std).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, groups=3)


class EfficientNet(nn.Module):
    """EfficientNet at depth scale_depth**phi, width scale_width**phi and 224 * scale_resolution**phi pixels.

        EfficientNet()                                        # phi 1
        EfficientNet(phi=2.5, classes=5)                      # a larger one
        EfficientNet(scale_depth=1.4, scale_width=1.2)        # own factors
        EfficientNet.from_variant(scaling.released("lite2"))  # a released one

    The weights are random; `weights.load_network` puts ImageNet's in. Raises ScalingError for factors that no
    network has.

    Attributes: `variant`; `stem`, `blocks` (in order), `head` (all convolutional), `classifier` (the last
    layer, or two).
    """

    def __init__(
        self,
        scale_depth: float = 1.2,
        scale_width: float = 1.1,
        scale_resolution: float = 1.15,
        phi: float = 1.0,
        family: str = DEFAULT_FAMILY,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        variant = scaling.variant_from_phi(
            phi,
            family,
            classes,
            scale_width=scale_width,
            scale_depth=scale_depth,
            scale_resolution=scale_resolution,
        )
        self._build(variant)

    @classmethod
    def from_variant(cls, variant: Variant) -> EfficientNet:
        """The network of a variant, with random weights."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network._build(variant)
        return network

    def _build(self, variant: Variant) -> None:
        family, width, depth = variant.family, variant.width, variant.depth
        self.variant = variant
        rules = family_named(family)
        act = partial(getattr(nn, rules.activation), inplace=True)
        self.input_norm = None if rules.input_norm is None else ImageNetNorm(rules.input_norm)
        stem = SameConv2d(3, stem_channels(family, width), variant.resolution_px, kernel=3, stride=2)
        self.stem = ConvNormAct(stem, act())
        size_px = stem.size_out_px
        self.blocks = nn.ModuleList()
        for block in blocks(family, width, depth):
            built = MBConv(block, size_px, act)
            self.blocks.append(built)
            size_px = built.size_out_px
            last_channels = block.out_channels
        features = head_channels(family, width)
        self.head = ConvNormAct(SameConv2d(last_channels, features, size_px), act())
        self.dropout = nn.Dropout(variant.dropout)
        self.classifier = new_classifier(features, variant.classes, variant.head_rank)
        _initialise(self)

    @property
    def stages(self) -> list[list[MBConv]]:
        """The blocks of every stage, in order."""
        stages: list[list[MBConv]] = [[] for _ in family_named(self.variant.family).stages]
        every = blocks(self.variant.family, self.variant.width, self.variant.depth)
        for block, built in zip(every, self.blocks, strict=True):
            assert isinstance(built, MBConv)
            stages[block.stage].append(built)
        return stages

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [N, head channels] of pictures [N, 3, R, R] in (pixels - 127) / 128, R the variant's own."""
        size_px = self.variant.resolution_px
        if x.shape[-2] != size_px or x.shape[-1] != size_px:
            raise ValueError(  # the padding belongs to one size: another would shift every feature map silently
                f"this network takes {size_px} x {size_px} px, got {tuple(x.shape)}; see EfficientNet.at_resolution"
            )
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = self.stem(x)  # N x 32 x 112 x 112
        for block in self.blocks:
            x = block(x)  # 16 x 112 x 112, 24 x 56 x 56, 40 x 28 x 28, 80 and 112 x 14 x 14, 192 and 320 x 7 x 7
        x = self.head(x)  # N x 1280 x 7 x 7
        # not x.mean((2, 3)): that leaves a TRANSPOSE in the converted graph
        return F.adaptive_avg_pool2d(x, 1).flatten(1)  # N x 1280

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of pictures [N, 3, R, R] in (pixels - 127) / 128."""
        logits: Tensor = self.classifier(self.dropout(self.features(x)))
        return logits

    def at_resolution(self, resolution_px: int) -> EfficientNet:
        """A copy with the same weights whose padding is made for another input size."""
        old = self.variant
        variant = scaling.variant_from_factors(
            old.width, old.depth, resolution_px, old.family, old.classes, phi=old.phi, dropout=old.dropout
        )
        network = EfficientNet.from_variant(scaling.with_head_rank(variant, old.head_rank))
        network.load_state_dict(self.state_dict())
        return network.train(self.training)


def reset_classifier(network: EfficientNet, classes: int, seed: int = 0) -> None:
    """Replaces the classifier, in place, by a random one for that many classes, always the same for a seed."""
    network.variant = scaling.with_classes(network.variant, classes)
    old = next(network.classifier.parameters())
    # made on "meta": PyTorch's own initialisation would draw from the caller's generator
    classifier = nn.Linear(network.classifier.in_features, classes, device="meta").to_empty(device="cpu")
    initialise_classifier(classifier, torch.Generator().manual_seed(seed))
    network.classifier = classifier.to(old.device, old.dtype)


def fold_batch_norm(network: EfficientNet) -> EfficientNet:
    """A copy, in eval mode, whose batch norms are folded into the convolutions before them (which get a bias)."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, ConvNormAct) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    return folded


def _initialise(network: EfficientNet) -> None:
    """TensorFlow's EfficientNet initialisation: normal by fan-out, zero biases, a uniform classifier."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    initialise_classifier(network.classifier, None)
