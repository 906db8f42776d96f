"""A headless Chromium, driven through its debugging pipe: enough of the DevTools protocol for the web app's tests."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--remote-debugging-pipe")  # fmt: skip

# Chromium reads commands from descriptor 3 and answers on 4
EXEC_WITH_PIPE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One running browser with one page."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer, self._buffer, self._id = reader, writer, b"", 0
        self.log: list[str] = []  # what the page said on its console, and its uncaught errors
        self.requests: list[str] = []  # every address that the page asked for
        target = self._send("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One protocol command; its result."""
        return self._send(method, params, self._session)

    def _send(self, method: str, params: dict[str, Any], session: str | None) -> Any:
        self._id += 1
        message: dict[str, Any] = {"id": self._id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read(60)
            if reply.get("id") == self._id:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]
            self._note(reply)

    def _read(self, timeout_s: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], timeout_s)
            assert ready, "Chromium does not answer"
            chunk = os.read(self._reader, 1 << 20)
            assert chunk, "Chromium has ended"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.log.append("uncaught: " + str(params["exceptionDetails"].get("exception", {}).get("description")))
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.log.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif event.get("method") == "Log.entryAdded":
            self.log.append(f"{params['entry']['source']}: {params['entry']['text']}")
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression (awaited when it is a promise)."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def goto(self, url: str) -> None:
        """Opens an address."""
        assert "errorText" not in self.call("Page.navigate", url=url)

    def wait(self, expression: str, timeout_s: float = 60) -> Any:
        """Waits until the expression is true."""
        end = time.monotonic() + timeout_s
        guarded = (
            f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()"  # the page may still be loading
        )
        while not (value := self.evaluate(guarded)):
            assert time.monotonic() < end, f"{expression} never came true; the console said {self.log[-5:]}"
            time.sleep(0.1)
        return value

    def choose_file(self, selector: str, path: Path) -> None:
        """Puts a file into a file input, as a person choosing it does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path, width: int, height: int) -> None:
        """A picture of the page at a window size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with this profile folder; skips the test where Chromium is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed: the web app cannot run here")
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    command = [program, *QUIET, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-c", EXEC_WITH_PIPE, str(to_read), str(from_write), *command],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        browser = Browser(from_read, to_write)
        yield browser
        with contextlib.suppress(AssertionError, BrokenPipeError):
            browser._send("Browser.close", {}, None)
        process.wait(20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(from_read)
        os.close(to_write)


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }
    isolated = True

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def site(folder: Path, *, isolated: bool = True, port: int = 0) -> Iterator[str]:
    """Serves a folder on loopback; its address. `isolated` sends the headers that threads need."""
    handler = functools.partial(type("Handler", (_Handler,), {"isolated": isolated}), directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
