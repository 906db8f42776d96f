"""An HTTP server that slow, many or broken connections do not shut for others, and that says what went wrong."""

from __future__ import annotations

import http.server
import logging
import math
import socket
import sys
import threading
import time
from typing import Any

MOST_CONNECTIONS = 64
MOST_PER_ADDRESS = 16  # a browser opens six at a time
REQUEST_S = 10.0  # within which a whole request must have arrived
SILENT_S = 20.0  # of a connection that takes no more of its answer
CHUNK_BYTES = 65_536  # an answer is sent in pieces: each has SILENT_S of its own

log = logging.getLogger(__name__)


class BoundedServer(http.server.ThreadingHTTPServer):
    """At most MOST_CONNECTIONS at a time and MOST_PER_ADDRESS of one address; a request has REQUEST_S to arrive.

    One request a connection (HTTP/1.0). Handlers are BoundedHandlers.
    """

    daemon_threads = True
    request_queue_size = 128  # a flood is answered at once, not left waiting

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, tuple[str, float]] = {}  # its address, and until when its request has time
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A connection too many is closed at once."""
        address = client_address[0]
        with self._lock:
            of_address = sum(other == address for other, _ in self._open.values())
            full = len(self._open) >= MOST_CONNECTIONS or of_address >= MOST_PER_ADDRESS
            if not full:
                self._open[request] = (address, time.monotonic() + REQUEST_S)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, then its place is free again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def arrived(self, request: Any) -> None:
        """The request is whole: what is left is ours to send."""
        with self._lock:
            if request in self._open:
                self._open[request] = (self._open[request][0], math.inf)

    def service_actions(self) -> None:
        """Several times a second: requests that are overdue are cut off."""
        now = time.monotonic()
        with self._lock:
            for request, (_, until) in self._open.items():
                if until < now:
                    try:
                        request.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
                    except OSError:
                        continue  # it has gone by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no event; anything else is."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            log.exception("serving %s", client_address[0])


class BoundedHandler(http.server.BaseHTTPRequestHandler):
    """Reads one request and answers it; `answer` is the subclass's."""

    server: BoundedServer
    timeout = SILENT_S
    server_version, sys_version = "edgefit", ""

    def do_GET(self) -> None:
        """Answers."""
        try:
            self.answer()
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("answering a %s", self.command)
            self.reply(500, b"this went wrong here; edgefit's terminal says how\n", {})

    do_HEAD = do_POST = do_GET  # noqa: N815  (their names in http.server)

    def answer(self) -> None:
        """One reply, by `reply`."""
        raise NotImplementedError

    def body(self, length: int) -> bytes:
        """The request's body; what comes of it in time."""
        return self.rfile.read(length)

    def reply(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        """Sends the whole answer."""
        self.server.arrived(self.connection)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            for start in range(0, len(data), CHUNK_BYTES):
                self.wfile.write(data[start : start + CHUNK_BYTES])

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: requests are no news."""
