"""The research scripts, as their documents say they are run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
README = BENCHMARKS.parent / "README.md"


def test_every_command_of_the_documents_names_a_script() -> None:
    documents = [*(BENCHMARKS / "experiments").rglob("*.py"), BENCHMARKS / "results/README.md", README]
    named = {name for path in documents for name in re.findall(r"python -m (experiments[\w.]+)", path.read_text())}
    assert len(named) >= 9
    assert [name for name in sorted(named) if find_spec(name.rstrip(".")) is None] == []
    by_path = [path.name for path in documents if re.search(r"python \S*experiments/", path.read_text())]
    assert by_path == []
