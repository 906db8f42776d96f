"""The Android project, as far as it can be checked without the Android SDK: structure, references, syntax, and the
preprocessing itself wherever a Kotlin compiler is installed."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support import report_fixture
from support.android_stubs import type_check
from support.kotlin import compile_kotlin
from support.small_run import RESOLUTION_PX, make_run

from edgefit_toolkit.app import bundle
from edgefit_toolkit.data import preprocessing as reference
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.records import Preprocessing

NAME = "{http://schemas.android.com/apk/res/android}name"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """android/ of a bundle."""
    folder = tmp_path_factory.mktemp("android")
    return bundle(make_run(folder / "run"), folder / "bundle", "android").path / "android"


def kotlin(project: Path) -> list[Path]:
    """Every Kotlin file of the project."""
    return sorted([*project.rglob("*.kt"), *project.rglob("*.kts")])


def test_assets_are_the_bundles(project: Path) -> None:
    assets = project / "app/src/main/assets"
    model = project / "model_pack/src/main/assets/model.tflite"
    assert model.read_bytes() == (project.parent / "model.tflite").read_bytes()
    assert (assets / "labels.txt").read_bytes() == (project.parent / "labels.txt").read_bytes()
    assert not (assets / "model.tflite").exists()
    app = json.loads((assets / "app.json").read_text())
    assert app["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    door = json.loads((project.parent / "preprocessing.json").read_text())
    assert {key: app[key] for key in door} == door
    assert (app["resolution_px"], app["crop_padding_px"], app["interpolation"]) == (RESOLUTION_PX, 32, "bicubic")
    facts = (project / "app/src/main/kotlin/org/edgefit/nameit/Classifier.kt").read_text()
    for key in re.findall(r'json\.get\w+\("(\w+)"\)', facts):
        assert key in app
    assert (assets / "labels.txt").read_text().split() == report_fixture.CLASSES
    assert not (project.parent / "web").exists()


def test_resources_that_are_named_exist(project: Path) -> None:
    resources = project / "app/src/main/res"
    trees = {path: ElementTree.parse(path) for path in project.rglob("*.xml")}
    values = [e for path, tree in trees.items() if path.parent.name == "values" for e in tree.getroot()]
    defined = {(e.tag, e.get("name", "").replace(".", "_")) for e in values}
    defined |= {(folder.name.split("-")[0], f.stem) for folder in resources.iterdir() for f in folder.iterdir()}
    text = "".join(path.read_text() for path in [*trees, *kotlin(project)])
    named = set(re.findall(r"@(string|color|drawable|mipmap)/(\w+)", text))
    named |= set(re.findall(r"R\.(string|color|drawable)\.(\w+)", text))
    assert named <= defined
    assert len(named) > 12
    ids = set(re.findall(r'@\+id/(\w+)"', text))
    assert set(re.findall(r"views\.(\w+)", text)) - {"root"} <= ids
    assert ("style", "Theme_NameIt") in defined
    manifest = trees[project / "app/src/main/AndroidManifest.xml"].getroot()
    assert [e.get(NAME) for e in manifest.iter("uses-permission")] == ["android.permission.CAMERA"]
    [activity] = manifest.iter("activity")
    assert (project / f"app/src/main/kotlin/org/edgefit/nameit{activity.get(NAME, '').replace('.', '/')}.kt").is_file()


def test_gradle_names_only_what_its_catalog_has(project: Path) -> None:
    catalog = tomllib.loads((project / "gradle/libs.versions.toml").read_text())
    for entry in [*catalog["libraries"].values(), *catalog["plugins"].values()]:
        assert entry["version"]["ref"] in catalog["versions"]
    known = {f"libs.{name.replace('-', '.')}" for name in catalog["libraries"]}
    known |= {f"libs.plugins.{name.replace('-', '.')}" for name in catalog["plugins"]}
    used = {m for p in project.rglob("*.gradle.kts") for m in re.findall(r"\b(libs\.[\w.]+)\)", p.read_text())}
    assert used == known


def test_the_model_lies_in_a_pack_of_its_own_and_in_a_debug_apk(project: Path) -> None:
    pack, app = (project / name / "build.gradle.kts" for name in ("model_pack", "app"))
    assert 'packName = "model_pack"' in pack.read_text()
    assert '":model_pack"' in (project / "settings.gradle.kts").read_text()
    assert 'assetPacks += ":model_pack"' in app.read_text()
    [debug] = re.findall(r'assets\.srcDir\("([^"]+)"\)', app.read_text())
    assert [file.name for file in (app.parent / debug).iterdir()] == ["model.tflite"]


COMPILED = """
import sys
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
model = CompiledModel.from_file(sys.argv[1])
inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
inputs[0].write(np.load(sys.argv[2]))
model.run_by_index(0, inputs, outputs)
np.save(sys.argv[3], outputs[0].read(int(sys.argv[4]), np.uint8))
"""


def test_litert_2_gives_the_interpreters_bytes(project: Path, tmp_path: Path) -> None:
    if find_spec("ai_edge_litert.compiled_model") is None:
        pytest.skip("this LiteRT has no CompiledModel")
    file = project / "model_pack/src/main/assets/model.tflite"
    pixels = np.random.default_rng(5).integers(0, 256, (1, RESOLUTION_PX, RESOLUTION_PX, 3), dtype=np.uint8)
    expected = TFLite(file).predict(pixels)[0]
    np.save(tmp_path / "in.npy", pixels)
    # in a process of its own: the accelerators that it registers stay
    arguments = (file, tmp_path / "in.npy", tmp_path / "out.npy", len(expected))
    subprocess.run([sys.executable, "-c", COMPILED, *map(str, arguments)], check=True, capture_output=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.rint(expected * 256))
    assert len(set(expected.tolist())) > 1


def test_kotlin_syntax(project: Path) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="tree-sitter checks Kotlin's syntax and is not installed")
    grammar = pytest.importorskip("tree_sitter_kotlin", reason="tree-sitter-kotlin is not installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    assert parser.parse(b"fun broken( {").root_node.has_error
    files = kotlin(project)
    assert len(files) >= 8
    for file in files:
        assert not parser.parse(file.read_bytes()).root_node.has_error, file.name


def test_kotlin_fits_together(project: Path, tmp_path: Path) -> None:
    assert type_check(project, tmp_path) == ""


MAIN = """
package org.edgefit.nameit
import java.nio.ByteBuffer
fun main() {
    val data = System.`in`.readBytes()
    val end = data.indexOf(10)
    val words = String(data, 0, end).split(" ")
    val numbers = words.take(4).map { it.toInt() }
    val width = numbers[0]
    val height = numbers[1]
    val turned = numbers[2]
    val how = Preprocessing(numbers[3], 32, words[4])
    val frame = ByteBuffer.wrap(data, end + 1, data.size - end - 1).slice()
    val box = if (turned % 180 == 0) Preprocess.cropBox(width, height, how) else Preprocess.cropBox(height, width, how)
    val square = Preprocess.crop(frame, width, height, (width + 3) * 4, turned, box)
    System.out.write(Preprocess.resize(square, box.side, how.resolutionPx, how.interpolation))
    System.out.flush()
}
"""


def test_kotlin_prepares_pictures_to_the_byte(project: Path, tmp_path: Path) -> None:
    source = project / "app/src/main/kotlin/org/edgefit/nameit/Preprocess.kt"
    command = compile_kotlin([source], MAIN, tmp_path)
    chance = np.random.default_rng(3)
    for width, height, turned, size, interpolation in (
        (90, 70, 0, 48, "bicubic"), (33, 120, 90, 64, "bicubic"), (64, 48, 180, 30, "bilinear"),
        (51, 37, 270, 40, "bicubic"), (7, 5, 0, 20, "bicubic"),
    ):  # fmt: skip
        frame = chance.integers(
            0, 256, (height, width + 3, 4), dtype=np.uint8
        )  # 3 bytes of padding a row, as cameras do
        head = f"{width} {height} {turned} {size} {interpolation}\n".encode()
        out = subprocess.run(command, input=head + frame.tobytes(), capture_output=True, timeout=120, check=True).stdout
        upright = np.rot90(frame[:, :width, :3], -turned // 90)
        expected = reference.apply(
            Image.fromarray(np.ascontiguousarray(upright)), Preprocessing(size, interpolation=interpolation)
        )
        np.testing.assert_array_equal(np.frombuffer(out, np.uint8).reshape(size, size, 3), expected)
