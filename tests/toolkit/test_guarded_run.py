"""The run's own stages on small real parts: what the guard refuses, what the run then says, and the int8 input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support import broken_models
from support.html_page import read_page
from support.models import SMALL_CLASSES, SMALL_PX, drawn_pixels
from support.pictures import file_photo

from edgefit_converters import recipe
from edgefit_converters.ladder import steps
from edgefit_converters.routes import litert
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.routes.environments import TENSORFLOW, is_made
from edgefit_converters.tflite.metadata import embed
from edgefit_toolkit.app import bundle
from edgefit_toolkit.app.shipped_model import read_ends
from edgefit_toolkit.cli.convert import command as convert_command
from edgefit_toolkit.cli.report import command as report_command
from edgefit_toolkit.data.answers.answering import read_answer_doc
from edgefit_toolkit.data.answers.places import parse_places
from edgefit_toolkit.data.answers.power import to_power
from edgefit_toolkit.data.answers.taxonomy_table import parse_taxonomy
from edgefit_toolkit.data.dataset import Dataset, Seen
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.errors import GuardFailed, InputError
from edgefit_toolkit.host import environment
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.checkpoints import CheckpointMeta, save_checkpoint
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.weights import Provenance
from edgefit_toolkit.pipeline.run_directory.run import open_run
from edgefit_toolkit.pipeline.settings import FitSettings, default_out, saved_settings
from edgefit_toolkit.pipeline.stages import measure
from edgefit_toolkit.pipeline.stages.convert import Convert, check_float
from edgefit_toolkit.pipeline.stages.evaluate import Evaluate, Evaluated
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.quantize import Quantize, Quantized, held_out
from edgefit_toolkit.pipeline.stages.report import report_refusal
from edgefit_toolkit.pipeline.stages.train import Train, Trained, Training
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.records import Preprocessing, as_json
from edgefit_toolkit.report.documents import clear_refusal, read_refusal, read_report
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.settings import TrainSettings

CLASSES = ("brick", "grass", "sky", "sand")
DOOR = Preprocessing(SMALL_PX, crop_padding_px=0)
Open = Callable[..., Job]


class Told(Silent):
    """A Ui that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """60 / 60 / 20 drawn pictures, as PNG files."""
    folder = tmp_path_factory.mktemp("drawn")
    splits = {}
    for split, n, seed in (("train", 60, 1), ("val", 60, 5), ("test", 20, 9)):
        pixels, labels = drawn_pixels(n, seed=seed)
        photos = []
        for i, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            path = folder / f"{split}-{i:02d}.png"
            Image.fromarray(picture).save(path)
            photos.append(file_photo(path, label))
        splits[split] = tuple(photos)
    return Dataset("grounds", "drawn", CLASSES, splits["train"], splits["val"], splits["test"])


@pytest.fixture
def open_job(
    drawn: Dataset, small_network: EfficientNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """A job whose training is done: checkpoint, labels.txt and what the manifest says of it."""
    monkeypatch.setattr(Job, "preprocessing", DOOR)
    monkeypatch.setattr(steps, "STEPS", steps.STEPS[:1])
    stack = []

    def open_it(dataset: Dataset = drawn, floors: recipe.Floors | None = None, **choices: Any) -> Job:
        low = floors or recipe.Floors(top1=0.5, sqnr_db=6.0, accuracy_loss=0.2)
        plain = recipe.Recipe
        monkeypatch.setattr(recipe, "Recipe", lambda **k: plain(floors=low, first="min-max PTQ", **k))
        settings = FitSettings(30.0, "pixel7", calibration_n=32, **choices)
        manager = open_run(tmp_path / "run", settings=vars(settings) | {"command": "edgefit fit ..."},
                           environment=environment())  # fmt: skip
        run = manager.__enter__()
        stack.append(manager)
        job = Job(settings, run, Told(), small_network.variant, dataset)
        right = predict(small_network, job.val_pixels).argmax(1) == [photo.label for photo in dataset.val]
        meta = CheckpointMeta(small_network.variant, DOOR, CLASSES, 1.0, float(right.mean()))
        save_checkpoint(job.checkpoint, small_network, meta)
        (run.path / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
        return job

    yield open_it
    for manager in reversed(stack):
        manager.__exit__(None, None, None)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, small_float_tflite: Path) -> None:
    """The conversion, which takes seconds, by the file that it gave before; the stage itself runs."""
    facts = litert.inspect.read_model

    def export(network: Deployed, path: Path) -> Any:
        shutil.copy(small_float_tflite, path)
        return facts(path).as_model("float32")

    monkeypatch.setattr(litert, "export_deployed", export)


TRAINED = Trained(
    Provenance("lite0", "cut", "", "", "Apache-2.0", ""),
    Training((), 0, 1.0, 1.0, TrainSettings(), "a CPU", temperature=1.0),
    warnings=(),
)


@pytest.mark.usefixtures("converted")
def test_a_healthy_run_passes_and_keeps_what_the_guard_saw(open_job: Open) -> None:
    job = open_job()
    Convert(job).work()
    found, files = Quantize(job).work()
    assert files == [job.int8_tflite]
    (step,) = found.ladder
    assert step["passed"]
    assert step["shortfalls"] == []
    assert step["n"] == len(job.dataset.val) + len(job.dataset.test)
    assert step["accuracy"]["int8_top1"]["n"] == len(job.dataset.val)  # test labels are not looked at
    assert step["accuracy"]["low"] <= step["accuracy"]["difference"] <= step["accuracy"]["high"]
    assert step["size_bytes"] > 100_000
    assert (found.floors.top1, found.floors.sqnr_db) == (0.5, 6.0)
    assert isinstance(job.ui, Told)
    assert any("agreement" in note and "difference" in note and "MB: passes" in note for note in job.ui.notes)
    again = msgspec.convert(json.loads(json.dumps(as_json(found), allow_nan=False)), Quantized)
    assert again == found


@pytest.mark.usefixtures("converted")
def test_test_labels_do_not_reach_the_guard(open_job: Open, drawn: Dataset) -> None:
    wrong = tuple(replace(photo, label=(photo.label + 1) % SMALL_CLASSES) for photo in drawn.test)
    pixels, labels = held_out(open_job(replace(drawn, test=wrong)))
    assert len(pixels) == len(labels) == len(drawn.val) + len(drawn.test)
    assert (labels[-len(drawn.test) :] == -1).all()
    assert labels[: len(drawn.val)].tolist() == [photo.label for photo in drawn.val]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_models.shuffled_rows, "another order"),
        (broken_models.of_bgr, "BGR"),
        (lambda a, b: broken_models.with_normalization(a, b, 255 / 128, -127 / 128), "from 0 to 1"),
        (lambda a, b: broken_models.with_softmax(a, b, 3.0), "not the softmax"),
    ],
)
def test_a_converter_with_a_fault_is_caught_where_a_run_would_hit_it(
    open_job: Open, small_float_tflite: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, words: str
) -> None:
    def export(network: Deployed, path: Path) -> Any:
        return litert.inspect.read_model(spoil(small_float_tflite, path)).as_model("float32")

    monkeypatch.setattr(litert, "export_deployed", export)
    job = open_job()
    with pytest.raises(GuardFailed, match=words) as failed:
        Convert(job).work()
    assert not list(job.run.path.glob("*.tflite"))
    raised = report_refusal(job, failed.value, TRAINED, command="edgefit fit ...")
    assert str(job.run.path / "report.html") in raised.hint
    found = read_refusal(job.run.path)
    assert found is not None
    assert (found["stage"], found["ladder"]) == ("convert", [])
    assert words in found["sentence"]


@pytest.mark.usefixtures("converted")
def test_shuffled_labels_anywhere_in_a_run_are_caught(open_job: Open, drawn: Dataset) -> None:
    job = open_job()
    (job.run.path / "labels.txt").write_text("grass\nbrick\nsky\nsand\n")
    with pytest.raises(GuardFailed, match=r"labels\.txt has the labels in another order .*brick is answered as grass"):
        Convert(job).work()
    (job.run.path / "labels.txt").write_text("brick\ngrass\nsky\nsand\n")
    Convert(job).work()
    embed(job.float_tflite, ["sand", "grass", "sky", "brick"])
    with pytest.raises(GuardFailed, match=r"model_float\.tflite has the labels in another order"):
        check_float(job)
    order = [1, 0, 3, 2]
    relabelled = tuple(replace(photo, label=order[photo.label]) for photo in drawn.val)
    other = Job(job.settings, job.run, job.ui, job.variant, replace(drawn, val=relabelled))
    with pytest.raises(GuardFailed, match="labels look shuffled"):
        Convert(other).work()


@pytest.mark.usefixtures("converted")
def test_a_refused_run_says_where_it_fell(open_job: Open, tmp_path: Path) -> None:
    job = open_job(floors=recipe.Floors(sqnr_db=60.0))
    Convert(job).work()
    with pytest.raises(GuardFailed) as failed:
        Quantize(job).work()
    report_refusal(job, failed.value, TRAINED, command="edgefit fit --out 'a run'")
    assert not job.int8_tflite.exists()
    found = read_refusal(job.run.path)
    assert found is not None
    assert found["stage"] == "quantize"
    assert [step["name"] for step in found["ladder"]] == ["min-max PTQ"]
    assert "floor 60.0 dB" in "; ".join(found["ladder"][0]["shortfalls"])
    markdown, page = (job.run.path / "report.md").read_text(), (job.run.path / "report.html").read_text()
    said = " ".join("".join(read_page(page).words).split())
    for text in (markdown, said):
        for words in ("It fell at the stage", "quantize", "min-max PTQ", "floor 60.0 dB", "edgefit fit --out 'a run'"):
            assert words in text
    with pytest.raises(GuardFailed, match=r"refused this run's model \(quantize\)"):
        read_report(job.run.path)
    with pytest.raises(GuardFailed):
        bundle(job.run.path, tmp_path / "bundle")
    shown = CliRunner().invoke(report_command, [str(job.run.path)])
    assert (shown.exit_code, shown.output) == (0, markdown)
    shown = CliRunner().invoke(report_command, [str(job.run.path), "--format", "json"])
    assert json.loads(shown.output)["schema"] == "edgefit.refusal/1"
    clear_refusal(job.run.path)
    assert not list(job.run.path.glob("report.*"))


# the input


@pytest.mark.usefixtures("converted")
def test_the_int8_input_reaches_the_model_and_its_key(open_job: Open, drawn: Dataset, tmp_path: Path) -> None:
    job = open_job(io_dtype="int8")
    Convert(job).work()
    Quantize(job).work()
    model = TFLite(job.int8_tflite)
    assert (model.input.dtype, model.input.scale, model.input.zero_point) == ("int8", 1 / 128, -1)
    assert model.input_of_byte.tolist() == list(range(-128, 128))
    with pytest.raises(InputError, match="made with --io int8") as refused:
        read_ends(job.int8_tflite.read_bytes())
    assert "--io uint8" in refused.value.hint
    raw = Job(replace(job.settings, io_dtype="uint8"), job.run, job.ui, job.variant, drawn)
    ours, theirs = (Quantize(job, Convert(job, Train(job))) for job in (job, raw))
    assert ours.after.key == theirs.after.key
    assert ours.key.why_not(theirs.key.parts) == "settings.io_dtype uint8 -> int8"
    assert default_out(job.settings) != default_out(raw.settings)
    assert saved_settings(job.run.path)[0] == job.settings


def test_convert_takes_another_input_for_a_trained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = vars(FitSettings(30.0, "pixel7")) | {"command": "edgefit fit --budget-ms 30 --device pixel7"}
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": saved}))
    seen: list[tuple[FitSettings, str]] = []
    monkeypatch.setattr(
        "edgefit_toolkit.pipeline.fit.run_stages",
        lambda settings, run, ui, *, command, last: seen.append((settings, command)),
    )
    assert CliRunner().invoke(convert_command, [str(tmp_path), "--io", "int8"]).exit_code == 0
    assert CliRunner().invoke(convert_command, [str(tmp_path)]).exit_code == 0
    (changed, command), (same, again) = seen
    assert (changed.io_dtype, command.split()[-2:]) == ("int8", ["--io", "int8"])
    assert (same.io_dtype, again) == ("uint8", saved["command"])


def test_an_onnx_tf_run_is_timed_with_its_own_runtime(
    open_job: Open, small_float_tflite: Path, small_int8_tflite: Path
) -> None:
    if not is_made(TENSORFLOW):
        pytest.skip("the side environment is not there: any run with --converter onnx-tf makes it (300 MB)")
    job = open_job(converter="onnx-tf", threads=1)
    shutil.copy(small_float_tflite, job.float_tflite)
    shutil.copy(small_int8_tflite, job.int8_tflite)
    rows, warnings = measure._by_tflite_runtime(job)
    assert [(row.model, row.runtime) for row in rows] == [(m, "tflite-runtime 2.14.0") for m in ("int8", "float")]
    assert len(warnings) == sum(row.delegate == "none" for row in rows)
    job.settings = replace(job.settings, converter="litert")
    assert measure._by_tflite_runtime(job) == ([], [])


def test_a_runtime_that_cannot_be_had_is_a_warning(
    open_job: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty cache"))
    rows, warnings = measure._by_tflite_runtime(open_job(converter="onnx-tf", offline=True))
    assert rows == []
    assert "not measured with tflite-runtime" in warnings[0]


def test_a_run_of_an_older_edgefit_takes_new_choices_by_default(tmp_path: Path) -> None:
    saved = vars(FitSettings(30.0, "pixel7", seed=3)) | {"command": "edgefit fit ..."}
    del saved["io_dtype"]
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": saved}))
    assert saved_settings(tmp_path)[0] == FitSettings(30.0, "pixel7", seed=3)
    del saved["device"]
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": saved}))
    with pytest.raises(InputError, match="it has no device"):
        saved_settings(tmp_path)


def test_answers_do_not_depend_on_the_input(small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path) -> None:
    from edgefit_converters.int8.quantize import quantize_int8

    made = quantize_int8(
        small_float_tflite, drawn_pixels(32, seed=1)[0], tmp_path / "int8.tflite", recipe.Recipe(io_dtype="int8")
    )
    pixels = drawn_pixels(6, seed=6)[0]
    np.testing.assert_array_equal(TFLite(made.path).logits(pixels), TFLite(small_int8_tflite).logits(pixels))


def test_places_are_judged_on_pictures_whose_region_is_known(
    open_job: Open, drawn: Dataset, small_float_tflite: Path, small_int8_tflite: Path
) -> None:
    # the regions are made up: every class lives in one of its own
    seen = tuple(replace(photo, seen=Seen(CLASSES[photo.label])) for photo in drawn.test)
    job = open_job(replace(drawn, test=seen[:-5] + drawn.test[-5:]))
    shutil.copy(small_float_tflite, job.float_tflite)
    shutil.copy(small_int8_tflite, job.int8_tflite)
    plain = Evaluate(job)
    assert plain.run().places is None
    table = "class,region,months\n" + "".join(f"{name},{name},\n" for name in CLASSES)
    job.places = parse_places(table, CLASSES, "places.csv")
    stage = Evaluate(job)
    assert stage.key.hash != plain.key.hash
    doc = stage.run().places
    assert doc is not None
    assert (doc["n"], doc["spoiled"]) == (15, 0)
    assert doc["lowered"]["top1"] >= doc["without"]["top1"]
    assert stage.key.hash != Evaluate(replace(job, dataset=drawn)).key.hash


def test_thresholds_up_a_taxonomy_come_from_the_int8_files_answers_on_val(
    open_job: Open, small_float_tflite: Path, small_int8_tflite: Path
) -> None:
    job = open_job(precision=0.9)
    shutil.copy(small_float_tflite, job.float_tflite)
    shutil.copy(small_int8_tflite, job.int8_tflite)
    plain = Evaluate(job)
    flat = plain.run()
    assert flat.taxonomy is None
    how = read_answer_doc(json.loads(job.answer_file.read_text()), CLASSES)
    assert (how.tree.ranks, how.thresholds) == (("class",), {"class": flat.threshold})
    val = TFLite(job.int8_tflite).predict(job.val_pixels)
    assert how.floor == np.sort(val.max(1))[3]  # 57 of 60 are kept
    job.taxonomy = parse_taxonomy("class,ground\ngrass,soft\nbrick,hard\nsand,soft\nsky,\n", CLASSES, "t.csv")
    stage = Evaluate(job)
    assert stage.key.hash != plain.key.hash
    evaluated = stage.run()
    assert evaluated.threshold == flat.threshold
    how = read_answer_doc(json.loads(job.answer_file.read_text()), CLASSES)
    assert how.tree == job.taxonomy
    assert how.floor == np.sort(how.certainty(val))[3]
    assert how.is_other(val).sum() <= 3
    sums = how.tree.sums(how.admitted(val))
    assert how.thresholds == how.tree.thresholds(sums, labels_of(job.dataset.val), 0.9)
    assert evaluated.other is not None
    assert (evaluated.other["examples"], evaluated.other["n_other"], evaluated.other["n"]) == (False, 0, 20)
    doc = evaluated.taxonomy
    assert doc is not None
    assert (doc["precision_wanted"], doc["n"], doc["n_val"]) == (0.9, 20, 60)
    assert doc["tree"]["answered"] >= doc["flat"]["answered"]
    assert job.run.done("evaluate", stage.key, Evaluated) == evaluated
    job.answer_file.unlink()
    assert "answer.json is gone" in job.run.why_again("evaluate", stage.key)


def test_files_for_a_taxonomy_give_roots_of_probabilities(open_job: Open) -> None:
    job = open_job()
    plain = Convert(job).depends_on()
    job.taxonomy = parse_taxonomy("class,ground\ngrass,soft\nbrick,hard\nsand,soft\nsky,\n", CLASSES, "t.csv")
    assert Convert(job).depends_on() != plain
    made, _ = Convert(job).work()
    assert made.power == job.power == 2
    Quantize(job).work()
    Evaluate(job).work()
    assert read_answer_doc(json.loads(job.answer_file.read_text()), CLASSES).power == 2
    true = predict(job.network, job.test_pixels, temperature=job.meta.temperature)
    with np.load(job.answers_file) as answers:
        for kind, most in (("float_torch", 1e-7), ("float_tflite", 1e-5), ("int8_tflite", 0.1)):
            assert np.abs(to_power(answers[kind], 2) - true).mean() < most
            assert np.abs(answers[kind] - true).max() > 0.01
