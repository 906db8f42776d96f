"""The moving parts of one training: caches, optimizer, moving average, best weights."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.data.sources import labels as labels_of
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.records import Epoch
from edgefit_toolkit.training.compute import Compute
from edgefit_toolkit.training.features import (
    FORWARD_BATCH,
    Meter,
    OnEvent,
    Pictures,
    crop_batches,
    run_split,
    upper,
    upper_parameters,
)
from edgefit_toolkit.training.linear_probe import best_probe, fit_probes, score, softer_probe
from edgefit_toolkit.training.settings import TrainSettings, first_block
from edgefit_toolkit.training.trace import best_of, observe

PROBE_VIEWS_LIVE = 4  # random views that a probe sees where every layer trains and nothing is cached


class Trainer:
    """The moving parts of one training."""

    def __init__(
        self,
        network: EfficientNet,
        settings: TrainSettings,
        compute: Compute,
        pictures: Pictures,
        labels: Tensor,
        on_event: OnEvent,
    ) -> None:
        self.network, self.settings, self.compute = network, settings, compute
        self.pictures, self.labels, self.on_event = pictures, labels, on_event
        self.cut = 0 if settings.unfreeze_from == 0 else first_block(network.variant, settings.unfreeze_from)
        self.weights: list[Tensor] = list(upper_parameters(network, self.cut))
        for weight in self.weights:
            weight.requires_grad_(True)
        self.average = [weight.detach().clone() for weight in self.weights]
        self.best = [weight.detach().clone() for weight in self.weights]
        self.steps_per_epoch = math.ceil(len(pictures) / settings.batch)
        self.dropout = network.variant.dropout if settings.dropout is None else settings.dropout
        self.optimizer = self._optimizer()

    def forward(self, dataset: Dataset) -> None:
        """The evaluation crop and every view of each training picture, and the val pictures, through the network."""
        views = self.settings.views if self.cut else min(self.settings.views, PROBE_VIEWS_LIVE)
        n = len(self.pictures)
        self.val_labels = torch.from_numpy(labels_of(dataset.val))
        preprocessing = preprocessing_for(self.network.variant)
        meter = Meter(self.on_event, "features", n * (views + 1) + len(dataset.val))
        crops = crop_batches(dataset.train, preprocessing)
        splits = [run_split(self.network, crops, self.cut, self.compute, meter, exact=False)]
        for number in range(views):
            batches = self.pictures.batches(range(n), number, FORWARD_BATCH)
            splits.append(run_split(self.network, batches, self.cut, self.compute, meter, exact=False))
        self.train_features = torch.stack([split.features for split in splits])  # [1 + views, N, C]
        self.cache = [split.activations for split in splits]  # 1 + views tensors [N, C, H, W] in bfloat16
        crops = crop_batches(dataset.val, preprocessing)
        self.val = run_split(self.network, crops, self.cut, self.compute, meter, exact=True)
        self.val_photos, self.preprocessing = dataset.val, preprocessing
        self.forward_per_s = meter.images_per_s

    def probe(self) -> Epoch:
        """Fits the classifier on features: the best one is the first to beat, a softer one is where training starts."""
        self.on_event("linear probe", 0, 1, "")
        rows = self.train_features.flatten(0, 1)
        targets = self.labels.repeat(len(self.train_features))
        classifier = self.network.classifier
        probes = fit_probes(rows, targets, self.val.features, self.val_labels, classifier.out_features)
        found = best_probe(probes)
        found.into(classifier)
        self._copy(self.weights, self.best)
        softer_probe(probes, than=found).into(classifier)
        self._copy(self.weights, self.average)
        self.on_event("linear probe", 1, 1, f"val top-1 {found.val_top1:.3f}")
        line = Epoch(
            0, "probe", found.train_loss, found.train_top1, found.val_loss, found.val_top1, self.forward_per_s, 0.0
        )
        return _with_observation([line], self.settings)

    def epoch(self, trace: Sequence[Epoch]) -> Epoch | None:
        """One pass over the training pictures; None when the loss is not finite."""
        number = trace[-1].epoch + 1
        random = torch.Generator().manual_seed(_epoch_seed(self.settings.seed, number))
        order = torch.randperm(len(self.pictures), generator=random)
        chosen = torch.randint(0, len(self.train_features), (len(order),), generator=random)
        meter = Meter(self.on_event, f"fine-tuning epoch {number} of {self.settings.epochs}", len(order))
        step = (number - 1) * self.steps_per_epoch
        loss_sum, right = 0.0, 0
        for at, inputs in enumerate(self._inputs(order, chosen, number)):
            part = order[at * self.settings.batch : (at + 1) * self.settings.batch]
            truth = self.labels[part].to(self.compute.device)
            logits = self._step(inputs, truth, self._lr(step + at), random)
            loss = F.cross_entropy(logits, truth).item()
            if not math.isfinite(loss):
                return None
            loss_sum += loss * len(part)
            right += int((logits.argmax(1) == truth).sum())
            meter.add(len(part), f"loss {loss_sum / max(meter.done + len(part), 1):.3f}")
        self._swap()
        val_loss, val_top1 = score(self._val_logits(), self.val_labels)
        line = Epoch(
            number, "finetune", loss_sum / len(order), right / len(order), val_loss, val_top1, meter.images_per_s,
            self._lr(step + self.steps_per_epoch - 1),
        )  # fmt: skip
        if best_of([*trace, line]) is line:
            self._copy(self.weights, self.best)
        self._swap()
        return _with_observation([*trace, line], self.settings)

    def finish(self) -> Tensor:
        """Puts the best weights into the network, back on the CPU; the val logits [N, classes] they give."""
        self._copy(self.best, self.weights)
        logits = self._val_logits()
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        self.network.to("cpu").to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return logits

    def state(self) -> dict[str, Tensor]:
        """Weights, average, best and AdamW's moments by name."""
        tensors: dict[str, Tensor] = {}
        for index, weight in enumerate(self.weights):
            tensors |= {f"{index}.weight": weight, f"{index}.average": self.average[index]}
            tensors[f"{index}.best"] = self.best[index]
            tensors |= {f"{index}.adam.{name}": value for name, value in self.optimizer.state[weight].items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        with torch.no_grad():
            for index, weight in enumerate(self.weights):
                weight.copy_(tensors[f"{index}.weight"])
                self.average[index].copy_(tensors[f"{index}.average"])
                self.best[index].copy_(tensors[f"{index}.best"])
                moments = {
                    name: tensors[f"{index}.adam.{name}"].clone()
                    for name in ("step", "exp_avg", "exp_avg_sq")
                    if f"{index}.adam.{name}" in tensors
                }
                for name in moments.keys() - {"step"}:
                    moments[name] = torch.empty_like(weight).copy_(moments[name])  # on its device, in its layout
                if moments:
                    self.optimizer.state[weight].update(moments)

    def _step(self, inputs: Tensor, truth: Tensor, lr: float, random: torch.Generator) -> Tensor:
        """One update from a batch; its logits [n, classes], detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.compute.autocast(self.compute.bf16_training):
            features = upper(self.network, inputs, self.cut)
            logits = self.network.classifier(_dropout(features, self.dropout, random)).float()
        self.optimizer.zero_grad()
        F.cross_entropy(logits, truth).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        # an exponential average; its window is a share of the job, so that few steps and many both suit it
        fresh = 1 / (1 + self.settings.average * self.steps_per_epoch * self.settings.epochs)
        with torch.no_grad():
            for mean, weight in zip(self.average, self.weights, strict=True):
                mean.lerp_(weight, fresh)
        return torch.as_tensor(logits.detach())

    def _inputs(self, order: Tensor, chosen: Tensor, number: int) -> Iterator[Tensor]:
        """Batches for the layers above the cut: cached activations of the chosen views, or fresh views of pixels."""
        if self.cut:
            for part, view in zip(
                torch.split(order, self.settings.batch), torch.split(chosen, self.settings.batch), strict=True
            ):
                rows = [self.cache[v][i] for v, i in zip(view.tolist(), part.tolist(), strict=True)]
                yield self._on_device(torch.stack(rows).float())
        else:
            fresh = PROBE_VIEWS_LIVE + number  # views that the probe has not seen
            for pixels in self.pictures.batches(order.tolist(), fresh, self.settings.batch):
                yield self._on_device(to_network_input(pixels))

    def _on_device(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.compute.device).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _val_logits(self) -> Tensor:
        """[N, classes] in float32."""
        if self.cut:
            batches: Iterator[Tensor] = iter(torch.split(self.val.activations, FORWARD_BATCH))
        else:
            batches = map(to_network_input, crop_batches(self.val_photos, self.preprocessing))
        network = self.network
        return torch.cat(
            [network.classifier(upper(network, self._on_device(batch), self.cut)).cpu() for batch in batches]
        )

    def _lr(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs from 0: a linear rise over one epoch, then a cosine."""
        warm_up, total = self.steps_per_epoch, self.steps_per_epoch * self.settings.epochs
        rise = min((step + 1) / warm_up, 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * step / total))
        return self.settings.lr * rise * fall

    def _optimizer(self) -> torch.optim.AdamW:
        decayed = [weight for weight in self.weights if weight.ndim > 1]
        others = [weight for weight in self.weights if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.lr)

    def _copy(self, source: list[Tensor], target: list[Tensor]) -> None:
        with torch.no_grad():
            for old, new in zip(target, source, strict=True):
                old.copy_(new)

    def _swap(self) -> None:
        """Exchanges the network's weights and their moving average."""
        with torch.no_grad():
            for weight, mean in zip(self.weights, self.average, strict=True):
                kept = weight.clone()
                weight.copy_(mean)
                mean.copy_(kept)


def _dropout(features: Tensor, rate: float, random: torch.Generator) -> Tensor:
    """Dropout whose random numbers come from the epoch's generator, and so from the seed."""
    if rate == 0:
        return features
    kept = torch.rand(features.shape, generator=random) >= rate
    return features * kept.to(features.device) / (1 - rate)


def _epoch_seed(seed: int, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _with_observation(trace: Sequence[Epoch], settings: TrainSettings) -> Epoch:
    return dataclasses.replace(trace[-1], observation=observe(trace, settings.patience))
