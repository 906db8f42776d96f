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

import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from edgefit_benchmarks import preflight
from edgefit_benchmarks.programs import find_runner, open_session
from edgefit_benchmarks.sessions.session import HostSession, Session
from edgefit_benchmarks.stats import observations, summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.targets.remote import RemoteTarget
from edgefit_benchmarks.targets.target import Target, file_sha256
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.records import Measurement

REWARM = 3  # untimed invocations after another model has had the caches
P90_SPREAD = 0.05  # done when p90's interval is within +-5%

OpenSession = Callable[[Path], Session]


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
    *,
    model: str = "int8",
    threads: int = 2,
    warmups: int = 10,
    min_samples: int = 50,
    min_seconds: float = 1.0,
    max_seconds: float = 10.0,
    cpus: Sequence[int] = (),
    input_path: Path | None = None,
    seed: int = 0,
    runner: Path | None = None,
    gpu: bool = False,
    log_dir: Path | None = None,
    cooldown_s: float = 60.0,
    session: OpenSession | None = None,
) -> Measurement:
    """Time one model; see measure_interleaved. `model` is the word for tables: "int8" or "float"."""
    return measure_interleaved(
        target,
        {model: Path(model_path)},
        threads=threads,
        warmups=warmups,
        min_samples=min_samples,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        cpus=cpus,
        input_path=input_path,
        seed=seed,
        runner=runner,
        gpu=gpu,
        log_dir=log_dir,
        cooldown_s=cooldown_s,
        session=session,
    )[model]


def measure_interleaved(
    target: Target,
    models: Mapping[str, Path],
    *,
    threads: int = 2,
    warmups: int = 10,
    min_samples: int = 50,
    min_seconds: float = 1.0,
    max_seconds: float = 10.0,
    cpus: Sequence[int] = (),
    input_path: Path | None = None,
    seed: int = 0,
    runner: Path | None = None,
    gpu: bool = False,
    log_dir: Path | None = None,
    cooldown_s: float = 60.0,
    session: OpenSession | None = None,
) -> dict[str, Measurement]:
    """Time several models in turns, so that their figures can be compared.

    `models` maps a name to a .tflite path; all get the same `threads`, core set and input (raw bytes of one input
    tensor, or seeded noise of the model's own dtype). Times are of one invocation at the model's own batch, input
    already in place, in ms. `min_seconds` and `max_seconds` count timed seconds per model. Raises InputError for a file
    that is no model and DeviceError when the target is unfit, emulated or lost.

    On a device: `runner` names a benchmark_model (see runners.py), `gpu` takes its GPU delegate, and a warm device gets
    up to `cooldown_s` to cool. The raw logs go to `log_dir`. `session` replaces how a model is opened, for tests.
    """
    if threads < 1 or min_samples < 1 or warmups < 0 or not models:
        raise InputError(
            f"{threads} threads, {min_samples} samples, {warmups} warm-ups, {len(models)} models cannot be timed",
            "threads, samples and models are at least 1",
        )
    facts = target.facts()
    if facts.emulated:
        raise DeviceError(
            f"{facts.label} is emulated: its milliseconds are no latency",
            "attach the phone itself, or use --device host",
        )
    condition, waited_s = preflight.cooled(target, limit_s=cooldown_s)
    conditions = preflight.notes(preflight.check(condition, threads=threads))
    if waited_s:
        conditions = (*conditions, f"cooled down for {waited_s:.0f} s first")
    opener = session or _opener(
        target, threads=threads, cpus=cpus, input_path=input_path, seed=seed, runner=runner, gpu=gpu
    )
    hashes = {name: file_sha256(path) for name, path in models.items()}
    order = random.Random(seed)
    with ExitStack() as stack:
        running: dict[str, _Running] = {}
        for name, path in models.items():
            opened = opener(path)
            if log_dir is not None:
                stack.callback(_keep_log, opened, log_dir / f"{name}.log")  # once it is closed
            stack.callback(opened.close)
            warm = opened.block(1, max(warmups - 1, 0))  # the last warm-up tells the pace
            running[name] = _Running(opened, _block_size(warm.samples_ms[0], opened.block_s))
        while waiting := [r for r in running.values() if not r.done]:
            order.shuffle(waiting)
            for r in waiting:
                rewarm = REWARM if len(running) > 1 else 0
                r.samples_ms.extend(r.session.block(r.block_size, rewarm).samples_ms)
                r.done = _enough(r.samples_ms, min_samples, min_seconds, max_seconds)
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


def _opener(
    target: Target,
    *,
    threads: int,
    cpus: Sequence[int],
    input_path: Path | None,
    seed: int,
    runner: Path | None,
    gpu: bool,
) -> OpenSession:
    if isinstance(target, LocalTarget):
        return lambda path: HostSession(path, threads=threads, cpus=cpus, input_path=input_path, seed=seed)
    if isinstance(target, RemoteTarget):
        if input_path is not None:
            raise InputError("a picture as input is for this host only; a device gets noise", "leave it out")
        device, binary = target, find_runner(target.facts(), runner)
        return lambda path: open_session(device, path, threads=threads, cpus=cpus, seed=seed, runner=binary, gpu=gpu)
    raise DeviceError("no runner for this target is known", "edgefit doctor")


def _keep_log(session: Session, path: Path) -> None:
    """The raw log of a session, whether it ended well or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text("".join(f"{line}\n" for line in session.log), encoding="utf-8")
    os.replace(part, path)


def _block_size(one_ms: float, block_s: float) -> int:
    """How many invocations make a block of about `block_s`; 10 to 500."""
    return max(10, min(500, round(block_s * 1e3 / max(one_ms, 1e-3))))


def _enough(samples_ms: Sequence[float], min_samples: int, min_seconds: float, max_seconds: float) -> bool:
    seconds = sum(samples_ms) / 1e3
    if len(samples_ms) < min_samples or seconds < min_seconds:
        return False
    return seconds >= max_seconds or summarise(samples_ms).p90_spread <= P90_SPREAD
