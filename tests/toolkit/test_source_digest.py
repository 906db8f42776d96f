"""Which of our own sources a module runs: found without importing any."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgefit_toolkit.pipeline.run_directory.source_digest import PACKAGES, Tree, sources_of

ROOTS = {name: Path(__import__(name).__file__).parent for name in PACKAGES}
TRAINING = "edgefit_toolkit.training.fine_tune"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(ROOTS)


def test_what_training_runs_is_found(tree: Tree) -> None:
    found = tree.sources_of(TRAINING)
    assert {"toolkit/data/augmentation.py", "toolkit/training/settings.py", "toolkit/network/scaling.py"} <= set(found)
    assert not [name for name in found if name.startswith(("toolkit/cli", "toolkit/report", "benchmarks/"))]
    assert found == sources_of(TRAINING)


def test_workers_and_tables_beside_a_module_belong_to_it(tree: Tree) -> None:
    route = tree.sources_of("edgefit_converters.routes")
    assert {"converters/routes/tensorflow_worker.py", "converters/routes/locks/tf215.txt"} <= set(route)
    assert "toolkit/network/weights.toml" in tree.sources_of("edgefit_toolkit.network.weights")
    assert "benchmarks/native/edgefit_runner.c" in tree.sources_of("edgefit_benchmarks.native.package")


def test_no_import_is_overlooked(tree: Tree) -> None:
    """Every module's imports, read as text, against Python's own parser."""
    for name, file in tree.modules.items():
        text = file.read_text()
        parsed, types_only = ast.parse(text), set[ast.AST]()
        for node in ast.walk(parsed):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                types_only |= set(ast.walk(node))
        wanted = set[Path]()
        for node in ast.walk(parsed):
            if node in types_only:
                continue
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgefit_"):
                assert node.module is not None
                assert node.level == 0, f"{name}: a relative import"
                for alias in node.names:
                    inner = tree.modules.get(f"{node.module}.{alias.name}")
                    wanted.add(inner or tree.modules[node.module])
            if isinstance(node, ast.Import):
                wanted |= {tree.modules[alias.name] for alias in node.names if alias.name.startswith("edgefit_")}
        assert wanted <= set(tree.imports(text)), name


def test_a_changed_line_changes_what_runs_it_and_no_more(tmp_path: Path) -> None:
    folders = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in ROOTS.items()}
    before = Tree(folders)
    source = tmp_path / "edgefit_toolkit" / "data" / "augmentation.py"
    training, plan = before.sources_of(TRAINING), before.sources_of("edgefit_toolkit.picker.search")
    source.write_text(source.read_text() + "\nMORE = 1\n")
    after = Tree(folders)
    changed = {name for name, digest in after.sources_of(TRAINING).items() if training[name] != digest}
    assert changed == {"toolkit/data/augmentation.py"}
    assert after.sources_of("edgefit_toolkit.picker.search") == plan


def test_nothing_is_imported_for_it() -> None:
    code = (
        "import sys; from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of; "
        f"assert sources_of({TRAINING!r}); print([m for m in sys.modules if m in ('torch', 'numpy', {TRAINING!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
