"""Files with bytes changed, cut or moved, and documents with odd values: an error of ours or an answer, at once."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features
from support.interrupting import ALLOWANCE
from support.mutants import damaged, odd
from support.report_fixture import document
from support.tally import Tally
from support.tiny_model import tiny_tflite

from edgefit_converters.tflite.inspect import read_foreign
from edgefit_toolkit.data.dataset import Candidate
from edgefit_toolkit.data.decoding import BrokenPicture, check, decode, quiet_pillow
from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.errors import EdgefitError, InputError
from edgefit_toolkit.network.checkpoints import CheckpointMeta, load_checkpoint, save_checkpoint, sidecar_of
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.scaling import variant_from_factors
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.run import MANIFEST, open_run
from edgefit_toolkit.pipeline.settings import FitSettings, saved_settings
from edgefit_toolkit.records import Budget, Preprocessing
from edgefit_toolkit.report.documents import read_report
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.serve.results import parse

EDGEFIT = Path(sys.executable).with_name("edgefit")
LIMIT_S = 20.0
FORMATS = [name for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
           if name != "AVIF" or features.check("avif")]  # fmt: skip
Often = Callable[[int, int], int]


class Hung(Exception):  # noqa: N818  (as it says)
    """Longer than a file may take."""


def _hung(*_: object) -> None:
    raise Hung


@contextmanager
def judged(tally: Tally, what: str, *allowed: type[BaseException]) -> Iterator[None]:
    """One file: an answer or an error that is allowed, in time."""
    tally.tried += 1
    signal.signal(signal.SIGALRM, _hung)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S * judged_allowance)
    try:
        yield
    except allowed:
        pass
    except EdgefitError as error:
        if error.exit_code != 2:
            tally.lost.append(f"{what}: {error!r} has exit code {error.exit_code}")
    except Exception as error:  # noqa: BLE001  (what would have been a traceback)
        tally.lost.append(f"{what}: {error!r:.300}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


judged_allowance = ALLOWANCE()


@pytest.mark.fault("mutated images")
@pytest.mark.parametrize("format", FORMATS)
def test_images(format: str, often: Often, tally: Tally) -> None:
    chance, out = random.Random(format), io.BytesIO()
    pixels = np.random.default_rng(5).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels // 32 * 32).save(out, format)
    for number in range(often(12, 700)):
        raw = damaged(out.getvalue(), chance)
        mutant = Candidate(name="mutant", place="memory", opener=lambda raw=raw: io.BytesIO(raw))
        with quiet_pillow(), judged(tally, f"{format} {number}", BrokenPicture):
            check(mutant)
            assert decode(mutant).mode == "RGB"
    tally.check()


@pytest.mark.fault("mutated profiles")
def test_profiles(tmp_path: Path, often: Often, tally: Tally) -> None:
    from edgefit_toolkit.picker.search import make_plan

    chance, shipped = random.Random(1), sorted(SHIPPED_DIR.glob("*.toml"))
    file, plans = tmp_path / "phone.toml", often(3, 60)
    for number in range(often(60, 3000)):
        file.write_bytes(damaged(chance.choice(shipped).read_bytes(), chance))
        profile = None
        with judged(tally, f"profile {number}"):
            profile = read_profile(file)
        if profile is not None and plans > 0:
            plans -= 1
            with judged(tally, f"plan of profile {number}"):
                make_plan(Budget(30.0), str(file))
    tally.check()


@pytest.mark.fault("mutated reports, with the plans in them")
def test_reports(tmp_path: Path, often: Often, tally: Tally) -> None:
    chance, whole = random.Random(2), document()
    file = tmp_path / "report.json"
    for number in range(often(40, 2500)):
        if number % 3:
            deep = chance.random() < 0.5
            changed = whole | {"plan": odd(whole["plan"], chance)} if deep else odd(whole, chance)
            file.write_text(json.dumps(changed))
        else:
            file.write_bytes(damaged(json.dumps(whole).encode(), chance))
        with judged(tally, f"report {number}"):
            report = read_report(file)
            if number % 5 == 0:  # the slow part
                render_markdown(report)
                render_html(report)
    tally.check()


@pytest.mark.fault("mutated checkpoints")
def test_checkpoints(tmp_path: Path, often: Often, tally: Tally) -> None:
    """Half of the tensors with the right hash, as someone makes them who wants them read."""
    chance, path = random.Random(3), tmp_path / "checkpoint.safetensors"
    network = EfficientNet.from_variant(variant_from_factors(0.5, 0.5, 64, "lite", 4, phi=-4))
    save_checkpoint(path, network, CheckpointMeta(network.variant, Preprocessing(64), tuple("abcd"), 1.0, 1.0))
    tensors, sidecar = path.read_bytes(), sidecar_of(path).read_bytes()
    for number in range(often(20, 1500)):
        path.write_bytes(tensors)
        described = json.loads(sidecar)
        match number % 3:
            case 0:
                # the header is where a mutation tells: half of them go there
                cut = 20_000 if chance.random() < 0.5 else len(tensors)
                raw = damaged(tensors[:cut], chance) + tensors[cut:]
                path.write_bytes(raw)
                described["sha256"] = hashlib.sha256(raw).hexdigest()
                sidecar_of(path).write_text(json.dumps(described))
            case 1:
                sidecar_of(path).write_text(json.dumps(odd(described, chance)))
            case _:
                sidecar_of(path).write_bytes(damaged(sidecar, chance))
        with judged(tally, f"checkpoint {number}"):
            load_checkpoint(path)
    tally.check()


@pytest.mark.fault("mutated posts")
def test_posts(often: Often, tally: Tally) -> None:
    known = {"int8": "1" * 64, "float": "2" * 64}
    good = {
        "schema": "edgefit.web-bench/1", "model": "int8", "model_sha256": "1" * 64, "runtime": "LiteRT.js 2.5.3, WASM",
        "threads": 1, "warmups": 5, "cross_origin_isolated": True, "user_agent": "Mozilla/5.0 (Android)",
        "samples_ms": [1.5] * 60,
    }  # fmt: skip
    parse(json.dumps(good).encode(), "127.0.0.1", known)
    chance = random.Random(4)
    for number in range(often(150, 4000)):
        body = json.dumps(odd(good, chance)).encode() if number % 2 else damaged(json.dumps(good).encode(), chance)
        with judged(tally, f"post {number}"):
            parse(body, "127.0.0.1", known)
    tally.check()


@pytest.mark.fault("mutated manifests")
def test_manifests(tmp_path: Path, often: Often, tally: Tally) -> None:
    from edgefit_toolkit.network.weights import Provenance
    from edgefit_toolkit.pipeline.stages.train import Trained, Training
    from edgefit_toolkit.training.settings import TrainSettings

    training = Training((), 0, 1.0, 1.0, TrainSettings(), "a CPU", temperature=1.0)
    trained = Trained(Provenance("lite0", "cut", "", "", "Apache-2.0", ""), training, warnings=("few pictures",))
    settings, key = FitSettings(30.0, "pixel7"), Key({"settings": {"lr": 1}})
    run_dir = tmp_path / "run"
    with open_run(run_dir, settings=vars(settings) | {"command": "edgefit fit"}, environment={}) as run:
        model = run_dir / "model.tflite"
        model.write_bytes(b"model")
        run.finish("train", key, trained, [model], 1.0)
        run.finish("proof", key, {"a": 1}, [], 1.0)
    whole, chance = (run_dir / MANIFEST).read_bytes(), random.Random(6)
    for number in range(often(60, 2500)):
        mutant = damaged(whole, chance) if number % 2 else json.dumps(odd(json.loads(whole), chance)).encode()
        for old in run_dir.glob("manifest*"):
            old.unlink()
        (run_dir / MANIFEST).write_bytes(mutant)
        with judged(tally, f"settings of manifest {number}"):
            saved_settings(run_dir)
        tally.tried -= 1  # one file
        with judged(tally, f"manifest {number}"):
            with open_run(run_dir, settings={}, environment={}) as run:
                run.done("train", key, Trained)
                run.done("proof", key, dict)
                run.finish("train", key, trained, [], 1.0)
            if json.loads((run_dir / MANIFEST).read_bytes())["stages"]["train"]["key"] != key.hash:
                tally.lost.append(f"manifest {number}: the stage was not recorded")
    tally.check()


READ_MODELS = """
import sys
from pathlib import Path
import numpy as np
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.interpreter import TFLite
for line in sys.stdin:
    try:
        path = Path(line.strip())
        read_model(path)
        model = TFLite(path, threads=1)
        answers = model.predict(np.zeros((1, model.resolution_px, model.resolution_px, 3), np.uint8))
        print("answered" if len(answers) == 1 else "no answer", flush=True)
    except EdgefitError as error:
        print("refused" if error.exit_code == 2 else f"exit code {error.exit_code}", flush=True)
    except Exception as error:
        print(f"{error!r:.300}".replace("\\n", " "), flush=True)
"""


@pytest.mark.fault("mutated .tflite")
def test_models(tmp_path: Path, often: Often, tally: Tally) -> None:
    """In a process of their own: what ends that one would have ended edgefit."""
    chance, whole = random.Random(7), tiny_tflite(tmp_path / "whole.tflite").read_bytes()
    pipe, file, reader = subprocess.PIPE, tmp_path / "mutant.tflite", None
    for number in range(often(30, 2000)):
        file.write_bytes(damaged(whole, chance))
        if reader is None:
            command = [sys.executable, "-c", READ_MODELS]
            reader = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(f"{file}\n")
        reader.stdin.flush()
        answer = ""
        with judged(tally, f"model {number}"):
            answer = reader.stdout.readline().strip()
        if answer in ("answered", "refused"):
            continue
        if not answer:  # the runtime died: `inspect`, which takes files from anywhere, has to say so and live
            reader.kill()
            reader.communicate()
            answer, reader = f"ended by {reader.returncode}", None
            with suppress(InputError):
                read_foreign(file)
                tally.lost.append(f"model {number}: {answer}")
            continue
        shutil.copy(file, tmp_path / f"lost-{number}.tflite")
        tally.lost.append(f"model {number}: {answer}")
    if reader is not None:
        reader.kill()
        reader.communicate()
    tally.check()


@pytest.mark.fault("a mutated file handed to a command")
@pytest.mark.parametrize("command", ["inspect", "report", "plan", "predict"])
def test_commands(command: str, tmp_path: Path, often: Often, tally: Tally) -> None:
    from support.small_run import make_run

    chance, run_dir = random.Random(command), make_run(tmp_path / "run")
    kind, words = {
        "inspect": ("model_int8.tflite", ("inspect", run_dir / "model_int8.tflite", "--threads", "1")),
        "report": ("report.json", ("report", run_dir)),
        "plan": ("phone.toml", ("plan", "--device", run_dir / "phone.toml", "--budget-ms", "30")),
        "predict": ("preprocessing.json", ("predict", run_dir, tmp_path / "picture.png")),
    }[command]
    Image.new("RGB", (90, 80), "green").save(tmp_path / "picture.png")
    shutil.copy(SHIPPED_DIR / "pixel4.toml", run_dir / "phone.toml")
    whole = (run_dir / kind).read_bytes()
    for number in range(often(1, 25)):
        (run_dir / kind).write_bytes(damaged(whole, chance))
        tally.tried += 1
        done = subprocess.run(
            [EDGEFIT, *words], capture_output=True, text=True, timeout=LIMIT_S * judged_allowance, cwd=tmp_path
        )
        if done.returncode not in (0, 2) or "Traceback" in done.stderr:
            tally.lost.append(f"{command} {number}: {done.returncode} {done.stderr[-300:]}")
    tally.check()


def test_the_readers_read_what_is_whole(tmp_path: Path) -> None:
    """Else every mutant would be refused for another reason."""
    done = subprocess.run(
        [sys.executable, "-c", READ_MODELS], input=f"{tiny_tflite(tmp_path / 'a.tflite')}\n", capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "answered\n", done.stderr
    (tmp_path / "report.json").write_text(json.dumps(document()))
    report: Any = read_report(tmp_path)
    assert render_markdown(report)
