"""`edgefit serve`: what is served, what is refused, and that a browser's own samples reach the report."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import report_fixture
from support.chromium import chromium
from support.small_run import RESOLUTION_PX, make_run
from toolkit.test_app import fake_runtime

from edgefit_toolkit.app.vendor import litert_files
from edgefit_toolkit.errors import DownloadError, InputError
from edgefit_toolkit.report.documents import read_report
from edgefit_toolkit.serve import AppServer, addresses, read_results, web_measurements
from edgefit_toolkit.serve.results import LONGEST_SAMPLE_MS, browser_of, origin_of, parse
from edgefit_toolkit.serve.server import BURST, MOST_BODY_BYTES, PER_SECOND, TokenBucket

PHONE_AGENT = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36"
DESKTOP_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/131.0.0.0 Safari/537.36"


def a_run(folder: Path) -> Path:
    """A run whose two models are there and are those of its report."""
    import hashlib

    import numpy as np
    from ai_edge_litert.tools import flatbuffer_utils
    from support.tiny_model import tiny_tflite

    from edgefit_toolkit.report.documents import write_report

    make_run(folder)
    # a float model of one operator: pictures in, their channel means out
    model = flatbuffer_utils.read_model(str(tiny_tflite(folder / "float.tmp", resolution_px=RESOLUTION_PX)))
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    [mean] = [op for op in graph.operators if op.builtinOptionsType == schema.BuiltinOptions.ReducerOptions]
    for index, shape in ((mean.inputs[0], [1, RESOLUTION_PX, RESOLUTION_PX, 3]), (mean.outputs[0], [1, 3])):
        graph.tensors[index].type, graph.tensors[index].quantization = schema.TensorType.FLOAT32, None
        graph.tensors[index].shape = np.array(shape, np.int32)
    graph.operators, graph.inputs, graph.outputs = [mean], [mean.inputs[0]], [mean.outputs[0]]
    (folder / "float.tmp").unlink()
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    (folder / "model_float.tflite").write_bytes(content)
    doc = dict(read_report(folder))
    doc["models"]["float"] |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    write_report(doc, folder)
    return folder


def serving(server: AppServer) -> Iterator[AppServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppServer]:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    yield from serving(AppServer(a_run(tmp_path / "run"), cache_dir=cache))


def ask(server: AppServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body or None, {k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def posted(server: AppServer, **changes: Any) -> dict[str, Any]:
    """A well-formed body, with changes."""
    return {
        "schema": "edgefit.web-bench/1",
        "model": "int8",
        "model_sha256": server.known["int8"],
        "runtime": "LiteRT.js 2.5.3, WASM",
        "threads": 4,
        "warmups": 10,
        "cross_origin_isolated": True,
        "user_agent": PHONE_AGENT,
        "samples_ms": [12.0 + i / 100 for i in range(60)],
    } | changes


def post(server: AppServer, body: bytes, path: str = "bench/samples", **headers: str) -> tuple[int, str]:
    headers = {"Content_Type": "application/json"} | headers
    status, text, _ = ask(server, "POST", f"/{server.token}/{path}", body, **headers)
    return status, text.decode()


def test_files_only_behind_the_token(server: AppServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for path in ("/", "/bench/", "/index.html", "/wrong/", f"/{server.token}x/", f"/x{server.token}/"):
        assert ask(server, "GET", path)[0] == 403
    assert ask(server, "POST", "/wrong/bench/samples", b"{}")[0] == 403
    status, page, headers = ask(server, "GET", f"/{server.token}/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"Live camera" in page
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(server, "HEAD", f"/{server.token}/")[:2] == (200, b"")
    for path in ("bench", ""):
        status, _, headers = ask(server, "GET", f"/{server.token}/{path}".rstrip("/"))
        assert (status, headers["Location"][-1]) == (301, "/")
    facts = json.loads(ask(server, "GET", f"/{server.token}/bench/facts.json")[1])
    assert [m["sha256"] for m in facts["models"]] == [server.known["int8"], server.known["float"]]
    for model in facts["models"]:
        assert ask(server, "GET", f"/{server.token}/bench/{model['file']}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["../report.json", "%2e%2e/report.json", "bench/../../run/report.json", "/etc/passwd", "report.json", "a\\b"],
)
def test_no_path_leads_out(server: AppServer, path: str) -> None:
    assert ask(server, "GET", f"/{server.token}/{path}")[0] == 404
    assert post(server, b"{}", path)[0] == 404


def test_samples_reach_the_report(server: AppServer) -> None:
    assert post(server, json.dumps(posted(server)).encode()) == (204, "")
    other = posted(server, model="float", model_sha256=server.known["float"], user_agent=DESKTOP_AGENT)
    assert post(server, json.dumps(other).encode()) == (204, "")
    rows = [row for row in read_report(server.run_dir)["measurements"] if row["target"].startswith("web: ")]
    assert [(row["model"], row["origin"]) for row in rows] == [
        ("int8", "measured on device"),
        ("float", "measured on host"),  # a desktop browser on loopback is this computer
    ]
    assert rows[0]["target"] == "web: Chrome 131 on Linux; Android 14; Pixel 7"
    assert rows[0]["samples_ms"] == posted(server)["samples_ms"]
    page = (server.run_dir / "report.html").read_text()
    assert "web: Chrome 131 on Linux; Android 14; Pixel 7, xnnpack, 4 threads, LiteRT.js 2.5.3, WASM" in page
    assert "measured on device" in page
    native = [row for row in read_report(server.run_dir)["measurements"] if not row["target"].startswith("web: ")]
    assert len(native) == len(report_fixture.document()["measurements"])
    again = posted(server, samples_ms=[9.0] * 50)
    assert post(server, json.dumps(again).encode())[0] == 204
    assert len(read_results(server.run_dir)) == 3
    assert [row["p50_ms"] for row in web_measurements(server.run_dir)] == [9.0, pytest.approx(12.3, abs=0.02)]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"schema": "edgefit.web-bench/2"}, "edgefit.web-bench/2"),
    ({"model": "../../etc/passwd"}, "not those of this run"),
    ({"model": "float"}, "not those of this run"),
    ({"runtime": "../x/<b>"}, "$.runtime"),
    ({"user_agent": "x" * 401}, "$.user_agent"),
    ({"user_agent": "two\nlines"}, "$.user_agent"),
    ({"threads": 0}, ">= 1 - at `$.threads`"),
    ({"threads": True}, "Expected `int`, got `bool` - at `$.threads`"),
    ({"samples_ms": [1.0] * 49}, "length >= 50 - at `$.samples_ms`"),
    ({"samples_ms": [1.0] * 49 + [-1.0]}, "$.samples_ms[49]"),
    ({"samples_ms": [1.0] * 49 + [float("nan")]}, "not a measurement"),
    ({"samples_ms": [1.0] * 49 + [LONGEST_SAMPLE_MS * 2]}, "<= 60000.0 - at `$.samples_ms[49]`"),
    ({"samples_ms": [1.0] * 49 + ["1"]}, "got `str` - at `$.samples_ms[49]`"),
    ({"extra": 1}, "unknown field `extra`"),
    ({"origin": "measured on device"}, "unknown field `origin`"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_fields_are_refused(server: AppServer, change: dict[str, Any], words: str) -> None:
    status, text = post(server, json.dumps(posted(server) | change).encode())
    assert status == 400
    assert words in text
    assert read_results(server.run_dir) == []


def test_bad_bodies_are_refused(server: AppServer) -> None:
    good = json.dumps(posted(server)).encode()
    assert post(server, b"{not json")[0] == 400
    assert post(server, b"[" * 100_000)[0] == 400
    assert post(server, b"\xff\xfe")[0] == 400
    assert post(server, b"x" * (MOST_BODY_BYTES + 1))[0] == 413
    assert post(server, good, Content_Type="text/plain")[0] == 415
    assert post(server, good, Content_Length="-5")[0] == 411
    assert read_results(server.run_dir) == []
    assert ask(server, "GET", f"/{server.token}/")[0] == 200


def test_a_thousand_posts_do_no_harm(server: AppServer) -> None:
    started = time.monotonic()
    body = json.dumps(posted(server)).encode()
    found = [post(server, body)[0] for _ in range(60)]
    assert set(found) == {204, 429}
    flood = (
        f"POST /{server.token}/bench/samples HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    sockets = []
    for _ in range(1000):
        try:
            one = socket.create_connection(("127.0.0.1", server.port), timeout=2)
            one.sendall(flood)
            sockets.append(one)
        except OSError:
            continue  # turned away at the door: as it should be
    for one in sockets:
        one.close()
    for _ in range(50):
        if (reply := ask_quietly(server)) == 200:
            break
    assert reply == 200
    assert len(read_results(server.run_dir)) <= BURST + PER_SECOND * (time.monotonic() - started) + 1
    read_report(server.run_dir)


def ask_quietly(server: AppServer) -> int:
    try:
        return ask(server, "GET", f"/{server.token}/")[0]
    except (OSError, http.client.HTTPException):
        return 0


@given(st.binary(max_size=300))
def test_parse_never_breaks(body: bytes) -> None:
    with pytest.raises(InputError):
        parse(body, "127.0.0.1", {"int8": "a"})


def test_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    bucket = TokenBucket(3, 0.5, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 2.0
    assert [bucket.take(), bucket.take()] == [True, False]
    now[0] = 1000.0
    assert sum(bucket.take() for _ in range(10)) == 3


def test_whose_latency_it_is() -> None:
    assert origin_of(PHONE_AGENT, "127.0.0.1") == "measured on device"  # adb reverse
    assert origin_of(DESKTOP_AGENT, "::1") == "measured on host"
    assert origin_of(DESKTOP_AGENT, "192.168.1.7") == "measured on device"
    assert browser_of("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile Safari/604.1") == (
        "Safari 18 on iPhone; CPU iPhone OS 18_1 like Mac OS X"
    )
    assert browser_of("curl") == "browser"


def test_the_address(server: AppServer) -> None:
    [address] = addresses(server)
    assert address == f"http://127.0.0.1:{server.port}/{server.token}/"


def test_a_browser_measures_itself(tmp_path: Path) -> None:
    try:
        litert_files()
    except DownloadError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error.message}")
    heard: list[Any] = []
    for server in serving(AppServer(a_run(tmp_path / "run"), on_result=heard.append)):
        with chromium(tmp_path / "profile") as browser:
            browser.goto(addresses(server)[0] + "bench/")
            browser.wait("document.getElementById('start').disabled === false")
            browser.evaluate("document.getElementById('start').click()")
            browser.wait("document.documentElement.dataset.bench === 'done'")
            assert browser.evaluate("crossOriginIsolated")
            assert not [line for line in browser.log if "Content Security" in line or line.startswith("uncaught")]
        rows = web_measurements(server.run_dir)
    assert sorted(row["model"] for row in rows) == ["float", "int8"]
    assert all(len(row["samples_ms"]) >= 50 and row["origin"] == "measured on host" for row in rows)
    assert len(heard) == 2
