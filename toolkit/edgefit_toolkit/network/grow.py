"""A trained network put into another size: grown without changing its function, or cut down.

Wider (Net2Wider, Chen et al. 2016): a new channel repeats an old one, and whatever reads the two shares its old weight
out between them. The shares are unequal, drawn for every reader: so the copies get different gradients and part in
training, with no noise in the function. Deeper: a new block repeats the last one of its stage, but the gain and bias
of its last batch norm are zero, so that only its skip counts. Both leave max |grown(x) - parent(x)| at float32's
rounding.

Smaller: of every set of channels those that are written and read most strongly stay, and the first blocks of every
stage. That does change the function, but the features stay useful (benchmarks/results/growing_and_cutting.md). With
pictures at hand shrink.py does it better.

One set of channels is used by many layers: all blocks of a stage add into the same one (their skips), so they must
agree on it; the channels inside a block are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network.efficientnet import ConvNormAct, EfficientNet, MBConv, SqueezeExcite
from edgefit_toolkit.network.head import full_layer, output_layer
from edgefit_toolkit.records import Variant


@torch.no_grad()
def resize(parent: EfficientNet, variant: Variant, seed: int = 0) -> EfficientNet:
    """A network of `variant` made from the parent's weights, in eval mode.

    Where the parent fits into it (`fits_into`), it computes the parent's function at the parent's resolution. The
    same seed gives the same network. Raises ScalingError for another family or number of classes.
    """
    if (variant.family, variant.classes) != (parent.variant.family, parent.variant.classes):
        raise ScalingError(
            f"{parent.variant.label} with {parent.variant.classes} classes cannot become"
            f" {variant.label} with {variant.classes}: family and classes must agree"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the blocks that nothing can be copied into keep their random weights
        child = EfficientNet.from_variant(variant)
    generator = torch.Generator().manual_seed(seed)
    old_stages, new_stages = parent.stages, child.stages

    image = torch.arange(3)
    before = _choose_outputs(parent.stem, child.stem, lambda: _stem_strength(parent), generator)
    _copy_unit(child.stem, parent.stem, image, before, generator)
    for old, new in zip(old_stages, new_stages, strict=True):
        after = _choose_outputs(old[0].project, new[0].project, partial(_stage_strength, old), generator)
        for repeat, block in enumerate(new):
            is_new = repeat >= len(old)
            source = old[min(repeat, len(old) - 1)]
            inputs = after if repeat else before
            if not is_new or source.skip:  # a stage's first block has another input: nothing to copy into a second one
                _copy_block(block, source, inputs, after, generator)
            if is_new:
                _silence(block)
        before = after
    features = _choose_outputs(parent.head, child.head, lambda: _head_strength(parent), generator)
    _copy_unit(child.head, parent.head, before, features, generator)
    old_classifier, classifier = full_layer(parent.classifier), output_layer(child.classifier)
    classifier.weight.copy_(_share_out(old_classifier.weight, features, generator))
    classifier.bias.copy_(old_classifier.bias)
    return child.eval()


# Which old channel each new one repeats --------------------------------------------------------------------------


def _choose(old: int, count: int, strength: Callable[[], Tensor], generator: torch.Generator) -> Tensor:
    """Old channel of each of `count` new ones: the strongest in their order, or all and then copies of random ones."""
    if count < old:
        return strength().topk(count).indices.sort().values
    chosen = [torch.arange(old)]
    missing = count - old
    while missing > 0:
        chosen.append(torch.randperm(old, generator=generator)[:missing])
        missing -= len(chosen[-1])
    return torch.cat(chosen)


def _choose_outputs(
    old: ConvNormAct, new: ConvNormAct, strength: Callable[[], Tensor], generator: torch.Generator
) -> Tensor:
    return _choose(old.conv.out_channels, new.conv.out_channels, strength, generator)


def _written(unit: ConvNormAct) -> Tensor:
    """How large each output channel is: the root mean square of what the batch norm hands on."""
    norm = unit.batch_norm
    return torch.hypot(norm.weight, norm.bias)


def _read(unit: ConvNormAct) -> Tensor:
    """How much each input channel moves the outputs: the norm of its weights, batch norm folded in."""
    norm = unit.batch_norm
    variance = torch.as_tensor(norm.running_var)
    weight = unit.conv.weight * (norm.weight / (variance + norm.eps).sqrt())[:, None, None, None]
    if unit.conv.groups == 1:
        weight = weight.transpose(0, 1)  # else depthwise: one input channel per output channel
    length: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1)
    return length


def _stem_strength(network: EfficientNet) -> Tensor:
    first = network.blocks[0]
    assert isinstance(first, MBConv)
    return _written(network.stem) * _read(first.first)


def _stage_strength(stage: list[MBConv]) -> Tensor:
    """Of the channels that all blocks of a stage add into: summed over the blocks that write and read them."""
    written = torch.stack([_written(block.project).square() for block in stage]).sum(0).sqrt()
    readers = [_read(block.first).square() for block in stage[1:]]
    return written * (torch.stack(readers).sum(0).sqrt() if readers else 1.0)


def _hidden_strength(block: MBConv) -> Tensor:
    return _written(block.depthwise) * _read(block.project)


def _head_strength(network: EfficientNet) -> Tensor:
    read: Tensor = torch.linalg.vector_norm(full_layer(network.classifier).weight, dim=0)
    return _written(network.head) * read


# Copying, with outputs and inputs chosen ---------------------------------------------------------------------------


def _share_out(weight: Tensor, inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Columns [out, in, ...] for the new inputs; copies of one input share its weight, unequally, summing to it."""
    old_inputs = weight.shape[1]
    if len(inputs) <= old_inputs:  # none has a copy
        return weight[:, inputs]
    share = 0.5 + torch.rand(len(weight), len(inputs), generator=generator, dtype=torch.float64)
    total = torch.zeros(len(weight), old_inputs, dtype=torch.float64).index_add_(1, inputs, share)
    share = share / total[:, inputs]  # exactly 1 where an input has no copy
    share = share.reshape(*share.shape, *[1] * (weight.dim() - 2))
    return (weight[:, inputs].double() * share).to(weight.dtype)


def _copy_unit(new: ConvNormAct, old: ConvNormAct, inputs: Tensor, outputs: Tensor, generator: torch.Generator) -> None:
    weight = old.conv.weight[outputs]
    if old.conv.groups == 1:
        weight = _share_out(weight, inputs, generator)
    new.conv.weight.copy_(weight)
    new_norm, old_norm = new.batch_norm.state_dict(), old.batch_norm.state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        new_norm[name].copy_(old_norm[name][outputs])


def _copy_block(new: MBConv, old: MBConv, inputs: Tensor, outputs: Tensor, generator: torch.Generator) -> None:
    hidden = inputs  # of a block that does not expand
    if new.expand is not None and old.expand is not None:
        hidden = _choose_outputs(old.expand, new.expand, lambda: _hidden_strength(old), generator)
        _copy_unit(new.expand, old.expand, inputs, hidden, generator)
    _copy_unit(new.depthwise, old.depthwise, hidden, hidden, generator)
    if new.se is not None and old.se is not None:
        _copy_squeeze_excite(new.se, old.se, hidden, generator)
    _copy_unit(new.project, old.project, hidden, outputs, generator)


def _copy_squeeze_excite(new: SqueezeExcite, old: SqueezeExcite, hidden: Tensor, generator: torch.Generator) -> None:

    def strength() -> Tensor:
        written: Tensor = torch.linalg.vector_norm(old.reduce.weight.flatten(1), dim=1)
        read: Tensor = torch.linalg.vector_norm(old.expand.weight.flatten(1), dim=0)
        return written * read

    squeezed = _choose(old.reduce.out_channels, new.reduce.out_channels, strength, generator)
    for part, inputs, outputs in (("reduce", hidden, squeezed), ("expand", squeezed, hidden)):
        new_conv, old_conv = getattr(new, part), getattr(old, part)
        new_conv.weight.copy_(_share_out(old_conv.weight[outputs], inputs, generator))
        new_conv.bias.copy_(old_conv.bias[outputs])


def _silence(block: MBConv) -> None:
    """The block adds nothing to its skip until training raises its last gain."""
    norm = block.project.batch_norm
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
