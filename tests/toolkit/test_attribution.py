"""ATTRIBUTION.csv: who took which photograph, and what knowing it takes."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.data.dataset import Credit
from edgefit_toolkit.data.readers.attribution import FILE, Attributions, Credits

NAMES = st.text(st.characters(codec=None), max_size=6)  # lone surrogates too: names in no encoding


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES)), st.lists(NAMES))
def test_every_file_has_the_credit_of_its_last_row(rows: list[tuple[str, str, str, str]], others: list[str]) -> None:
    expected = {row[0]: Credit(*row) for row in rows}
    found = Credits(Credit(*row) for row in rows)
    for file in [*expected, *others]:
        assert found.of(file) == expected.get(file)


def test_files_of_one_checksum_are_told_apart() -> None:
    one, other = "plumless", "buckeroo"  # the same CRC-32
    found = Credits([Credit(one, "Ada", "CC0"), Credit(other, "Bo", "CC0")])
    assert [found.of(file) for file in (one, other)] == [Credit(one, "Ada", "CC0"), Credit(other, "Bo", "CC0")]


def test_a_row_takes_little_memory(tmp_path: Path) -> None:
    count = 20_000
    with (tmp_path / FILE).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "photographer", "license", "source_url"])
        rows.writerows([f"ivy/{i:07d}.jpg", f"Ada {i % 900}", "CC BY 4.0", f"https://x.org/{i}"] for i in range(count))
    tracemalloc.start()
    credit = Attributions().beside(tmp_path / "ivy")("0000905.jpg")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert credit == Credit("ivy/0000905.jpg", "Ada 5", "CC BY 4.0", "https://x.org/905")
    assert most / count < 150
