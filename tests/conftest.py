"""Where the tests find real photographs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from support.file_server import site  # noqa: F401  (a fixture)
from support.models import small_float_tflite, small_int8_tflite, small_network  # noqa: F401  (fixtures)

from edgefit_converters.routes.environments import TENSORFLOW, ensure
from edgefit_toolkit.errors import SideEnvironmentError

# Several people and CI share the machines: a slow example is no failure.
settings.register_profile("edgefit", deadline=None, derandomize="CI" in os.environ)  # CI tries the same every time
settings.load_profile("edgefit")

# A shell that starts the tests in the background has them ignore Ctrl-C, as would every program that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _folder(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"no photographs: ../shared/data/{name} is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def flowers_dir() -> Path:
    """400 real photographs of 5 flowers: DIR/{train,val,test}/<class>/*."""
    return _folder("flowers")


@pytest.fixture(scope="session")
def imagenet_dir() -> Path:
    """200 ImageNet photographs, one per fifth class, with labels.csv."""
    return _folder("imagenet-samples")


@pytest.fixture(scope="session")
def side_environment() -> Path:
    """The python of the environment with TensorFlow, onnx-tf and tflite-runtime, made as a user's first run makes it.

    Minutes and 306 MB the first time; later sessions find it in the cache.
    """
    try:
        return ensure(TENSORFLOW)
    except SideEnvironmentError as error:
        if "could not be fetched" in error.message:
            pytest.skip("no network: the side environment's packages cannot be fetched")
        if "needs Python" in error.message:
            pytest.skip(error.message.splitlines()[0])
        raise
