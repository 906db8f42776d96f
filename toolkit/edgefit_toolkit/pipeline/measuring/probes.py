"""Probes: untrained int8 networks with the very operators of a variant, for timing. Latency does not depend on weights.

A Lite graph is written in 0.2 to 0.4 s and made anew each time. A B graph has to be converted (10 to 30 s), so it is
kept in the user's cache: FOLDER/<key>.<sha256 of the file>.tflite, the key being the variant with its classes, the
versions of the converter stack and edgefit's own sources that a conversion goes through. The name tells whether the
bytes are whole; a cache that is broken, full or not writable costs a conversion and is no error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import platformdirs

from edgefit_converters.routes.installed import check_installed
from edgefit_toolkit.files import key_of, sha256_of
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.records import Variant

CACHE_BYTES = 500_000_000  # about 30 probes; the longest unused go first
STACK = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")
STALE_S = 3600.0  # a half written file this old was left by a process that was killed


class ProbeCache:
    """Files by key in one folder, at most `limit_bytes` of them. Nothing here raises OSError."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = CACHE_BYTES) -> None:
        self.folder = folder or platformdirs.user_cache_path("edgefit") / "probes"
        self.limit_bytes = limit_bytes

    def fetch(self, key: str, path: Path) -> bool:
        """Copy the file of that key to `path`; False when there is none. One that is not what it was is removed."""
        with contextlib.suppress(OSError):
            for kept in sorted(self.folder.glob(f"{key}.*.tflite")):
                shutil.copyfile(kept, path)
                if sha256_of(path) == kept.name.split(".")[1]:
                    os.utime(kept)  # used now
                    return True
                path.unlink()
                kept.unlink()
        return False

    def keep(self, key: str, path: Path) -> None:
        """Copy `path` into the cache, then remove what was not used for the longest time until the limit holds."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".part")
            os.close(handle)
            try:
                shutil.copyfile(path, part)
                os.replace(part, self.folder / f"{key}.{sha256_of(path)}.tflite")
            finally:
                Path(part).unlink(missing_ok=True)
        self._trim()

    def _trim(self) -> None:
        with contextlib.suppress(OSError):
            for part in self.folder.glob(".*.part"):
                if time.time() - part.stat().st_mtime > STALE_S:
                    part.unlink(missing_ok=True)
            kept = sorted(self.folder.glob("*.tflite"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
            total = 0
            for file in kept:
                total += file.stat().st_size
                if total > self.limit_bytes:
                    file.unlink(missing_ok=True)


def probe_key(variant: Variant) -> str:
    """What a converted probe depends on, in hex."""
    versions = {name: metadata.version(name) for name in STACK}
    return key_of(variant=asdict(variant), versions=versions, sources=sources_of(__name__))


def write_probe(variant: Variant, path: Path, kept: ProbeCache | None = None) -> None:
    """An untrained int8 model of the variant's graph. `kept` is where converted ones are looked up and left (default:
    the user's cache). Raises ConversionError."""
    if family_named(variant.family).skeleton:
        from edgefit_converters.tflite.skeleton import write_skeleton

        write_skeleton(variant, path)
        return
    check_installed()
    kept, key = kept or ProbeCache(), probe_key(variant)
    if not kept.fetch(key, path):
        _convert(variant, path)
        kept.keep(key, path)


def _convert(variant: Variant, path: Path) -> None:
    import numpy as np
    import torch

    from edgefit_converters.int8.quantize import quantize_int8
    from edgefit_converters.routes.litert import export_float
    from edgefit_toolkit.network.efficientnet import EfficientNet

    torch.manual_seed(0)
    size_px = variant.resolution_px
    noise = np.random.default_rng(0).integers(0, 256, (4, size_px, size_px, 3), dtype=np.uint8)
    float_path = path.with_suffix(".float")
    export_float(EfficientNet.from_variant(variant).eval(), float_path)
    quantize_int8(float_path, noise, path)
    float_path.unlink()
