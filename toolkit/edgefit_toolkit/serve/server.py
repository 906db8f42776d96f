"""A small, strict HTTP server: files from memory under a secret path, and one POST that takes samples.

It reads nothing from disk on request, so no address can leave the bundle; what is posted is bounded in size, rate and
number, checked field by field, and written under the run only, under names of our own.
"""

from __future__ import annotations

import hmac
import json
import mimetypes
import secrets
import socket
import threading
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from edgefit_toolkit.app.assemble import contents
from edgefit_toolkit.app.source import Source, read_source
from edgefit_toolkit.app.vendor import RUNTIME
from edgefit_toolkit.errors import EdgefitError, InputError, OutputError
from edgefit_toolkit.files import read_verified
from edgefit_toolkit.serve import results
from edgefit_toolkit.serve.connections import BoundedHandler, BoundedServer

MOST_BODY_BYTES = 256_000  # 5,000 samples are about 100 kB
BURST, PER_SECOND = 10, 0.5  # posts: both models of a few runs at once, then one every two seconds
TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
         ".tflite": "application/octet-stream", ".json": "application/json"}  # fmt: skip
SECURITY = {
    "Cross-Origin-Opener-Policy": "same-origin",  # these two give threads and a fine clock
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cache-Control": "no-cache",
}


class AppServer(BoundedServer):
    """Serves one run. `token` is part of every address; `on_result` is told of each result that was kept."""

    def __init__(
        self,
        run_dir: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        cache_dir: Path | None = None,
        on_result: Callable[[results.WebResult], None] | None = None,
    ) -> None:
        source = read_source(run_dir)
        self.run_dir = run_dir
        self.token = secrets.token_urlsafe(12)
        self.files = site_files(run_dir, source, cache_dir)
        models = source.report["models"]
        self.known = {"int8": models["int8"]["sha256"], "float": models["float"]["sha256"]}
        self.on_result = on_result or (lambda result: None)
        self.rate = TokenBucket(BURST, PER_SECOND)
        self.writing = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise InputError(
                f"cannot serve on {host} port {port}: {error.strerror or error}", "name another --port or --host"
            ) from error

    @property
    def port(self) -> int:
        """The port that was given, or found."""
        return int(self.server_address[1])


class TokenBucket:
    """`burst` at once, then `per_second`."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left, self._at, self._lock = float(burst), clock(), threading.Lock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Handler(BoundedHandler):
    """GET and HEAD of known files; POST of samples."""

    server: AppServer

    def answer(self) -> None:
        """By the path behind the token; an address without it is refused."""
        given, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            self._say(403, "this address needs the token that edgefit printed")
        elif self.command == "POST":
            self._take(name)
        else:
            self._file(name)

    def _file(self, name: str) -> None:
        """A file of the app or of the bench page."""
        if name == "bench" or (name == "" and not self.path.partition("?")[0].endswith("/")):
            self._say(301, "", Location=f"/{self.server.token}/{name}{'/' if name else ''}")
            return
        if name == "" or name.endswith("/"):
            name += "index.html"
        data = self.server.files.get(name)
        if data is None:
            self._say(404, "no such file")
            return
        suffix = "." + name.rpartition(".")[2]
        kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        kind += "; charset=utf-8" if kind.startswith("text/") else ""
        self.reply(200, data, SECURITY | {"Content-Type": kind, "Content-Length": str(len(data))})

    def _take(self, name: str) -> None:
        """Samples of a browser."""
        length = self.headers.get("Content-Length", "")
        if name != "bench/samples":
            self._say(404, "no such address")
        elif not self.server.rate.take():
            self._say(429, "too many posts, wait a little", **{"Retry-After": "5"})
        elif not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self._say(411, "say how long it is")
        elif int(length) > MOST_BODY_BYTES:
            self._say(413, f"at most {MOST_BODY_BYTES} bytes")
        elif self.headers.get_content_type() != "application/json":
            self._say(415, "only application/json")
        else:
            try:
                self._keep(self.body(int(length)))
            except OutputError as error:
                self._say(507, error.message)
            except EdgefitError as error:
                self._say(400, error.message)
            else:
                self.reply(204, b"", SECURITY)

    def _keep(self, body: bytes) -> None:
        result = results.parse(body, self.client_address[0], self.server.known)
        with self.server.writing:
            results.keep(self.server.run_dir, result)
            results.add_to_report(self.server.run_dir)
        self.server.on_result(result)

    def _say(self, status: int, line: str, **headers: str) -> None:
        text = f"{line}\n".encode() if line else b""
        kind = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
        self.reply(status, text, SECURITY | kind | headers)


def site_files(run_dir: Path, source: Source, cache_dir: Path | None) -> dict[str, bytes]:
    """The web app, and the bench page with both models, by path behind the token."""
    app = contents(source, "web", cache_dir=cache_dir)
    files = {name.removeprefix("web/"): data for name, data in app.items() if name.startswith("web/")}
    static = resources.files("edgefit_toolkit.serve").joinpath("web")
    files |= {f"bench/{name}": static.joinpath(name).read_bytes() for name in ("index.html", "bench.js")}
    models = source.report["models"]
    files["bench/float.tflite"] = read_verified(run_dir, models["float"]["path"], models["float"]["sha256"])
    files["bench/int8.tflite"] = source.model
    facts = {
        "resolution_px": source.ends.resolution_px,
        "mean": source.preprocessing.mean,
        "std": source.preprocessing.std,
        "runtime": f"{RUNTIME}, WASM",
        "models": [
            {"name": "int8", "file": "int8.tflite", "sha256": models["int8"]["sha256"], "dtype": "uint8"},
            {"name": "float", "file": "float.tflite", "sha256": models["float"]["sha256"], "dtype": "float32"},
        ],
    }
    files["bench/facts.json"] = json.dumps(facts).encode()
    return files


def addresses(server: AppServer) -> list[str]:
    """Where the app can be opened: this machine's own address in the network when it is bound to all of them."""
    host = str(server.server_address[0])
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    shown = f"[{host}]" if ":" in host else host
    return [f"http://{shown}:{server.port}/{server.token}/"]


def _own_address() -> str:
    """The address of the interface that leads out; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: documentation only, never routed
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
