"""A web server on this machine that holds files, and misbehaves to order."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

BODY = np.random.default_rng(0).integers(0, 256, 1_500_000, dtype=np.uint8).tobytes()
_PIECE_BYTES = 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Site:
    """What the server holds, how it misbehaves, and what it was asked for."""

    address: str = ""
    bodies: dict[str, bytes] = field(default_factory=lambda: {"/file": BODY})
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)  # bytes sent before hanging up, one for each next request
    statuses: list[int] = field(default_factory=list)  # answered to the next requests instead of a file
    pause_s: float = 0.0  # between the pieces of an answer
    endless: bool = False  # says no length and never ends
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str = "/file") -> str:
        return self.address + path


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/file")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = site.statuses.pop(0) if site.statuses else 200
            body = site.bodies.get(self.path)
            if body is None or status >= 400:
                self.send_response(404 if body is None else status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and site.ranges else 0
            if start >= len(body) > 0:
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if site.endless:
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                with contextlib.suppress(OSError):  # until the other side hangs up
                    while True:
                        self.wfile.write(bytes(_PIECE_BYTES))
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if site.breaks_after:
                self.wfile.write(body[start : start + site.breaks_after.pop(0)])
                self.close_connection = True
            else:
                with contextlib.suppress(OSError):  # the other side may be killed
                    for at in range(start, len(body), _PIECE_BYTES):
                        self.wfile.write(body[at : at + _PIECE_BYTES])
                        time.sleep(site.pause_s)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()
