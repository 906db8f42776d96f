"""A released network made smaller, and fitted to its own answers on the pictures it will be used for.

Cutting channels and blocks away (`grow.resize`) changes what a network computes, the more the smaller it gets.
Here every layer of the smaller network is fitted, in order, to what the layer of the large one gives on the same
pictures; each layer sees what the smaller ones before it really hand on, so errors are made up for and do not add up.
No label is looked at. Three things become smaller, and each has its own best answer:

    the channels that a stage's blocks add into     no activation between them and what reads them: they become the
                                                    linear combinations that their readers can be served from best
    the channels inside a block                     those go that the others can stand in for (He et al., "Channel
                                                    Pruning for Accelerating Very Deep Neural Networks", 2017)
    the blocks of a stage                           the last ones go; the one before is fitted to the stage's output

What it is worth: benchmarks/results/growing_and_cutting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network.blocks import fits_into, shape_of
from edgefit_toolkit.network.efficientnet import ConvNormAct, EfficientNet, MBConv, SqueezeExcite, fold_batch_norm
from edgefit_toolkit.network.head import full_layer, output_layer
from edgefit_toolkit.network.linear_maps import drop_inputs, refit, subspace
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Variant

POSITIONS = 64  # of a picture's feature map that are fitted to: neighbours tell the same
RIDGE = 1e-2  # of fitted weights, towards those that follow from the large network's; 1e-3 and 1e-1 do as well
DROP_RIDGE = 1e-4
BATCH = 32


def shrink(
    parent: EfficientNet,
    variant: Variant,
    pictures: Tensor,
    seed: int = 0,
    on_progress: Progress = ignore_progress,
    device: str = "cpu",
) -> EfficientNet:
    """A network of `variant`, in eval mode on the CPU, that answers `pictures` as the parent does, as nearly as it can.

    `pictures` are float [N, 3, R, R] in (pixels - 127) / 128, R the variant's own; a few hundred. The same seed gives
    the same network. Raises ScalingError for another family or number of classes, or where the variant is in any part
    larger than the parent.
    """
    old = parent.variant
    if variant.classes != old.classes or not fits_into(variant, old):
        raise ScalingError(
            f"{old.label} with {old.classes} classes cannot shrink to {variant.label} with {variant.classes}: "
            "it must be of the same family and classes, and nowhere larger",
            "grow.resize takes any size",
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        job = _Shrinking(parent.eval(), variant, pictures, seed, device)
        return job.run(on_progress)


@dataclass(frozen=True)
class _Stream:
    """How the small network holds the channels that a stage's blocks add into: small = encode @ large."""

    encode: Tensor  # [small, large]
    decode: Tensor  # [large, small]
    offset: Tensor  # [large]: large ~ decode @ small + offset
    kept: Tensor | None = None  # [small]: which of the large one's channels they are, where they are not mixed

    @classmethod
    def same(cls, channels: int, device: str) -> _Stream:
        eye = torch.eye(channels, device=device)
        return cls(eye, eye, torch.zeros(channels, device=device), torch.arange(channels, device=device))


class _Shrinking:
    """One network becoming smaller. `large` is the parent, batch norms folded; `small` is what is being made."""

    def __init__(self, parent: EfficientNet, variant: Variant, pictures: Tensor, seed: int, device: str) -> None:
        self.device = device
        at_size = parent.at_resolution(variant.resolution_px)
        self.parts = at_size.stages  # with their batch norms, to copy what stays as it is
        self.parent = at_size
        self.large = _fast(fold_batch_norm(at_size), device)
        self.small = _fast(EfficientNet.from_variant(variant).eval(), device)
        self.random = torch.Generator().manual_seed(seed)
        self.pictures = pictures.to(device, memory_format=torch.channels_last)
        self.exact = self.small.stem.conv.weight.shape == self.large.stem.conv.weight.shape  # small = large, so far

    def run(self, on_progress: Progress) -> EfficientNet:
        large, small = self.large, self.small
        wide = self._each(self.pictures, lambda x: large.stem(x if large.input_norm is None else large.input_norm(x)))
        narrow = wide
        stream = _Stream.same(wide.shape[1], self.device)
        olds, news = large.stages, small.stages
        old_shape, new_shape = shape_of(large.variant), shape_of(small.variant)
        done = 0
        if self.exact:
            small.stem.load_state_dict(self.parent.stem.state_dict())
        for stage, (old, new) in enumerate(zip(olds, news, strict=True)):
            along = [wide]  # the large network's own: what enters the stage, and what each block gives
            for block in old:
                along.append(self._each(along[-1], block))
            readers = [block.first for block in old[1:]]
            readers.append(olds[stage + 1][0].first if stage + 1 < len(olds) else large.head)
            after = self._stream(along[1:], readers, new[0].project.conv.out_channels)
            for repeat, block in enumerate(new):
                target = along[-1] if repeat == len(new) - 1 else along[repeat + 1]
                if self.exact and old_shape[stage] == new_shape[stage]:  # nothing here, or before, is smaller
                    block.load_state_dict(self.parts[stage][repeat].state_dict())
                    narrow = target
                else:
                    narrow = self._block(block, old[repeat], along[repeat], target, narrow, stream, after)
                if repeat == 0:
                    stream = after
                done += 1
                on_progress("fitting the cut network, blocks", done, len(small.blocks))
            wide = along[-1]
        self._head(wide, narrow, stream)
        return small.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]

    def _stream(self, given: Sequence[Tensor], readers: Sequence[ConvNormAct], keep: int) -> _Stream:
        channels = given[0].shape[1]
        if keep == channels:
            return _Stream.same(channels, self.device)
        places = self._places(given[0])
        samples = torch.cat([_at(x, places) for x in given])
        metric = torch.zeros(channels, channels, dtype=torch.float64, device=self.device)
        for reader in readers:
            weight = reader.conv.weight.flatten(1).double()
            metric += weight.T @ weight if reader.conv.groups == 1 else torch.diag(weight.square().sum(1))
        if all(reader.conv.groups == 1 for reader in readers):
            return _Stream(*subspace(samples, metric, keep))
        # a depthwise convolution reads every channel alone (B's stage 0): they can be left out, but not mixed
        root = torch.linalg.cholesky(metric + 1e-6 * metric.diagonal().mean() * torch.eye(channels).to(metric)).T
        kept, fewer, _ = drop_inputs(samples, root, torch.zeros_like(root[0]), keep, DROP_RIDGE)
        decode = torch.linalg.solve(root, fewer).float()
        mean = samples.mean(0)
        return _Stream(torch.eye(channels, device=self.device)[kept], decode, mean - decode @ mean[kept], kept)

    def _block(
        self, new: MBConv, old: MBConv, wide: Tensor, target: Tensor, narrow: Tensor, before: _Stream, after: _Stream
    ) -> Tensor:
        """Fits one block; what it then gives for all pictures."""
        out_places, in_places = self._places(target), self._places(wide)

        # which channels inside the block stay, judged by what the large block makes of them
        hidden = self._each(wide, old.hidden, out_places)
        project = old.project.conv
        weight = after.encode @ project.weight.flatten(1)
        bias = after.encode @ _bias(project)
        if old.expand is None and old is not self.large.blocks[0]:  # the channels inside are those that it is given
            assert before.kept is not None
            kept = before.kept
            weight = weight[:, kept]
        else:
            kept, weight, bias = drop_inputs(hidden, weight, bias, new.project.conv.in_channels, DROP_RIDGE)

        # the layers in order, each on what the small ones before it hand on
        stem = self.large.stem.conv
        if old is self.large.blocks[0] and len(kept) < stem.out_channels:  # the channels inside are the stem's
            _write(self.small.stem, stem.weight[kept], _bias(stem)[kept])
            narrow = narrow[:, kept]
        if new.expand is not None and old.expand is not None:
            rows = old.expand.conv.weight.flatten(1)[kept]
            offset = _bias(old.expand.conv)[kept]
            inputs = _at(narrow, in_places)
            wanted = _at(wide, in_places) @ rows.T + offset
            fitted = refit(inputs, wanted, rows @ before.decode, rows @ before.offset + offset, RIDGE)
            _write(new.expand, *fitted, inputs)
        depthwise = old.depthwise.conv
        _write(new.depthwise, depthwise.weight[kept], _bias(depthwise)[kept])
        given = self._each(narrow, lambda x: new.depthwise.norm(new.depthwise.conv(new.widened(x))), out_places)
        _norm_as(new.depthwise, given.mean(0), given.var(0, correction=0))
        if new.se is not None and old.se is not None:
            self._squeeze_excite(new, old, old.se, wide, narrow, kept)
        inputs = self._each(narrow, new.hidden, out_places)
        wanted = _at(target, out_places) @ after.encode.T
        if new.skip:
            wanted = wanted - _at(narrow, out_places)
        _write(new.project, *refit(inputs, wanted, weight, bias, RIDGE), inputs)
        self.exact = False
        return self._each(narrow, new)

    def _squeeze_excite(
        self, new: MBConv, old: MBConv, gate: SqueezeExcite, wide: Tensor, narrow: Tensor, kept: Tensor
    ) -> None:
        """Fits the gate of the channels that stayed to the large block's own."""
        assert new.se is not None
        pooled_wide = self._each(wide, lambda x: old.ungated(x).mean((2, 3)))
        pooled = self._each(narrow, lambda x: new.ungated(x).mean((2, 3)))
        reduce, expand = gate.reduce.weight.flatten(1), gate.expand.weight.flatten(1)
        squeezed = nn.functional.silu(pooled_wide @ reduce.T + _bias(gate.reduce))
        count = new.se.reduce.out_channels
        stay, fewer, offset = drop_inputs(squeezed, expand[kept], _bias(gate.expand)[kept], count, DROP_RIDGE)
        wanted = pooled_wide @ reduce[stay].T + _bias(gate.reduce)[stay]
        weight, bias = refit(pooled, wanted, reduce[stay][:, kept], _bias(gate.reduce)[stay], RIDGE)
        _write_conv(new.se.reduce, weight, bias)
        inputs = nn.functional.silu(pooled @ weight.T + bias)
        wanted = squeezed @ expand[kept].T + _bias(gate.expand)[kept]
        _write_conv(new.se.expand, *refit(inputs, wanted, fewer, offset, RIDGE))

    def _head(self, wide: Tensor, narrow: Tensor, stream: _Stream) -> None:
        head, classifier = self.large.head.conv, full_layer(self.large.classifier)
        if self.exact and head.weight.shape == self.small.head.conv.weight.shape:
            self.small.head.load_state_dict(self.parent.head.state_dict())
            output_layer(self.small.classifier).load_state_dict(classifier.state_dict())
            return
        features = self._each(wide, lambda x: self.large.head(x).mean((2, 3)))
        count = self.small.head.conv.out_channels
        kept, weight, bias = drop_inputs(features, classifier.weight, _bias(classifier), count, DROP_RIDGE)
        places = self._places(wide)
        rows, offset = head.weight.flatten(1)[kept], _bias(head)[kept]
        inputs = _at(narrow, places)
        wanted = _at(wide, places) @ rows.T + offset
        fitted = refit(inputs, wanted, rows @ stream.decode, rows @ stream.offset + offset, RIDGE)
        _write(self.small.head, *fitted, inputs)
        output_layer(self.small.classifier).weight.copy_(weight)
        output_layer(self.small.classifier).bias.copy_(bias)

    def _places(self, maps: Tensor) -> Tensor:
        """[N, P] positions of every picture's map [N, C, H, W], drawn without repetition."""
        count = maps.shape[2] * maps.shape[3]
        drawn = [torch.randperm(count, generator=self.random)[:POSITIONS] for _ in range(len(maps))]
        return torch.stack(drawn).to(self.device)

    @staticmethod
    def _each(x: Tensor, compute: Callable[[Tensor], Tensor], places: Tensor | None = None) -> Tensor:
        """`compute` of all pictures, a batch at a time; with `places`, only those positions of its maps."""
        given = []
        for start in range(0, len(x), BATCH):
            y = compute(x[start : start + BATCH])
            given.append(y if places is None else _at(y, places[start : start + BATCH]))
        return torch.cat(given)


def _fast(network: EfficientNet, device: str) -> EfficientNet:
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """Maps [N, C, H, W] at positions [N, P] -> [N * P, C]."""
    flat = maps.flatten(2)
    index = places[:, None, :].expand(-1, flat.shape[1], -1)
    return flat.gather(2, index).transpose(1, 2).reshape(-1, flat.shape[1])


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None  # folded
    return layer.bias


def _write_conv(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    conv.weight.copy_(weight.reshape(conv.weight.shape))
    _bias(conv).copy_(bias)


def _write(unit: ConvNormAct, weight: Tensor, bias: Tensor, inputs: Tensor | None = None) -> None:
    """The unit computes weight @ x + bias; its batch norm's statistics are those of `inputs` [n, in], where given."""
    unit.conv.weight.copy_(weight.reshape(unit.conv.weight.shape))
    unit.batch_norm.bias.copy_(bias)
    if inputs is None:
        _norm_as(unit, bias, torch.ones_like(bias))
    else:
        given = inputs @ weight.T + bias
        _norm_as(unit, given.mean(0), given.var(0, correction=0))


def _norm_as(unit: ConvNormAct, mean: Tensor, variance: Tensor) -> None:
    """Gives the unit's batch norm, which only adds its bias so far, the statistics of what the unit computes."""
    norm = unit.batch_norm
    statistics = norm.state_dict()
    statistics["running_mean"].copy_(mean - norm.bias)
    statistics["running_var"].copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)
