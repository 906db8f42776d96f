"""Golden pictures through Python, Chromium and the JVM: the same input, the same answer; and every mutant is caught."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import golden, report_fixture
from support.chromium import chromium, site
from support.golden import Golden
from support.kotlin import compile_kotlin
from support.small_run import RESOLUTION_PX, make_run
from toolkit.test_answers import TREE
from toolkit.test_app import WEB

from edgefit_toolkit.api.model import Model, load
from edgefit_toolkit.app import bundle
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.data.answers.answering import Answering, answer_doc
from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.report import rollup

KOTLIN = WEB.parent / "android/app/src/main/kotlin/org/edgefit/nameit"
SCALE = 0.001
MUTANTS = ("BGR", "bilinear", "area", "stretched", "thresholds")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return golden.draw(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def run(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose thresholds part the golden pictures: some are answered by the class, some by the family, some not."""
    folder = tmp_path_factory.mktemp("runs")
    probe = load(make_run(folder / "probe", weight_scale=SCALE))
    scores = np.stack([probe.probabilities(file) for file in files])
    sums = TREE.sums(scores)
    cuts = {rank: float(np.sort(TREE.likeliest(sums, TREE.ranks.index(rank))[1])[8]) for rank in ("class", "family")}
    how, judged = Answering(TREE, cuts, float(np.sort(scores.max(1))[2])), (scores, np.arange(len(files)) % 5)
    found = make_run(folder / "run", weight_scale=SCALE, taxonomy=rollup.taxonomy_doc(how, judged, judged, 0.95))
    (found / "answer.json").write_text(json.dumps(answer_doc(how)))
    return found


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return load(run)


@pytest.fixture(scope="module")
def recorded(model: Model, files: list[Path]) -> list[Golden]:
    found = golden.record(model, files)
    assert len({(one.rank, one.other) for one in found}) >= 3
    return found


def of_another_run(how: Answering) -> Answering:
    """Other thresholds, by one step of the output."""
    return replace(how, thresholds={rank: at + golden.STEP for rank, at in how.thresholds.items()})


def prepared(file: Path, model: Model, mutant: str) -> np.ndarray:
    """The input as a mistaken app would make it: uint8 [R, R, 3]."""
    with Image.open(file) as opened:
        picture, how = opened.convert("RGB"), model._preprocessing
    if mutant == "stretched":
        picture = picture.resize((min(picture.size),) * 2, Image.Resampling.BICUBIC)
    if mutant == "area":
        left, top, side = crop_box(picture, how.resolution_px)
        box = (left, top, left + side, top + side)
        return np.asarray(picture.resize((how.resolution_px,) * 2, Image.Resampling.BOX, box))
    pixels = preprocessing.apply(picture, replace(how, interpolation="bilinear") if mutant == "bilinear" else how)
    return np.ascontiguousarray(pixels[..., ::-1]) if mutant == "BGR" else pixels


def crop_box(picture: Image.Image, resolution_px: int) -> tuple[int, int, int]:
    side = max(1, min(picture.size) * resolution_px // (resolution_px + 32))
    return (picture.width - side + 1) // 2, (picture.height - side + 1) // 2, side


@pytest.mark.parametrize("mutant", MUTANTS)
def test_python_and_its_mutants(model: Model, files: list[Path], recorded: list[Golden], mutant: str) -> None:
    def says(mutant: str) -> list[Golden]:
        found = []
        for file in files:
            pixels = prepared(file, model, mutant)
            found.append(golden.of(model, pixels, model._network.predict(pixels[None])[0]))
        return found

    assert golden.differences(recorded, says("")) == []
    if mutant == "thresholds":
        ours, theirs = model.answering, of_another_run(model.answering)
        model.answering = theirs
        found = golden.differences(recorded, says(""))
        model.answering = ours
        assert found
        assert all(line.endswith("another answer") for line in found)
    else:
        assert [line for line in golden.differences(recorded, says(mutant)) if line.endswith("other scores")]


MAIN = """
package org.edgefit.nameit
import java.io.DataInputStream
fun main() {
    val sent = DataInputStream(System.`in`)
    if (sent.readInt() == 0) {
        repeat(sent.readInt()) {
            val how = Preprocessing(sent.readInt(), 32, sent.readUTF())
            val width = sent.readInt()
            val height = sent.readInt()
            val argb = IntArray(width * height) { sent.readInt() }
            val box = Preprocess.cropBox(width, height, how)
            val square = IntArray(box.side * box.side) {
                argb[(box.top + it / box.side) * width + box.left + it % box.side]
            }
            System.out.write(Preprocess.resize(Preprocess.rgb(square), box.side, how.resolutionPx, how.interpolation))
        }
    } else {
        val ranks = sent.readUTF().split(" ")
        val thresholds = ranks.map { it to sent.readDouble() }.filter { it.second < 2 }.toMap()
        val floor = sent.readDouble()
        val nodes = List(sent.readInt()) { Node(sent.readUTF(), sent.readUTF(), sent.readInt()) }
        val tree = Tree(ranks, thresholds, nodes, -1, floor)
        repeat(sent.readInt()) {
            val scores = FloatArray(5) { sent.readFloat() }
            val said = Answers.judge(scores, scores.indices.map { Label("$it", "", "") }, tree)
            println("${said.named?.rank ?: ""}|${said.named?.let { nodes[it.node].name } ?: ""}|${said.other}")
        }
    }
    System.out.flush()
}
"""


def utf(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def ints(*values: int) -> bytes:
    return np.array(values, ">i4").tobytes()


@pytest.fixture(scope="module")
def jvm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """The Android app's preprocessing and answers, compiled; there is no LiteRT for the JVM, so the int8 file itself is
    run by Python, on the bytes that Kotlin made."""
    command = compile_kotlin([KOTLIN / "Preprocess.kt", KOTLIN / "Answer.kt"], MAIN, tmp_path_factory.mktemp("kotlin"))
    return lambda sent: subprocess.run(command, input=sent, capture_output=True, timeout=120, check=True).stdout


def jvm_says(jvm: Callable[[bytes], bytes], model: Model, files: list[Path], mutant: str) -> list[Golden]:
    sent = ints(0, len(files))
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        if mutant == "stretched":
            picture = picture.resize((min(picture.size),) * 2, Image.Resampling.BICUBIC)
        rgb = np.asarray(picture).astype(np.uint32)
        argb = 0xFF000000 | rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
        sent += ints(RESOLUTION_PX) + utf("bilinear" if mutant == "bilinear" else "bicubic") + ints(*picture.size)
        sent += argb.astype(">u4").tobytes()
    pixels = np.frombuffer(jvm(sent), np.uint8).reshape(len(files), RESOLUTION_PX, RESOLUTION_PX, 3)
    pixels = np.ascontiguousarray(pixels[..., ::-1]) if mutant == "BGR" else pixels
    scores = model._network.predict(pixels)
    how = of_another_run(model.answering) if mutant == "thresholds" else model.answering
    sent = ints(1) + utf(" ".join(how.tree.ranks))
    sent += np.array([*(how.thresholds.get(rank, 2.0) for rank in how.tree.ranks), how.floor], ">f8").tobytes()
    sent += ints(len(how.tree.nodes))
    for node in how.tree.nodes:
        sent += utf(node.name) + utf(how.tree.ranks[node.rank]) + ints(node.parent)
    lines = jvm(sent + ints(len(files)) + scores.astype(">f4").tobytes()).decode().splitlines()
    found = []
    for one, of_it, line in zip(pixels, scores, lines, strict=True):
        rank, name, other = line.split("|")
        digest = hashlib.sha256(one.tobytes()).hexdigest()
        found.append(Golden(digest, tuple(map(float, of_it)), rank, name, other == "true"))
    return found


def test_the_jvm_and_its_mutants(
    jvm: Callable[[bytes], bytes], model: Model, files: list[Path], recorded: list[Golden]
) -> None:
    assert golden.differences(recorded, jvm_says(jvm, model, files, "")) == []
    for mutant in MUTANTS:
        if mutant != "area":  # Kotlin has no such filter
            assert golden.differences(recorded, jvm_says(jvm, model, files, mutant)), mutant


PAGE = """(async () => {
  const [{ decode, prepare }, { loadModel }, { judge, parseLabels }] = await Promise.all(
    ["./preprocess.js", "./model.js?again", "./answer.js"].map((file) => import(file)));
  (await import("./litert/core.js")).unloadLiteRt();
  const facts = await (await fetch("app.json")).json();
  const how = await (await fetch("answer.json")).json();
  const labels = parseLabels(await (await fetch("labels.txt")).text());
  const model = await loadModel(facts);
  const found = {};
  for (const mutant of MUTANTS) {
    found[mutant] = [];
    for (const text of PICTURES) {
      let bitmap = await decode(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
      if (mutant === "stretched") {
        const side = Math.min(bitmap.width, bitmap.height);
        bitmap = await createImageBitmap(bitmap, { resizeWidth: side, resizeHeight: side });
      }
      const pixels = prepare(bitmap, mutant === "bilinear" ? { ...facts, interpolation: "bilinear" } : facts);
      if (mutant === "BGR") for (let i = 0; i < pixels.length; i += 3) pixels.subarray(i, i + 3).reverse();
      const { scores } = await model.run(pixels);
      const rule = structuredClone(how);
      if (mutant === "thresholds") for (const rank of Object.keys(rule.thresholds)) rule.thresholds[rank] += 1 / 256;
      const { answer, other } = judge(scores, labels, rule);
      const { rank = "", name = "" } = answer ?? {};
      found[mutant].push([btoa(String.fromCharCode(...pixels)), [...scores], rank, name, other]);
    }
  }
  return found;
})()"""


def test_chromium_and_its_mutants(run: Path, files: list[Path], recorded: list[Golden], tmp_path: Path) -> None:
    try:
        web = bundle(run, tmp_path / "bundle", "web").path / "web"
    except DownloadError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error.message}")
    mutants = ["", *(mutant for mutant in MUTANTS if mutant != "area")]  # JavaScript has no such filter
    pictures = [base64.b64encode(file.read_bytes()).decode() for file in files]
    with chromium(tmp_path / "profile") as browser, site(web) as address:
        browser.goto(address)
        browser.wait("document.documentElement.dataset.model === 'ready'")
        script = PAGE.replace("MUTANTS", json.dumps(mutants)).replace("PICTURES", json.dumps(pictures))
        answers = browser.evaluate(script)
    for mutant in mutants:
        said = [
            Golden(hashlib.sha256(base64.b64decode(pixels)).hexdigest(), tuple(scores), rank, name, other)
            for pixels, scores, rank, name, other in answers[mutant]
        ]
        found = golden.differences(recorded, said, steps=1)
        if mutant:
            assert [line for line in found if "input" not in line], mutant  # also without a look at the input
        else:
            assert found == []
    assert {one.name for one in recorded} & set(report_fixture.CLASSES)
