"""The Android project: static Gradle and Kotlin files with this run's assets."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

ASSETS, PACK = "app/src/main/assets", "model_pack/src/main/assets"


def android_files(assets: dict[str, bytes]) -> dict[str, bytes]:
    """Everything under android/; `assets` are model.tflite, labels.txt, app.json and any other."""
    files = _tree(resources.files("edgefit_toolkit.app").joinpath("android"), "")
    files |= {f"{PACK if name == 'model.tflite' else ASSETS}/{name}": data for name, data in assets.items()}
    return {f"android/{name}": data for name, data in files.items()}


def _tree(folder: Traversable, at: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            files |= _tree(entry, f"{at}{entry.name}/")
        else:
            files[at + entry.name] = entry.read_bytes()
    return files
