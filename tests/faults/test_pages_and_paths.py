"""Strings of a document that would be markup in its page, and addresses that would lead out of the served folder."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import report_fixture
from support.html_page import read_page
from support.tally import Tally
from toolkit.test_serve import ask, post, server  # noqa: F401  (a fixture)

from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.serve.server import AppServer

MARKUP = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>"
OUT = [
    "../report.json", "..%2freport.json", "%2e%2e/report.json", "%2e%2e%2freport.json", "%252e%252e/report.json",
    "bench/../../run/report.json", "bench/..%2f..%2freport.json", "bench/%2e%2e/%2e%2e/report.json", "./../report.json",
    "....//report.json", "..\\report.json", "..%5creport.json", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd",
    "report.json", "report.json%00.html", "file:///etc/passwd", "~/report.json", "manifest.json",
]  # fmt: skip


def places_of_strings(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document has a string, keys of free-form objects not among them."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from places_of_strings(value, (*at, key))
    if isinstance(node, str):
        yield at


@pytest.mark.fault("markup in any string of a report")
def test_markup_stays_text(tally: Tally, often: Callable[[int, int], int]) -> None:
    document = report_fixture.document()
    places = list(places_of_strings(document))
    assert len(places) > 150
    plain = {tag for tag, _ in read_page(render_html(document)).tags}
    for place in random.Random(0).sample(places, often(12, len(places))):
        changed = copy.deepcopy(document)
        node = changed
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = MARKUP
        tally.tried += 1
        try:
            html, text = render_html(changed), render_markdown(changed)
        except EdgefitError:
            continue
        page = read_page(html)
        new = {tag for tag, _ in page.tags} - plain
        handlers = [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        if new or handlers or "<script>alert" in html or re.search(r"(?<!\\)<(img|script)", text):
            tally.lost.append(f"{place}: {sorted(new)} {handlers}")
    tally.check()


@pytest.mark.fault("an address that would lead out of the served folder")
def test_no_address_leads_out(server: AppServer, tally: Tally) -> None:  # noqa: F811  (the fixture)
    for path in OUT:
        tally.tried += 2
        got, taken = ask(server, "GET", f"/{server.token}/{path}")[0], post(server, b"{}", path)[0]
        if got not in (400, 403, 404) or taken not in (400, 403, 404):
            tally.lost.append(f"{path}: {got}, {taken}")
    tally.check()
