"""Whether two runs made the same thing: their models to the byte, their reports but for times and paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODELS = ("model_int8.tflite", "model_float.tflite", "checkpoint.safetensors", "labels.txt", "preprocessing.json")
# what a clock, a folder or a command line decides: times, what depends on them, and what says that the machine was busy
LEFT_OUT = re.compile(
    r"seconds|speed|waiting_share|images_per_s|created|command|path"
    r"|samples_ms|p\d\d_ms|invoke_ms|warmups|rows|notes|warnings"
)


def differences(one: Path, other: Path) -> list[str]:
    """What differs, by name."""
    found = [name for name in MODELS if (one / name).read_bytes() != (other / name).read_bytes()]
    left, right = (json.loads((run / "report.json").read_text()) for run in (one, other))
    return found + list(_walk(left, right, "report"))


def _walk(one: Any, other: Any, at: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {**one, **other}:
            if not LEFT_OUT.fullmatch(name):
                yield from _walk(one.get(name), other.get(name), f"{at}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _walk(left, right, f"{at}[{i}]")
    elif one != other:
        yield f"{at}: {one!r:.80} {other!r:.80}"
