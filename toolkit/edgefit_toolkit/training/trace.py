"""One epoch of a training trace in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from edgefit_toolkit.records import Epoch

NOTABLE = 0.02  # of a loss, relative: smaller changes are called none


def rank(epoch: Epoch) -> tuple[float, float]:
    """What epochs are compared by: val top-1 or the mean over classes, and among equals the lower val loss."""
    return value(epoch), -epoch.val_loss


def best_of(trace: Sequence[Epoch]) -> Epoch:
    """The best epoch, the earlier one among equals."""
    return max(trace, key=rank)


def observe(trace: Sequence[Epoch], patience: int) -> str:
    """What the last epoch of the trace shows, compared with those before it."""
    *before, now = trace
    what = "val top-1" if now.val_recall is None else "val mean over classes"
    if now.phase == "probe":
        return f"start: a linear classifier on frozen ImageNet features, {what} {value(now):.3f}"
    previous, best = before[-1], best_of(before)
    stale = now.epoch - best.epoch
    parts: list[str] = []
    if rank(now) > rank(best):
        gained = value(now) - value(best)
        parts.append(f"best so far, {what} {gained:+.3f}" if gained > 0 else "best so far, by its lower val loss")
        stale = 0
    elif _change(now.val_loss, previous.val_loss) > NOTABLE and now.train_loss < previous.train_loss:
        parts.append("val loss rises while train loss falls: overfitting begins")
    elif value(now) < value(best):
        parts.append(f"{what} {value(now) - value(best):+.3f} against epoch {best.epoch}, the best")
    elif abs(_change(now.val_loss, previous.val_loss)) <= NOTABLE:
        parts.append("no change on val")
    else:
        parts.append("as many val pictures right as at best, with a higher loss")
    if now.train_top1 == 1.0 and all(line.train_top1 < 1.0 for line in before):
        parts.append("every training picture is told right: little left to learn from them")
    if stale >= patience:
        parts.append(f"nothing better in {stale} epochs: training stops here")
    return "; ".join(parts)


def value(epoch: Epoch) -> float:
    """Val top-1, or the mean over classes where each counts alike."""
    return epoch.val_top1 if epoch.val_recall is None else epoch.val_recall


def _change(now: float, before: float) -> float:
    return (now - before) / max(abs(before), 1e-9)
