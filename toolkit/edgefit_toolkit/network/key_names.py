"""What publishers of EfficientNet weights call the tensors in their files."""

from __future__ import annotations

from dataclasses import dataclass

Unit = tuple[str, str]  # a convolution and its batch norm


@dataclass(frozen=True)
class KeyNames:
    """One publisher's names. Those inside a block follow the block's own and a dot."""

    block: str  # with {index} among all blocks, or {stage} and {repeat} in it
    stem: Unit
    expand: Unit
    depthwise: Unit
    project: Unit
    plain_depthwise: Unit  # of a block that does not expand
    plain_project: Unit
    squeeze: tuple[str, str]  # the two convolutions of a squeeze-excite
    head: Unit
    classifier: str


PYPI = KeyNames(
    block="_blocks.{index}",
    stem=("_conv_stem", "_bn0"),
    expand=("_expand_conv", "_bn0"),
    depthwise=("_depthwise_conv", "_bn1"),
    project=("_project_conv", "_bn2"),
    plain_depthwise=("_depthwise_conv", "_bn1"),
    plain_project=("_project_conv", "_bn2"),
    squeeze=("_se_reduce", "_se_expand"),
    head=("_conv_head", "_bn1"),
    classifier="_fc",
)
TIMM = KeyNames(
    block="blocks.{stage}.{repeat}",
    stem=("conv_stem", "bn1"),
    expand=("conv_pw", "bn1"),
    depthwise=("conv_dw", "bn2"),
    project=("conv_pwl", "bn3"),
    plain_depthwise=("conv_dw", "bn1"),
    plain_project=("conv_pw", "bn2"),
    squeeze=("se.conv_reduce", "se.conv_expand"),
    head=("conv_head", "bn2"),
    classifier="classifier",
)
