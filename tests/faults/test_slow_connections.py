"""Connections that are slow, many or broken: others are still answered, and what goes wrong is said."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toolkit.test_app import fake_runtime
from toolkit.test_serve import a_run, ask, post, posted, serving

from edgefit_toolkit.serve import AppServer, connections, results


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppServer]:
    monkeypatch.setattr(connections, "REQUEST_S", 1.5)
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    yield from serving(AppServer(a_run(tmp_path / "run"), host="0.0.0.0", cache_dir=cache))


def connect(server: AppServer, source: str = "127.0.0.1") -> socket.socket:
    """From one of this computer's loopback addresses."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=5, source_address=(source, 0))


def answered_from(server: AppServer, source: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5, source_address=(source, 0))
    try:
        connection.request("GET", f"/{server.token}/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_slow_connections_of_one_address_leave_room_for_others(server: AppServer) -> None:
    slow = [connect(server) for _ in range(100)]
    for one in slow:
        try:
            one.sendall(b"GET / HT")
        except OSError:
            continue  # one too many of its address: closed at once
    assert answered_from(server, "127.0.0.2") == 200
    for one in slow:
        one.close()


def test_a_request_that_drips_is_cut_off(server: AppServer) -> None:
    slow = [connect(server) for _ in range(connections.MOST_PER_ADDRESS)]
    started = time.monotonic()
    ended = 0.0
    while not ended and time.monotonic() - started < 20:
        try:
            for one in slow:
                one.sendall(b"G")
            time.sleep(0.1)
        except OSError:
            ended = time.monotonic() - started
    assert 1.0 < ended < 10
    for one in slow:
        one.close()
    for _ in range(50):
        try:
            if answered_from(server, "127.0.0.1") == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    pytest.fail("the address is still shut out")


def test_a_body_that_never_comes_is_cut_off(server: AppServer) -> None:
    with connect(server) as one:
        head = f"POST /{server.token}/bench/samples HTTP/1.1\r\nContent-Type: application/json\r\n"
        one.sendall(f"{head}Content-Length: 900\r\n\r\n{{".encode())
        one.settimeout(15)
        assert one.recv(1) == b""
    assert results.read_results(server.run_dir) == []


def test_many_addresses_together_are_bounded(server: AppServer) -> None:
    slow = [connect(server, f"127.0.1.{i}") for i in range(1, connections.MOST_CONNECTIONS + 1)]
    for one in slow:
        one.sendall(b"G")
    time.sleep(0.2)
    with pytest.raises((OSError, http.client.HTTPException)):
        answered_from(server, "127.0.0.2")
    time.sleep(3)  # until the slow ones are cut off
    assert answered_from(server, "127.0.0.2") == 200
    for one in slow:
        one.close()


def test_a_long_answer_to_a_slow_reader_arrives(server: AppServer) -> None:
    server.files["long.bin"] = bytes(range(256)) * 40_000  # 10 MB: more than a socket buffers
    with connect(server) as one:
        one.sendall(f"GET /{server.token}/long.bin HTTP/1.0\r\n\r\n".encode())
        time.sleep(3)  # longer than a request may take to arrive
        parts = []
        while part := one.recv(1 << 20):
            parts.append(part)
    assert b"".join(parts).endswith(server.files["long.bin"])


def test_an_error_in_a_handler_is_answered_and_logged(
    server: AppServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a fault of ours")

    with caplog.at_level(logging.ERROR):
        with monkeypatch.context() as patch:
            patch.setattr(results, "parse", broken)
            status, text = post(server, b"{}")
        assert status == 500
        assert "terminal says how" in text
        assert "a fault of ours" in caplog.text
        caplog.clear()
        with connect(server) as one:  # a browser that goes away is no event
            one.sendall(f"GET /{server.token}/ HTTP/1.0\r\n\r\n".encode())
        time.sleep(0.3)
        assert caplog.text == ""
    assert ask(server, "GET", f"/{server.token}/")[0] == 200


def test_what_cannot_be_kept_is_said_to_the_browser(server: AppServer) -> None:
    (server.run_dir / results.FOLDER).write_text("a file where the folder should be")
    status, text = post(server, json.dumps(posted(server)).encode())
    assert status == 507
    assert "cannot be" in text
