"""The research scripts, as their documents say they are run."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROOT = BENCHMARKS.parent


def test_every_command_of_the_documents_names_a_script() -> None:
    documents = [path for kind in ("py", "md") for path in BENCHMARKS.rglob(f"*.{kind}")]
    documents += [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("toolkit/edgefit_toolkit/latency/*.toml")]
    named = {name for path in documents for name in re.findall(r"python -m (experiments[\w.]+)", path.read_text())}
    assert len(named) >= 20
    assert [name for name in sorted(named) if find_spec(name.rstrip(".")) is None] == []
    by_path = [path.name for path in documents if re.search(r"python \S*experiments/", path.read_text())]
    assert by_path == []
