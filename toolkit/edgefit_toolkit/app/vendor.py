"""LiteRT.js for the web app: fetched by npm at a pinned version, checked, cached; never part of this repository."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.files import write_atomic

CACHE_VARIABLE = "EDGEFIT_LITERTJS_DIR"  # a folder that holds the tarballs, for machines without npm or network
RUNTIME = "LiteRT.js 2.5.3"  # in words; the pins are in litertjs.toml
NPM_TIMEOUT_S = 300
_SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=[^\n]*\n?$")


def litert_files(cache_dir: Path | None = None) -> dict[str, bytes]:
    """The runtime's files by their path inside the app's `litert/` folder.

    Raises DownloadError when a tarball is neither cached nor to be had, or is not the pinned one.
    """
    files: dict[str, bytes] = {}
    for package in _pins():
        tarball = _tarball(package, cache_dir or default_cache())
        with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
            for inside, target in package["files"].items():
                member = archive.extractfile(inside)
                if member is None:
                    raise DownloadError(f"{package['name']} {package['version']} holds no {inside}")
                files[target] = member.read()
    # No bundler and no import map (a strict content security policy forbids inline scripts): one bare import is made
    # relative, and source maps that are not shipped are not asked for.
    core = files["core.js"].replace(b'from "@litertjs/wasm-utils"', b'from "./wasm-utils.js"')
    if core == files["core.js"]:
        raise DownloadError(
            "@litertjs/core no longer imports @litertjs/wasm-utils as expected; litertjs.toml needs work"
        )
    files["core.js"] = core
    for name in ("core.js", "wasm-utils.js"):
        files[name] = _SOURCE_MAP.sub(b"\n", files[name])
    named = ", ".join(f"{p['name']} {p['version']}" for p in _pins())
    files["NOTICE.txt"] = (
        f"{named}, Apache License 2.0, by Google LLC (LiteRT, litert/js).\n"
        "Changed here: the import of wasm-utils in core.js is relative; sourceMappingURL lines are removed.\n"
    ).encode()
    return files


def default_cache() -> Path:
    """Where tarballs are kept between bundles."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("edgefit")) / "litertjs"


def _pins() -> list[dict[str, Any]]:
    text = resources.files("edgefit_toolkit.app").joinpath("litertjs.toml").read_text()
    pins: list[dict[str, Any]] = tomllib.loads(text)["package"]
    return pins


def tarball_name(package: dict[str, Any]) -> str:
    """As npm pack names it: `litertjs-core-2.5.3.tgz`."""
    return f"{package['name'].removeprefix('@').replace('/', '-')}-{package['version']}.tgz"


def _tarball(package: dict[str, Any], cache: Path) -> bytes:
    kept = cache / tarball_name(package)
    if kept.is_file() and _integrity(kept.read_bytes()) == package["integrity"]:
        return kept.read_bytes()
    content = _npm_pack(f"{package['name']}@{package['version']}", kept.name)
    found = _integrity(content)
    if found != package["integrity"]:
        raise DownloadError(
            f"{package['name']} {package['version']} has integrity {found}, the pinned one is {package['integrity']}",
            "do not use it; report this",
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, content)
    except OSError as error:
        raise DownloadError(
            f"cannot keep LiteRT.js in {cache}: {error.strerror}", f"name a folder in {CACHE_VARIABLE}"
        ) from error
    return content


def _npm_pack(spec: str, name: str) -> bytes:
    npm = shutil.which("npm")
    by_hand = f"run `npm pack {spec}` where there is a network, and name the folder with {name} in {CACHE_VARIABLE}"
    if npm is None:
        raise DownloadError(f"the web app needs {spec}, which npm fetches, and npm is not installed", by_hand)
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", spec, "--silent", "--ignore-scripts", "--pack-destination", folder]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DownloadError(f"npm did not fetch {spec} within {NPM_TIMEOUT_S} s", by_hand) from error
        file = Path(folder) / name
        if done.returncode != 0 or not file.is_file():
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise DownloadError(f"npm could not fetch {spec}: {last}", by_hand)
        return file.read_bytes()


def _integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
