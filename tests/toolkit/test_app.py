"""The app bundle: what it takes, what it refuses, and that its JavaScript prepares pictures as the training did."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import report_fixture
from support.pictures import open_file
from support.small_run import RESOLUTION_PX, make_run
from support.tiny_model import tiny_tflite

from edgefit_toolkit.app import bundle, vendor
from edgefit_toolkit.app.icons import icon
from edgefit_toolkit.app.shipped_model import read_ends, with_metadata
from edgefit_toolkit.app.source import Label, parse_labels, read_source
from edgefit_toolkit.data import preprocessing as reference
from edgefit_toolkit.errors import DownloadError, GuardFailed, InputError, OutputError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.records import Preprocessing

WEB = Path(vendor.__file__).parent / "web"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def fake_runtime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tarballs with the pinned names, other content and pins to match: the runtime is 28 MB and not ours to test."""
    import io
    import tarfile

    pins = vendor._pins()
    for pin in pins:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for inside in pin["files"]:
                data = b'import { createWasmLib } from "@litertjs/wasm-utils";\n' + inside.encode()
                info = tarfile.TarInfo(inside)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        pin["integrity"] = vendor._integrity(stream.getvalue())
        (folder / vendor.tarball_name(pin)).write_bytes(stream.getvalue())
    monkeypatch.setattr(vendor, "_pins", lambda: pins)
    return folder


def test_bundle_is_whole_and_repeats(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    first = bundle(run_dir, tmp_path / "a", "web", cache_dir=cache)
    second = bundle(run_dir, tmp_path / "b", "web", cache_dir=cache)
    found = {p.relative_to(first.path).as_posix(): p.read_bytes() for p in first.path.rglob("*") if p.is_file()}
    again = {p.relative_to(second.path).as_posix(): p.read_bytes() for p in second.path.rglob("*") if p.is_file()}
    assert found == again
    assert {name: len(data) for name, data in found.items()} == first.files
    assert {"model.tflite", "labels.txt", "preprocessing.json", "MODEL_CARD.md", "README.md", "bundle.json"} <= set(
        found
    )
    hashes = json.loads(found["bundle.json"])["sha256"]
    assert hashes == {n: hashlib.sha256(d).hexdigest() for n, d in found.items() if n != "bundle.json"}
    for name in ("index.html", "sw.js", "manifest.webmanifest", "app.json", "litert/core.js", "icons/icon-512.png"):
        assert f"web/{name}" in found
    text = b"".join(data for name, data in found.items() if not name.endswith((".png", ".tflite")))
    assert str(tmp_path).encode() not in text
    assert str(Path.home()).encode() + b"/" not in text
    bundle(run_dir, tmp_path / "a", "web", cache_dir=cache)  # its own earlier bundle may be replaced
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_page_names_only_its_own_files(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fake_runtime(tmp_path, monkeypatch)
    web = bundle(run_dir, tmp_path / "out", "web", cache_dir=cache).path / "web"
    names = {p.relative_to(web).as_posix() for p in web.rglob("*") if p.is_file()}
    worker = (web / "sw.js").read_text()
    kept = json.loads(re.search(r"const FILES = (\[.*?\]);", worker)[1])  # type: ignore[index]
    assert kept[0] == "./"
    assert set(kept[1:]) <= names
    assert {"index.html", "app.js", "model.tflite", "app.json", "labels.txt", "litert/core.js"} <= set(kept)
    assert "{{" not in worker
    html = (web / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', html)) <= names
    for script in web.glob("*.js"):
        for target in re.findall(r'(?:from|import\()\s*"\./([^"]+)"', script.read_text()):
            assert target in names
    manifest = json.loads((web / "manifest.webmanifest").read_text())
    assert {entry["src"] for entry in manifest["icons"]} <= names
    for page in (html, *(p.read_text() for p in web.glob("*.js")), (web / "style.css").read_text()):
        assert not re.search(r"https?://", page)
    app = json.loads((web / "app.json").read_text())
    assert app["model"]["sha256"] == hashlib.sha256((web / "model.tflite").read_bytes()).hexdigest()
    assert (app["resolution_px"], app["threshold"], app["data_kind"]) == (RESOLUTION_PX, 0.45, "photographs")


def test_the_worker_changes_with_any_file(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fake_runtime(tmp_path, monkeypatch)
    first = bundle(run_dir, tmp_path / "one", "web", cache_dir=cache).path / "web" / "sw.js"
    other_run = make_run(tmp_path / "run", reliability={"bins": [], "threshold": 0.6})
    second = bundle(other_run, tmp_path / "two", "web", cache_dir=cache).path / "web" / "sw.js"
    assert first.read_text() != second.read_text()


def test_model_card_says_what_is_known(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fake_runtime(tmp_path, monkeypatch)
    out = bundle(run_dir, tmp_path / "out", "web", cache_dir=cache).path
    card = (out / "MODEL_CARD.md").read_text()
    assert hashlib.sha256((out / "model.tflite").read_bytes()).hexdigest() in card
    for words in ("predicted", "measured on host", "CC BY 2.0", "A. Fixture", "87.0%", "79.0–92.2%", "dandelion 80%"):
        assert words in card
    assert "Drawn pictures" not in card
    drawn = make_run(tmp_path / "drawn", data=report_fixture.document("drawn")["data"])
    card = (bundle(drawn, tmp_path / "out2", "web", cache_dir=cache).path / "MODEL_CARD.md").read_text()
    assert "**Drawn pictures, not photographs.**" in card


def test_metadata_leaves_the_answers_alone(run_dir: Path, tmp_path: Path) -> None:
    plain = (run_dir / "model_int8.tflite").read_bytes()
    labels = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    rich = with_metadata(plain, name="n", description="d", license="l", labels=labels)
    assert rich == with_metadata(plain, name="n", description="d", license="l", labels=labels)
    file = tmp_path / "rich.tflite"
    file.write_bytes(rich)
    assert zipfile.ZipFile(file).read("labels.txt").decode().split() == labels
    pixels = np.random.default_rng(0).integers(0, 256, (4, RESOLUTION_PX, RESOLUTION_PX, 3), dtype=np.uint8)
    np.testing.assert_array_equal(TFLite(file).predict(pixels), TFLite(run_dir / "model_int8.tflite").predict(pixels))
    model = flatbuffer_utils.read_model_from_bytearray(rich)
    [entry] = model.metadata
    assert entry.name == b"TFLITE_METADATA"
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    for words in (b"image", b"probability", b"labels.txt", b"edgefit"):
        assert words in content
    twice = with_metadata(rich, name="n", description="d", license="l", labels=labels)
    assert len(flatbuffer_utils.read_model_from_bytearray(twice).metadata) == 1


def test_ends_must_be_those_of_an_app(tmp_path: Path) -> None:
    logits = tiny_tflite(tmp_path / "logits.tflite").read_bytes()
    with pytest.raises(InputError, match=r"outputs run from -12\.8 to 12\.7"):
        read_ends(logits)
    model = flatbuffer_utils.read_model_from_bytearray(logits)
    for kind, words in ((schema.TensorType.INT8, "made with --io int8"), (schema.TensorType.FLOAT32, "an app needs")):
        model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].type = kind
        with pytest.raises(InputError, match=words):
            read_ends(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def test_a_failed_guard_is_refused(tmp_path: Path) -> None:
    step = {"name": "min-max", "agreement": 0.9, "sqnr_db": 12.0, "seconds": 1.0, "passed": False}
    quantization = {"recipe": "min-max", "ladder": [step], "guard": {"top1": 0.95}}
    run = make_run(tmp_path / "run", quantization=quantization)
    with pytest.raises(GuardFailed, match="not bundled"):
        bundle(run, tmp_path / "out", "web")
    assert not (tmp_path / "out").exists()


def test_unfinished_and_damaged_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report.json: the run is not finished"):
        read_source(tmp_path)
    run = make_run(tmp_path / "run")
    read_source(run)
    (run / "model_int8.tflite").write_bytes((run / "model_int8.tflite").read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"is not the file that .* describes"):
        read_source(run)
    run = make_run(tmp_path / "run")
    (run / "labels.txt").write_text("daisy\nrose\n")
    with pytest.raises(InputError, match="not the report's 5"):
        read_source(run)
    run = make_run(tmp_path / "run")
    (run / "preprocessing.json").write_text('{"resolution_px": 48}')
    with pytest.raises(InputError, match="not the run's preprocessing"):
        read_source(run)
    (run / "preprocessing.json").unlink()
    with pytest.raises(InputError, match=r"'preprocessing\.json' is no file of"):
        read_source(run)


def test_a_folder_of_someone_else_is_left_alone(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists and is no bundle"):
        bundle(run_dir, tmp_path, "web")
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_labels_have_room_for_names() -> None:
    text = "rosa_canina\tDog rose\tRosa canina\r\ntulip\noak\t\tQuercus robur\n"
    labels = parse_labels(text, ["rosa_canina", "tulip", "oak"])
    assert labels == (
        Label("rosa_canina", "Dog rose", "Rosa canina"),
        Label("tulip"),
        Label("oak", "", "Quercus robur"),
    )
    assert [label.line for label in labels] == text.replace("\r", "").splitlines()
    with pytest.raises(InputError, match="line 1"):
        parse_labels("a\tb\tc\td", ["a"])


def test_the_runtime_must_be_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DownloadError, match="npm is not installed"):
        vendor.litert_files(tmp_path)
    pin = vendor._pins()[0]
    (tmp_path / vendor.tarball_name(pin)).write_bytes(b"something else")
    with pytest.raises(DownloadError, match="npm is not installed"):  # a wrong file in the cache is not used
        vendor.litert_files(tmp_path)


def test_icons_repeat_and_keep_to_the_safe_zone() -> None:
    import io

    assert icon(192) == icon(192)
    plain = np.asarray(Image.open(io.BytesIO(icon(192))))
    assert plain.shape == (192, 192, 4)
    assert plain[0, 0, 3] == 0
    mask = np.asarray(Image.open(io.BytesIO(icon(200, maskable=True))).convert("RGB"))
    y, x = np.mgrid[0:200, 0:200] - 99.5
    outside = mask[np.hypot(x, y) > 80]  # the W3C manifest's safe zone: a circle of 40% radius
    assert (outside == outside[0]).all()


RESIZE_JS = """
import { resize, cropBox } from "%s";
import { readFileSync } from "node:fs";
const jobs = JSON.parse(readFileSync(0, "utf8"));
const out = jobs.map(({ pixels, width, height, preprocessing }) => {
  const all = Buffer.from(pixels, "base64");
  const { left, top, side } = cropBox(width, height, preprocessing);
  const crop = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    const from = ((top + y) * width + left) * 3;
    crop.set(all.subarray(from, from + side * 3), y * side * 3);
  }
  const { resolution_px, interpolation } = preprocessing;
  return Buffer.from(resize(crop, side, 3, resolution_px, interpolation)).toString("base64");
});
process.stdout.write(JSON.stringify(out));
"""


def node(script: str, stdin: str) -> str:
    """Standard output of an ES module run by Node."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed: the app's JavaScript cannot run here")
    done = subprocess.run([program, "--input-type=module", "-e", script], input=stdin, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_javascript(jobs: list[tuple[np.ndarray, Preprocessing]]) -> list[np.ndarray]:
    """The app's crop and resize of uint8 [H, W, 3] pictures."""
    import base64
    from dataclasses import asdict

    sent = [
        {"pixels": base64.b64encode(p.tobytes()).decode(), "width": p.shape[1], "height": p.shape[0],
         "preprocessing": asdict(how)}
        for p, how in jobs
    ]  # fmt: skip
    replies = json.loads(node(RESIZE_JS % (WEB / "preprocess.js").as_uri(), json.dumps(sent)))
    return [
        np.frombuffer(base64.b64decode(reply), np.uint8).reshape(how.resolution_px, how.resolution_px, 3)
        for reply, (_, how) in zip(replies, jobs, strict=True)
    ]


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_javascript_prepares_pictures_to_the_byte(data: st.DataObject) -> None:
    jobs = []
    for _ in range(6):
        height, width = data.draw(st.integers(1, 160)), data.draw(st.integers(1, 160))
        seed, size = data.draw(st.integers(0, 2**31)), data.draw(st.integers(2, 90))
        chance = np.random.default_rng(seed)
        noise = chance.integers(0, 256, (height, width, 3), dtype=np.uint8)
        steps = ((np.mgrid[0:height, 0:width].sum(0) // 7 % 2) * 255).astype(np.uint8)[..., None].repeat(3, 2)
        picture = noise if seed % 2 else np.ascontiguousarray(steps)
        jobs.append((picture, Preprocessing(size, interpolation=data.draw(st.sampled_from(["bicubic", "bilinear"])))))
    for ours, (picture, how) in zip(in_javascript(jobs), jobs, strict=True):
        np.testing.assert_array_equal(ours, reference.apply(Image.fromarray(picture), how))


def test_javascript_prepares_photographs_to_the_byte(flowers_dir: Path) -> None:
    photos = [sorted((flowers_dir / "test" / name).iterdir())[0] for name in report_fixture.CLASSES]
    jobs = [(np.asarray(open_file(photo)), Preprocessing(272)) for photo in photos]
    for ours, (picture, how) in zip(in_javascript(jobs), jobs, strict=True):
        np.testing.assert_array_equal(ours, reference.apply(Image.fromarray(picture), how))


def test_javascript_reads_labels_and_judges() -> None:
    script = f"""
    import {{ judge, parseLabels, percent }} from "{(WEB / "answer.js").as_uri()}";
    const labels = parseLabels("rosa_canina\\tDog rose\\tRosa canina\\r\\ntulip_tree\\noak\\t\\tQuercus\\nyew\\n");
    const scores = Float32Array.from([0.1, 0.3, 0.5, 0.1]);
    const nodes = labels.map(({{ label }}) => ({{ name: label, rank: "class", parent: -1, names: {{}} }}));
    const how = (threshold) => ({{ ranks: ["class"], thresholds: {{ class: threshold }}, nodes }});
    const [yes, no] = [0.5, 0.51].map((threshold) => judge(scores, labels, how(threshold)));
    process.stdout.write(JSON.stringify({{ labels, yes, no,
      percents: [0, 0.001, 0.5, 0.999, 1].map(percent) }}));
    """
    found = json.loads(node(script, ""))
    assert found["labels"][0] == {"label": "rosa_canina", "common": "Dog rose", "scientific": "Rosa canina"}
    assert found["labels"][1] == {"label": "tulip_tree", "common": "tulip tree", "scientific": ""}
    assert found["labels"][2]["common"] == "oak"
    assert [entry["label"] for entry in found["yes"]["top"]] == ["oak", "tulip_tree", "rosa_canina"]
    assert (found["yes"]["answer"]["name"], found["no"]["answer"]) == ("oak", None)
    assert found["percents"] == ["0%", "<1%", "50%", ">99%", "100%"]
