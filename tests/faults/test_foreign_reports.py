"""A report.json with one value changed or gone: it is rendered, or refused with the field's name; no traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from support import report_fixture

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report.csv_table import render_csv
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.schema import validate

Path_ = tuple[str | int, ...]


def small_document() -> dict[str, Any]:
    """The fixture with less of what repeats: it renders in a moment."""
    document: dict[str, Any] = json.loads(json.dumps(report_fixture.document()))
    document["predictions"], document["worst_mistakes"] = document["predictions"][:1], []
    document["plan"]["frontier"] = document["plan"]["frontier"][:6]
    for row in document["measurements"]:
        row["samples_ms"] = row["samples_ms"][:12]
    return document


def paths(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place in the document; of a list the first two entries."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*at, key))


DOCUMENT = small_document()
PATHS = list(paths(DOCUMENT))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}),
    st.sampled_from([0, -1, 1e308, -1e308, 1e-320, 10**400]),
)  # fmt: skip
GONE = object()


@settings(max_examples=150)
@given(st.sampled_from(PATHS), st.one_of(VALUES, st.just(GONE)))
def test_one_changed_value(path: Path_, value: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    try:
        validate(document)
    except InputError as refused:
        event(refused.message.split(":")[0])  # it says so, and nothing else is raised
    else:
        texts = render_html(document), render_markdown(document), render_csv(document)
        assert all("nan" not in text.split() for text in texts)
