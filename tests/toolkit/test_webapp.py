"""The web app in a real browser: the runtime, the pixels, the answers, offline use.

Needs Chromium and LiteRT.js (from npm, or from its cache); each missing part skips these tests by name.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import report_fixture
from support.chromium import chromium, site
from support.pictures import open_file
from support.small_run import RESOLUTION_PX, make_run

from edgefit_toolkit.api.model import load
from edgefit_toolkit.app import bundle
from edgefit_toolkit.data import preprocessing as reference
from edgefit_toolkit.data.answers.answering import Answering, answer_doc
from edgefit_toolkit.data.answers.taxonomy import Node, Taxonomy
from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.report import rollup

READY = "document.documentElement.dataset.model === 'ready'"
ANSWERED = "!document.getElementById('timing').hidden"
PREPROCESSING = Preprocessing(RESOLUTION_PX)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's folder."""
    folder = tmp_path_factory.mktemp("app")
    run = make_run(folder / "run")
    (run / "labels.txt").write_text("daisy\tDaisy\tBellis perennis\ndandelion\nrose\nsunflower\ntulip\n")
    try:
        return bundle(run, folder / "bundle", "web").path
    except DownloadError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error.message}")


def shown(browser: object) -> list[str]:
    """The labels on the page, likeliest first."""
    answers: list[str] = browser.evaluate(  # type: ignore[attr-defined]
        "[...document.querySelectorAll('#top li')].map((item) => item.dataset.label)"
    )
    return answers


@pytest.mark.parametrize("isolated", [True, False], ids=["threads", "one thread"])
def test_same_bytes_same_answer(app: Path, tmp_path: Path, isolated: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, RESOLUTION_PX, RESOLUTION_PX, 3), dtype=np.uint8)
    model = TFLite(app / "model.tflite")
    expected = np.rint(model.predict(pixels) / model.output.scale) + model.output.zero_point
    with chromium(tmp_path / "profile") as browser, site(app / "web", isolated=isolated) as address:
        browser.goto(address)
        browser.wait(READY)
        assert browser.evaluate("crossOriginIsolated") == isolated
        got = browser.evaluate(
            f"""(async () => {{
              const {{ loadModel }} = await import('./model.js?again');
              const {{ unloadLiteRt }} = await import('./litert/core.js');
              unloadLiteRt();
              const model = await loadModel(await (await fetch('app.json')).json());
              const found = [];
              for (const text of {[base64.b64encode(p.tobytes()).decode() for p in pixels]}) {{
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                found.push([...(await model.run(bytes)).raw]);
              }}
              return found;
            }})()"""
        )
    assert np.abs(np.array(got) - expected).max() <= 1  # one quantization step


def test_photographs_arrive_as_in_training(app: Path, flowers_dir: Path, tmp_path: Path) -> None:
    """The browser's JPEG decoder may round differently from Pillow's; crop and resize may not."""
    photos = [p for name in report_fixture.CLASSES for p in sorted((flowers_dir / "test" / name).iterdir())[:3]]
    expected = np.stack([reference.apply(open_file(photo), PREPROCESSING) for photo in photos])
    sent = [base64.b64encode(photo.read_bytes()).decode() for photo in photos]
    with chromium(tmp_path / "profile") as browser, site(app / "web") as address:
        browser.goto(address)
        browser.wait(READY)
        got = browser.evaluate(
            f"""(async () => {{
              const {{ decode, prepare }} = await import('./preprocess.js');
              const facts = await (await fetch('app.json')).json();
              const found = [];
              for (const text of {sent}) {{
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                const pixels = prepare(await decode(new Blob([bytes])), facts);
                found.push(btoa(String.fromCharCode(...pixels)));
              }}
              return found;
            }})()"""
        )
    pixels = np.stack([np.frombuffer(base64.b64decode(g), np.uint8).reshape(expected.shape[1:]) for g in got])
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001


def test_a_photograph_is_named_also_offline(app: Path, flowers_dir: Path, tmp_path: Path) -> None:
    photo = sorted((flowers_dir / "test" / "daisy").iterdir())[0]
    profile = tmp_path / "profile"
    with chromium(profile) as browser:
        with site(app / "web") as address:
            browser.goto(address)
            browser.wait(READY)
            browser.choose_file("#file", photo)
            browser.wait(ANSWERED)
            online = shown(browser)
            assert set(online) <= set(report_fixture.CLASSES)
            assert len(online) == 3
            browser.wait("document.documentElement.dataset.offline === 'ready'")
        browser.log.clear()
        browser.call("Network.setCacheDisabled", cacheDisabled=True)  # the worker's cache, not the browser's
        browser.goto(address)
        browser.wait(READY)
        browser.choose_file("#file", photo)
        browser.wait(ANSWERED)
        assert shown(browser) == online
        outside = [url for url in browser.requests if not url.startswith((address, "blob:", "data:", "about:"))]
        assert outside == []
        assert not [line for line in browser.log if line.startswith("uncaught") or "Content Security" in line]


def test_words_when_something_is_missing(app: Path, tmp_path: Path) -> None:
    text = tmp_path / "no-picture.jpg"
    text.write_text("this is no photograph")
    problem = "!document.getElementById('problem').hidden && document.getElementById('problem').textContent"
    with chromium(tmp_path / "profile") as browser, site(app / "web") as address:
        browser.goto(address)
        browser.wait(READY)
        browser.choose_file("#file", text)
        assert "no-picture.jpg is not a picture" in browser.wait(problem)
        browser.evaluate("document.getElementById('camera').click()")  # Chromium's own fake camera
        browser.wait(ANSWERED)
        assert browser.evaluate("document.getElementById('camera').textContent") == "Stop camera"
        browser.evaluate("document.getElementById('camera').click()")
        assert browser.evaluate("document.getElementById('headline').textContent") == "Ready"
        browser.evaluate(
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }"
        )
        browser.evaluate("document.getElementById('camera').click()")
        assert "The camera was not allowed" in browser.wait(problem)
        browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.WebAssembly")
        browser.goto(address)
        assert "WebAssembly is missing" in browser.wait(problem)


@pytest.mark.parametrize(("rank", "words"), [("family", "Korbblütler (family)"), ("class", "Gänseblümchen")])
def test_the_page_says_what_python_says_of_a_taxonomy(tmp_path: Path, rank: str, words: str) -> None:
    """All five in one family: whatever the model of these tests likes best, the family is sure of it."""
    nodes = [Node(name, 0, 5, {"en": "Gänseblümchen"}) for name in report_fixture.CLASSES]
    tree = Taxonomy(("class", "family"), (*nodes, Node("Asteraceae", 1, -1, {"en": "Korbblütler"})))
    judged = (np.eye(5, dtype=np.float32), np.arange(5))
    run = make_run(tmp_path / "run", taxonomy=rollup.taxonomy_doc(Answering(tree, {}), judged, judged, 0.95))
    (run / "answer.json").write_text(json.dumps(answer_doc(Answering(tree, {rank: 0.01}))))
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(photo)
    answer = load(run)(photo)
    assert (answer.rank, answer.sure) == (rank, True)
    try:
        web = bundle(run, tmp_path / "bundle", "web").path / "web"
    except DownloadError as error:
        pytest.skip(f"LiteRT.js is not to be had here: {error.message}")
    with chromium(tmp_path / "profile") as browser, site(web) as address:
        browser.goto(address)
        browser.wait(READY)
        browser.choose_file("#file", photo)
        browser.wait(ANSWERED)
        headline = browser.evaluate("document.getElementById('headline').textContent")
        assert headline == words
        sureness = browser.evaluate("document.getElementById('sureness').textContent")
        shown_percent = float(sureness.split(", ")[1].strip("<>%"))
        assert shown_percent == pytest.approx(100 * answer.probability, abs=2)
        assert browser.evaluate("document.getElementById('advice').hidden") == (rank == "class")
        assert shown(browser)[0] == answer.classes[0].name
