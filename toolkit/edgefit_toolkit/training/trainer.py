"""One training in progress: weights, optimizer, moving average, best weights, trace."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.data.preprocessing import to_network_input
from edgefit_toolkit.errors import TrainingError
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.head import output_layer
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Epoch
from edgefit_toolkit.training.balance import log_shares, mean_recall
from edgefit_toolkit.training.compute import Compute
from edgefit_toolkit.training.inputs.batches import Batch, batches_of
from edgefit_toolkit.training.inputs.features import Meter, TrainingInputs, UpperPart
from edgefit_toolkit.training.probe.linear_probe import LinearProbe, best_probe, fit_probes, score, softer_probe
from edgefit_toolkit.training.probe.streamed_probe import fit_streamed, is_large
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.state import Position, TrainingState
from edgefit_toolkit.training.teacher import Teacher, distilled
from edgefit_toolkit.training.trace import best_of, observe, value
from edgefit_toolkit.training.world import ALONE, World


class Trainer:
    """One training, after its linear probe or where a saved state was; each `epoch` adds one.

    The weights that train are those of the network's `UpperPart`, which every step calls as a module; of several
    processes each trains on its part of every batch, and all hold the same weights after every step.
    """

    def __init__(
        self,
        network: EfficientNet,
        inputs: TrainingInputs,
        settings: TrainSettings,
        compute: Compute,
        on_progress: Progress = ignore_progress,
        saved: TrainingState | None = None,
        world: World = ALONE,
        teacher: Teacher | None = None,
    ) -> None:
        self.network, self.inputs, self.settings, self.world = network, inputs, settings, world
        self.compute, self.on_progress, self.teacher = compute, on_progress, teacher
        dropout = network.variant.dropout if settings.dropout is None else settings.dropout
        self.upper = UpperPart(network, inputs.cut, dropout)
        self.weights = list(self.upper.parameters())
        for weight in self.weights:
            weight.requires_grad_(True)
        self.model = world.wrap(self.upper)
        if settings.compiled:
            self.model.compile()
        self.average = [weight.detach().clone() for weight in self.weights]
        self.best = [weight.detach().clone() for weight in self.weights]
        self.log_shares = log_shares(inputs.labels, network.variant.classes) if settings.balance else None
        self.steps_per_epoch = math.ceil(len(inputs.labels) / settings.batch)
        self.optimizer = self._optimizer()
        self.trace: list[Epoch] = [] if saved is None else list(saved.trace)
        self.position = Position() if saved is None else saved.position
        self.random = Tensor() if saved is None else saved.tensors.get("random", Tensor())  # after that step
        if saved is None:
            self._note(self._probe())
        else:
            self._restore(saved.tensors)

    def epoch(self, after_step: Callable[[], None] = lambda: None) -> None:
        """One pass over the training pictures, or what is left of it, added to the trace.

        `after_step` may look at `state`. Raises TrainingError for a loss that is not finite.
        """
        number = self.trace[-1].epoch + 1
        random = torch.Generator().manual_seed(_epoch_seed(self.settings.seed, number))
        order = torch.randperm(len(self.inputs.labels), generator=random)
        chosen = torch.randint(0, len(self.inputs.features), (len(order),), generator=random)
        if self.position.step:
            random.set_state(self.random)
        done = self.position.step * self.settings.batch
        meter = Meter(self.on_progress, f"fine-tuning epoch {number} of {self.settings.epochs}", len(order) - done)
        step = (number - 1) * self.steps_per_epoch
        so_far = f"best on val so far {value(best_of(self.trace)):.3f}"
        waited_s, asked_s = 0.0, time.monotonic()
        for batch in self._batches(order[done:], chosen[done:], number):
            waited_s += time.monotonic() - asked_s
            before, n = self.position, batch.pictures
            loss, right = self._step(batch, self._lr(step + before.step), random)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss of step {before.step + 1} in epoch {number} is {loss:g}: the training cannot go on",
                    f"the same command tries again from the last state that was kept; --epochs {number - 1} ends before"
                    " it, --epochs 0 keeps the linear probe",
                )
            self.position = Position(before.step + 1, before.loss_sum + loss * n, before.right + right)
            self.random = random.get_state()
            after_step()
            done += n
            meter.add(n, f"loss {self.position.loss_sum / done:.3f}, {so_far}")
            asked_s = time.monotonic()
        waiting = waited_s / max(time.monotonic() - meter.started, 1e-9)
        loss_sum, right = self.position.loss_sum, self.position.right
        self.position = Position()
        self._swap()
        logits = self._val_logits()
        line = Epoch(
            number, "finetune", loss_sum / len(order), right / len(order), *score(logits, self.inputs.val_labels),
            meter.images_per_s, self._lr(step + self.steps_per_epoch - 1), waiting_share=round(waiting, 3),
        )  # fmt: skip
        self._note(self._balanced(line, logits))
        if best_of(self.trace) is self.trace[-1]:
            self._copy(self.weights, self.best)
        self._swap()

    def finish(self) -> Tensor:
        """Puts the best weights into the network; the val logits [N, classes] that they were fitted to give, which are
        the network's own but where it was balanced."""
        self._copy(self.best, self.weights)
        logits = self._val_logits()
        if self.log_shares is not None:
            with torch.no_grad():
                output_layer(self.network.classifier).bias.sub_(self.log_shares.to(self.compute.device))
        return logits

    def release(self) -> None:
        """Gives the network back, on the CPU."""
        self.inputs.close()
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        self.network.to("cpu").to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def balanced(self, logits: Tensor) -> Tensor:
        """Fitted logits [N, classes] as the network will give them: less the classes' shares, where it is balanced."""
        return logits if self.log_shares is None else logits - self.log_shares

    def state(self) -> TrainingState:
        """Trace, weights, average, best, AdamW's moments, where in the epoch: what `saved` takes."""
        tensors: dict[str, Tensor] = {"random": self.random} if self.position.step else {}
        for index, weight in enumerate(self.weights):
            tensors |= {f"{index}.weight": weight, f"{index}.average": self.average[index]}
            tensors[f"{index}.best"] = self.best[index]
            tensors |= {f"{index}.adam.{name}": value for name, value in self.optimizer.state[weight].items()}
        return TrainingState(tuple(self.trace), tensors, self.position)

    def _restore(self, tensors: dict[str, Tensor]) -> None:
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

    def _probe(self) -> Epoch:
        """Fits the classifier on features: the best one is the first to beat, a softer one is where training starts."""
        self.on_progress("linear probe", 0, 1)
        classifier = output_layer(self.network.classifier)
        found, softer, val_logits = self.world.by_first(self._probes)
        found.into(classifier)
        self._copy(self.weights, self.best)
        softer.into(classifier)
        self._copy(self.weights, self.average)
        self.on_progress("linear probe", 1, 1, f"val top-1 {found.val_top1:.3f}")
        line = Epoch(
            0, "probe", found.train_loss, found.train_top1, found.val_loss, found.val_top1, self.inputs.images_per_s,
            0.0,
        )  # fmt: skip
        return self._balanced(line, val_logits)

    def _probes(self) -> tuple[LinearProbe, LinearProbe, Tensor]:
        """The best probe, the softer one, and the val logits of the best."""
        features, val = self.inputs.features, self.inputs.val.features
        targets = self.inputs.labels.repeat(len(features))
        classes = self.network.classifier.out_features
        rows = (features.flatten(0, 1), targets, val, self.inputs.val_labels, classes)
        large = is_large(len(targets), classes)
        streamed = partial(fit_streamed, on_progress=self.on_progress, device=self.compute.device)
        probes = (streamed if large else fit_probes)(*rows)
        found = best_probe(probes)
        return found, softer_probe(probes, than=found), F.linear(val, found.weight, found.bias)

    def _balanced(self, line: Epoch, logits: Tensor) -> Epoch:
        """The line with what the network will tell right, where each class counts alike."""
        if self.log_shares is None:
            return line
        answers, truth = self.balanced(logits), self.inputs.val_labels
        return replace(line, val_top1=score(answers, truth)[1], val_recall=mean_recall(answers, truth))

    def _note(self, line: Epoch) -> None:
        self.trace.append(replace(line, observation=observe([*self.trace, line], self.settings.patience)))

    def _step(self, batch: Batch, lr: float, random: torch.Generator) -> tuple[float, int]:
        """One update; the batch's mean loss before it, and how many pictures were told right."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        kept = self._kept(batch, random)
        truth = self.inputs.labels[batch.own].to(self.compute.device)
        with self.world.answers(), self.compute.autocast(self.compute.bf16_training):
            logits = self.model(batch.inputs, kept)[: len(truth)].float()
        loss = self._loss(logits, truth, batch)
        if self.world.size > 1:  # the mean over processes of this is that over the pictures of all
            loss = loss * (batch.counted * self.world.size / batch.pictures)
        self.optimizer.zero_grad()
        with self.world.answers():
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        # an exponential average; its window is a share of the job, so that few steps and many both suit it
        fresh = 1 / (1 + self.settings.average * self.steps_per_epoch * self.settings.epochs)
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list[Tensor](self.weights), fresh)
        right = int((logits.argmax(1) == truth)[: batch.counted].sum())
        loss_sum, right_sum = self.world.sums(loss.item(), right)
        return loss_sum / self.world.size, int(right_sum)

    def _loss(self, logits: Tensor, truth: Tensor, batch: Batch) -> Tensor:
        """The mean over this process's pictures."""
        if self.teacher is None:
            return F.cross_entropy(logits, truth)
        if batch.taught is not None:
            return distilled(logits, truth, batch.taught.to(self.compute.device))
        with self.compute.autocast(self.compute.bf16_forward):  # as all that is frozen
            taught = self.teacher(batch.inputs)[: len(truth)]
        return distilled(logits, truth, taught.float())

    def _kept(self, batch: Batch, random: torch.Generator) -> Tensor | None:
        """Which features dropout leaves, bool [n, C]: its random numbers are the epoch's, and so the seed's."""
        if self.upper.dropout == 0:
            return None
        shape = (batch.pictures, self.network.classifier.in_features)
        kept = (torch.rand(shape, generator=random) >= self.upper.dropout)[batch.places]
        return self.compute.padded(kept.to(self.compute.device), len(batch.inputs))

    def _batches(self, order: Tensor, chosen: Tensor, number: int) -> Iterator[Batch]:
        size, rows = self.settings.batch, -(-self.settings.batch // self.world.size)
        batches = batches_of(self.inputs, self.world, order, chosen, number, size)
        return self.compute.ahead(batches, lambda batch: replace(batch, inputs=self.on_device(batch.inputs, rows)))

    def on_device(self, inputs: Tensor, rows: int) -> Tensor:
        """What the upper part takes, filled up to `rows` on a GPU; of such inputs or of pixels, uint8 [n, R, R, 3]."""
        if inputs.dtype == torch.uint8:
            inputs = to_network_input(inputs.numpy(), device=self.compute.device)
        padded = self.compute.padded(inputs.to(self.compute.device), rows)
        return padded.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _val_logits(self) -> Tensor:
        """[N, classes] in float32."""
        size = self.compute.forward_batch
        own = [self.upper(self.on_device(batch, size))[: len(batch)].cpu() for batch in self.inputs.val_batches(size)]
        empty = torch.empty(0, self.network.classifier.out_features)
        return self.world.all_rows(torch.cat(own or [empty]), len(self.inputs.val_labels))

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

    def _copy(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
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


def _epoch_seed(seed: int, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
