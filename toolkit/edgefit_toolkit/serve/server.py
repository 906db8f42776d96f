"""A small, strict HTTP server: files from memory under a secret path, and one POST that takes samples.

It reads nothing from disk on request, so no address can leave the bundle; what is posted is bounded in size, rate and
number, checked field by field, and written under the run only, under names of our own.
"""

from __future__ import annotations

import hmac
import http.server
import json
import mimetypes
import secrets
import socket
import threading
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from edgefit_toolkit.app.assemble import contents
from edgefit_toolkit.app.source import Source, read_source
from edgefit_toolkit.app.vendor import RUNTIME
from edgefit_toolkit.errors import EdgefitError, InputError, OutputError
from edgefit_toolkit.serve import results

MOST_BODY_BYTES = 256_000  # 5,000 samples are about 100 kB
BURST, PER_SECOND = 10, 0.5  # posts: both models of a few runs at once, then one every two seconds
MOST_CONNECTIONS = 32
TIMEOUT_S = 20  # of a silent connection
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


class AppServer(http.server.ThreadingHTTPServer):
    """Serves one run. `token` is part of every address; `on_result` is told of each result that was kept."""

    daemon_threads = True
    request_queue_size = 128  # a flood is answered at once, not left waiting

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
        self._slots = threading.BoundedSemaphore(MOST_CONNECTIONS)
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

    def process_request(self, request: Any, client_address: Any) -> None:
        """At most MOST_CONNECTIONS at a time; the rest are closed at once."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, then its slot is free again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no event."""


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


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of known files; POST of samples."""

    server: AppServer
    timeout = TIMEOUT_S
    server_version, sys_version = "edgefit", ""

    def do_GET(self) -> None:
        """A file of the app or of the bench page."""
        name = self._inside()
        if name is None:
            return
        if name == "bench" or (name == "" and not self.path.partition("?")[0].endswith("/")):
            self._reply(301, b"", headers={"Location": f"/{self.server.token}/{name}{'/' if name else ''}"})
            return
        if name == "" or name.endswith("/"):
            name += "index.html"
        data = self.server.files.get(name)
        if data is None:
            self._reply(404, b"no such file\n")
            return
        suffix = "." + name.rpartition(".")[2]
        kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._reply(200, data, kind + ("; charset=utf-8" if kind.startswith("text/") else ""))

    do_HEAD = do_GET  # noqa: N815  (its name in http.server)

    def do_POST(self) -> None:
        """Samples of a browser."""
        name = self._inside()
        if name is None:
            return
        if name != "bench/samples":
            self._reply(404, b"no such address\n")
            return
        if not self.server.rate.take():
            self._reply(429, b"too many posts, wait a little\n", headers={"Retry-After": "5"})
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self._reply(411, b"say how long it is\n")
            return
        if int(length) > MOST_BODY_BYTES:
            self._reply(413, f"at most {MOST_BODY_BYTES} bytes\n".encode())
            return
        if self.headers.get_content_type() != "application/json":
            self._reply(415, b"only application/json\n")
            return
        body = self.rfile.read(int(length))
        try:
            result = results.parse(body, self.client_address[0], self.server.known)
            with self.server.writing:
                results.keep(self.server.run_dir, result)
                results.add_to_report(self.server.run_dir)
        except OutputError as error:
            self._reply(507, f"{error.message}\n".encode())
            return
        except EdgefitError as error:
            self._reply(400, f"{error.message}\n".encode())
            return
        self._reply(204, b"")
        self.server.on_result(result)

    def _inside(self) -> str | None:
        """The path behind the token; None after refusing an address without it."""
        given, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            self._reply(403, b"this address needs the token that edgefit printed\n")
            return None
        return rest

    def _reply(self, status: int, data: bytes, kind: str = "text/plain; charset=utf-8",
               headers: dict[str, str] | None = None) -> None:  # fmt: skip
        self.send_response(status)
        for key, value in {**SECURITY, **(headers or {})}.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        if status >= 400:
            self.close_connection = True  # an unread body must not become the next request
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: requests are no news."""


def site_files(run_dir: Path, source: Source, cache_dir: Path | None) -> dict[str, bytes]:
    """The web app, and the bench page with both models, by path behind the token."""
    app = contents(source, "web", cache_dir=cache_dir)
    files = {name.removeprefix("web/"): data for name, data in app.items() if name.startswith("web/")}
    static = resources.files("edgefit_toolkit.serve").joinpath("web")
    files |= {f"bench/{name}": static.joinpath(name).read_bytes() for name in ("index.html", "bench.js")}
    models = source.report["models"]
    try:
        files["bench/float.tflite"] = (run_dir / models["float"]["path"]).read_bytes()
    except OSError as error:
        raise InputError(
            f"{models['float']['path']} cannot be read: {error.strerror}", "run edgefit fit again"
        ) from error
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
