"""An adb server for states that a real daemon cannot be brought into: it answers adb's own client on its own protocol.

A request is four hexadecimal digits of length and a service; the answer is OKAY or FAIL and a string with its length.
Protocol: AOSP, packages/modules/adb/docs/dev/services.md. Version 41 (0x29) is adb 34's.
"""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType

VERSION = 0x29

# What adb 34 answers for a phone whose owner has not accepted this computer's key (adb/transport.cpp)
UNAUTHORIZED = (
    "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\n"
    "Try 'adb kill-server' if that seems wrong.\nOtherwise check for a confirmation dialog on your device."
)
NO_PERMISSIONS = (
    "insufficient permissions for device: user in plugdev group; are your udev rules wrong?\n"
    "See [http://developer.android.com/tools/device.html] for more information"
)


class FakeAdbServer:
    """with FakeAdbServer("SERIAL unauthorized usb:1-1", UNAUTHORIZED) as port: ..."""

    def __init__(self, device_line: str, refusal: str) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # one request a connection, which the server closes
                service = self.rfile.read(int(self.rfile.read(4), 16)).decode()
                if service == "host:version":
                    self.answer(f"{VERSION:04x}")
                elif service == "host:devices-l":
                    self.answer(device_line + "\n")
                else:
                    self.wfile.write(b"FAIL" + f"{len(refusal):04x}{refusal}".encode())

            def answer(self, text: str) -> None:
                self.wfile.write(b"OKAY" + f"{len(text):04x}{text}".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> int:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return int(self._server.server_address[1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
