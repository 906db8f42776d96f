"""A stand-in for Qualcomm's client `qai-hub` 0.56: its names, its arguments, the shape of its answers; no network.

QAI_HUB_MOOD in the environment says what goes wrong: "no token", "offline", "fails", "slow", "no times".
What was done is appended to the file that QAI_HUB_CALLS names, if any, one JSON list a line.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__version__ = "0.56.0"


class Error(Exception):
    pass


class UserError(Error):
    pass


@dataclass
class Device:
    name: str = ""
    os: str = ""
    attributes: Any = field(default_factory=list)


DEVICES = [Device("Samsung Galaxy S23", "13"), Device("Samsung Galaxy S24", "14"), Device("Google Pixel 7", "13")]


def _mood() -> str:
    return os.environ.get("QAI_HUB_MOOD", "")


def _did(*what: object) -> None:
    if "QAI_HUB_CALLS" in os.environ:
        with open(os.environ["QAI_HUB_CALLS"], "a") as file:
            file.write(json.dumps(what) + "\n")


@dataclass
class JobStatus:
    success: bool
    message: str | None = None


@dataclass
class Model:
    model_id: str


class InferenceJob:
    url = "https://workbench.aihub.qualcomm.com/jobs/jtest/"

    def __init__(self, iterations: int) -> None:
        self._iterations = iterations

    def wait(self, timeout: int | None = None) -> JobStatus:
        if _mood() == "slow":
            raise TimeoutError(f"Waiting for inference job (jtest) completion timed out after {timeout} seconds.")
        return JobStatus(False, "Failed to \x1b[31mload") if _mood() == "fails" else JobStatus(True)

    def download_profile(self, filename: str | None = None) -> Any:
        times_us = [] if _mood() == "no times" else [5000 + 10 * (i % 7) for i in range(self._iterations)]
        return {
            "execution_summary": {"estimated_inference_time": 5000, "all_inference_times": times_us},
            "execution_detail": [
                {"name": "conv", "type": "CONV_2D", "compute_unit": "CPU", "execution_time": 4000},
                {"name": "fc", "type": "FULLY_CONNECTED", "compute_unit": "CPU", "execution_time": 1000},
            ],
        }


class Client:
    def __init__(self, config: Any = None, profile: Any = None, default_project_id: Any = None) -> None:
        if _mood() == "no token":
            raise UserError("Failed to load client configuration file.\n┌──┐\n│ client.ini not found. │\n└──┘")

    def set_verbose(self, verbose: bool = True) -> None:
        pass

    def get_devices(self, name: str = "", os: str = "", attributes: Any = None) -> list[Device]:
        if _mood() == "offline":
            raise ConnectionError("Failed to resolve 'workbench.aihub.qualcomm.com'")
        return [device for device in DEVICES if name in ("", device.name)]

    def upload_model(self, model: Any, name: str | None = None, project: Any = None) -> Model:
        _did("upload", Path(model).stat().st_size, name)
        return Model("mtest")

    def submit_inference_job(
        self, model: Any, device: Any, inputs: Any = None, name: str | None = None, options: str = "",
        retry: bool = True, profile: bool = True, project: Any = None,
    ) -> InferenceJob:  # fmt: skip
        assert profile
        _did("job", model.model_id, device.name, options)
        return InferenceJob(int(options.rpartition("--max_profiler_iterations ")[2]))
