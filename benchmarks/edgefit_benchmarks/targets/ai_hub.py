"""Phones of Qualcomm AI Hub, through Qualcomm's own client: upload, one job, wait, its times.

The client (`qai-hub`, the extra `ai-hub`) brings its configuration and its token. Written to the interface of qai-hub
0.56 and tested against a stand-in with that interface: this has never met the real service.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.target import Condition, Facts, Target
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.progress import plain

COST = (
    "uploads the model to Qualcomm and takes one job of your account's allowance; what your plan charges for it, "
    "edgefit cannot see"
)
HOW_TO_GET_CLIENT = "pip install 'edgefit-toolkit[ai-hub]', then `qai-hub configure --api_token TOKEN`"
JOB_TIMEOUT_S = 3600  # phones are shared: a job may stand in a queue
ITERATIONS = 100  # the client's own default


class AiHubSession:
    """One finished job: its times are handed out block by block, and then there are no more (see session.Session)."""

    block_s = 3600.0  # all at once: nothing is started for a block

    def __init__(self, client: Any, device: Any, model_path: Path, options: TimingOptions) -> None:
        """Upload the model, run the job and wait for it. DeviceError when the job fails or gives no times."""
        import qai_hub

        iterations = max(ITERATIONS, options.min_samples + 1)
        # on the CPU, as everywhere in edgefit; the service takes a delegate or a compute unit, not both
        asked = f"--tflite_delegates xnnpack --tflite_options number_of_threads={options.threads}"
        with _explained(device.name):
            model = client.upload_model(str(model_path), name=model_path.name)
            job = client.submit_inference_job(
                model, device, name=model_path.name, options=f"{asked} --max_profiler_iterations {iterations}"
            )
            status = job.wait(JOB_TIMEOUT_S)
            if not status.success:
                raise DeviceError(f"the job on {device.name} failed: {plain(status.message or 'no reason')}", job.url)
            profile = job.download_profile()
        summary = profile["execution_summary"]
        self._times_ms = [us / 1e3 for us in summary.get("all_inference_times") or ()]
        if len(self._times_ms) < 2:
            raise DeviceError(f"the job on {device.name} gave no single times", f"see {job.url}")
        units = Counter(layer["compute_unit"] for layer in profile["execution_detail"])
        self.delegate = ", ".join(f"{unit} {n}" for unit, n in units.most_common()) or "unknown"
        self.runtime = f"Qualcomm AI Hub (qai-hub {qai_hub.__version__})"
        self.notes: tuple[str, ...] = ("input: the service's own noise", f"job: {job.url}", f"asked for: {asked}")
        self.log = json.dumps(profile, indent=1, default=str).splitlines()

    def block(self, samples: int, warmups: int) -> Block:
        """The next `samples` times of the job, fewer or none at its end; its warm-ups are the service's own."""
        found, self._times_ms = self._times_ms[:samples], self._times_ms[samples:]
        return Block((), tuple(found))

    def close(self) -> None:
        """Nothing is held."""


class AiHubTarget(Target):
    """One of the service's devices, by its name there: "Samsung Galaxy S24 (Family)"."""

    def __init__(self, name: str) -> None:
        """DeviceError without the client or its token, or when the service has no such device."""
        try:
            import qai_hub
        except ImportError as error:
            raise DeviceError("the client of Qualcomm AI Hub is not installed", HOW_TO_GET_CLIENT) from error
        with _explained(name):
            self._client = qai_hub.Client()
            self._client.set_verbose(False)  # it prints on stdout, which is ours
            found = self._client.get_devices(name=name)
            if not found:
                names = sorted({device.name for device in self._client.get_devices()})
                near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
                raise DeviceError(
                    f"Qualcomm AI Hub has no device {name!r}",
                    f"near: {'; '.join(near) or 'none'}; `qai-hub list-devices`",
                )
        self._device = found[-1]

    def facts(self) -> Facts:
        """As the service lists it."""
        name = plain(self._device.name)
        return Facts(
            kind=KIND.name,
            label=f"{name} (Qualcomm AI Hub)",
            origin="measured on device",
            name=name,
            address=name,
            system=plain(f"version {self._device.os}"),
        )

    def condition(self) -> Condition:
        """Unknown: the service does not tell."""
        return Condition(cores=1)

    def open_session(self, model_path: Path, options: TimingOptions) -> AiHubSession:
        """InputError unless the cost is accepted."""
        if options.gpu or options.input_path or options.benchmark_model:
            raise InputError(
                "Qualcomm AI Hub chooses program and input itself, and is asked for the CPU", "leave them out"
            )
        if not options.accept_cost:
            raise InputError(f"timing on {self.facts().label} {COST}", "edgefit bench MODEL --ai-hub DEVICE --yes")
        return AiHubSession(self._client, self._device, model_path, options)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What the client raises, as a DeviceError: its own errors, a line that breaks, a job that takes too long."""
    import qai_hub

    try:
        yield
    except TimeoutError as error:
        raise DeviceError(f"the job on {name} did not end within {JOB_TIMEOUT_S} s", "ask again later") from error
    except (qai_hub.Error, OSError) as error:
        said = " ".join(plain(line.strip(" │┌┐└┘─")) for line in str(error).splitlines() if line.strip(" │┌┐└┘─"))
        raise DeviceError(f"Qualcomm AI Hub refused or did not answer: {said}", HOW_TO_GET_CLIENT) from error


KIND = TargetKind(
    name="ai-hub",
    noun="a phone of Qualcomm AI Hub",
    open=lambda _, name: AiHubTarget(name or ""),
    connect=AiHubTarget,
    flag="ai-hub",
    metavar="DEVICE",
    help="Measure on this device of Qualcomm AI Hub (never tried on the real service).",
)
