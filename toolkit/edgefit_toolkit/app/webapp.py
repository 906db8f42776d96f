"""The web app (PWA): static files, the model's facts, the runtime, and a service worker that knows every file."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from edgefit_toolkit.app.facts import json_file, title
from edgefit_toolkit.app.icons import icon
from edgefit_toolkit.app.source import Source
from edgefit_toolkit.app.vendor import litert_files

STATIC = ("index.html", "style.css", "app.js", "answer.js", "view.js", "preprocess.js", "model.js")
ICONS = {"icons/icon-192.png": (192, False), "icons/icon-512.png": (512, False), "icons/maskable-512.png": (512, True)}


def web_files(source: Source, assets: dict[str, bytes], cache_dir: Path | None) -> dict[str, bytes]:
    """Everything under web/, to be served as it is; `assets` are model.tflite, labels.txt, app.json and any other."""
    static = resources.files("edgefit_toolkit.app").joinpath("web")
    files = {name: static.joinpath(name).read_bytes() for name in STATIC}
    files |= assets
    files["manifest.webmanifest"] = json_file(manifest(source))
    files |= {name: icon(side, maskable=maskable) for name, (side, maskable) in ICONS.items()}
    files |= {f"litert/{name}": data for name, data in litert_files(cache_dir).items()}
    files["sw.js"] = _service_worker(static.joinpath("sw.js").read_text(), files).encode()
    return {f"web/{name}": data for name, data in files.items()}


def manifest(source: Source) -> dict[str, Any]:
    """The web app manifest; relative URLs, so the folder works under any path."""
    return {
        "name": title(source),
        "short_name": "Name it",
        "description": "Names what is in a photograph, on this device, without sending it anywhere.",
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#00704e",
        "icons": [
            {
                "src": name,
                "sizes": f"{side}x{side}",
                "type": "image/png",
                "purpose": "maskable" if maskable else "any",
            }
            for name, (side, maskable) in ICONS.items()
        ],
    }


def _service_worker(template: str, files: dict[str, bytes]) -> str:
    """The runtime's WebAssembly (9 MB each, one per kind of browser) is kept when it is loaded, not in advance."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    kept = [
        "./",
        *sorted(name for name in files if not name.startswith("litert/wasm/") and name != "litert/NOTICE.txt"),
    ]
    return template.replace("{{VERSION}}", digest.hexdigest()[:16]).replace("{{FILES}}", json.dumps(kept))
