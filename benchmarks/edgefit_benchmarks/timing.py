"""Latency of models on a target: warm-up, blocks of samples, until the figure is sharp.

1. preflight: load, governor, heat, battery; recorded, warned about, or refused
2. open every model in a session of its own
3. warm up, which also tells how many invocations make a block of about block_s
4. rounds: one block of each model, in a new random order each round, so that a machine that gets slower or busier
   does so for all of them
5. a model is done with enough samples and seconds and a narrow interval of its p90, or at its limit of seconds
6. what a reader must know (drift, throttling, outliers, a wide interval) becomes notes
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from edgefit_benchmarks import preflight
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Session
from edgefit_benchmarks.stats import observations, summarise
from edgefit_benchmarks.targets.target import Target
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.files import sha256_of, write_atomic
from edgefit_toolkit.records import Measurement

REWARM = 3  # untimed invocations after another model has had the caches
P90_SPREAD = 0.05  # done when p90's interval is within +-5%

OpenSession = Callable[[Path, TimingOptions], Session]

DEFAULTS = TimingOptions()
NONE: Mapping[str, OpenSession] = MappingProxyType({})


@dataclass
class _Running:
    """One model while it is measured."""

    session: Session
    block_size: int
    samples_ms: list[float] = field(default_factory=list)
    done: bool = False


def measure(
    target: Target,
    model_path: Path,
    options: TimingOptions = DEFAULTS,
    *,
    model: str = "int8",
    open_session: OpenSession | None = None,
) -> Measurement:
    """Time one model; see measure_interleaved. `model` is the word for tables: "int8" or "float"."""
    openers = {} if open_session is None else {model: open_session}
    return measure_interleaved(target, {model: Path(model_path)}, options, openers=openers)[model]


def measure_interleaved(
    target: Target,
    models: Mapping[str, Path],
    options: TimingOptions = DEFAULTS,
    *,
    openers: Mapping[str, OpenSession] = NONE,
) -> dict[str, Measurement]:
    """Time several models in turns, so that their figures can be compared.

    `models` maps a name to a .tflite path; all get the same options. Times are of one invocation at the model's own
    batch, input already in place, in ms. The target opens each model, but those that `openers` name (a runtime of
    another kind). Raises InputError for a file that is no model and DeviceError when the target is unfit, emulated or
    lost.
    """
    threads, warmups = options.threads, options.warmups
    if threads < 1 or options.min_samples < 1 or warmups < 0 or not models:
        raise InputError(
            f"{threads} threads, {options.min_samples} samples, {warmups} warm-ups, {len(models)} models "
            "cannot be timed",
            "threads, samples and models are at least 1",
        )
    facts = target.facts()
    if facts.emulated:
        raise DeviceError(
            f"{facts.label} is emulated: its milliseconds are no latency",
            "attach the phone itself, or use --device host",
        )
    condition, waited_s = preflight.cooled(target, limit_s=options.cooldown_s)
    conditions = preflight.notes(preflight.check(condition, threads=threads))
    if waited_s:
        conditions = (*conditions, f"cooled down for {waited_s:.0f} s first")
    hashes = {name: _sha256_of(path) for name, path in models.items()}
    order = random.Random(options.seed)
    with ExitStack() as stack:
        running: dict[str, _Running] = {}
        for name, path in models.items():
            opened = openers.get(name, target.open_session)(path, options)
            if options.log_dir is not None:
                stack.callback(_keep_log, opened, options.log_dir / f"{name}.log")  # once it is closed
            stack.callback(opened.close)
            warm = opened.block(1, max(warmups - 1, 0))  # the last warm-up tells the pace
            running[name] = _Running(opened, _block_size(warm.samples_ms[0], opened.block_s))
        while waiting := [r for r in running.values() if not r.done]:
            order.shuffle(waiting)
            for r in waiting:
                rewarm = REWARM if len(running) > 1 else 0
                block = r.session.block(r.block_size, rewarm)
                r.samples_ms.extend(block.samples_ms)
                r.done = not block.samples_ms or _enough(r.samples_ms, options)  # a hosted job's samples are finite
    return {
        name: Measurement(
            model=name,
            model_sha256=hashes[name],
            target=facts.label,
            runtime=r.session.runtime,
            delegate=r.session.delegate,
            threads=threads,
            origin=facts.origin,
            warmups=max(warmups, 1),
            samples_ms=tuple(r.samples_ms),
            notes=(*r.session.notes, *conditions, *observations(summarise(r.samples_ms), spread_limit=P90_SPREAD)),
        )
        for name, r in running.items()
    }


def _keep_log(session: Session, path: Path) -> None:
    """The raw log of a session, whether it ended well or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{line}\n" for line in session.log))


def _sha256_of(model_path: Path) -> str:
    try:
        return sha256_of(model_path)
    except OSError as error:
        raise InputError(f"{model_path} cannot be read: {error.strerror}", "check the path") from error


def _block_size(one_ms: float, block_s: float) -> int:
    """How many invocations make a block of about `block_s`; 10 to 500."""
    return max(10, min(500, round(block_s * 1e3 / max(one_ms, 1e-3))))


def _enough(samples_ms: Sequence[float], options: TimingOptions) -> bool:
    seconds = sum(samples_ms) / 1e3
    if len(samples_ms) < options.min_samples or seconds < options.min_seconds:
        return False
    return seconds >= options.max_seconds or summarise(samples_ms).p90_spread <= P90_SPREAD
