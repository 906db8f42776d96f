"""Foreign text on a terminal."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.progress import duration, plain, speed


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("two\nlines\r\tand a tab", r"two\x0alines\x0d\x09and a tab"),
        ("rose\u202egpj.exe", r"rose\u202egpj.exe"),
        ("a\u2028b\x9b2J", r"a\u2028b\x9b2J"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("\ud800", r"\ud800"),
        ("G\u00e4nsebl\u00fcmchen, \u6843\u306e\u82b1, \u0645\u06cc\u200c\u0634\u0648\u062f", None),  # names of flowers
        ("[bold]kept[/]", None),
    ],
)
def test_what_a_terminal_would_obey_is_shown(foreign: str, shown: str | None) -> None:
    assert plain(foreign) == (foreign if shown is None else shown)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119.4, "119 s"), (121, "2 min"), (7100, "118 min"), (7260, "2 h 1 min")]
)
def test_a_duration_is_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_takes_longer_than_a_second_is_said_for_each() -> None:
    assert [speed(470.4), speed(1), speed(0.0461), speed(0.004)] == ["470/s", "1/s", "22 s each", "4 min each"]


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    line = plain(text)
    assert len(line.splitlines()) <= 1
    line.encode()
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in line)
    assert plain(line) == line
