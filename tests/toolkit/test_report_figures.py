"""The report's figures: intervals, reliability, traces, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import open_file

from edgefit_toolkit.network import scaling
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.report import derive, pictures, walkthrough, words
from edgefit_toolkit.report.charts.svg import ticks


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
def test_answers_above_the_not_sure_threshold_are_right_often_enough(answers: list[tuple[float, bool]]) -> None:
    threshold = derive.not_sure_below([c for c, _ in answers], [ok for _, ok in answers])
    assert 0.5 <= threshold <= 1.0
    accepted = [ok for c, ok in answers if c >= threshold]
    assert threshold in (0.5, 1.0) or sum(accepted) >= 0.95 * len(accepted)


@given(n=st.integers(1, 2000), data=st.data())
def test_wilson_holds_the_share(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    low, high = derive.wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert high - low > 0


def test_wilson_known_values() -> None:
    # Newcombe (1998), table I: 81 of 263 and 15 of 148
    assert derive.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert derive.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_reliability_keeps_every_picture(pairs: list[tuple[float, bool]], bins: int) -> None:
    found = derive.reliability([c for c, _ in pairs], [ok for _, ok in pairs], bins)
    assert sum(b["n"] for b in found["bins"]) == len(pairs)
    assert sum(b["accuracy"] * b["n"] for b in found["bins"]) == pytest.approx(sum(ok for _, ok in pairs))
    assert 0 <= found["ece"] <= 1
    for b in found["bins"]:
        assert b["low"] - 1e-9 <= b["confidence"] <= b["high"] + 1e-9


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_lie_inside_and_are_few(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    slack = 1e-6 * max(abs(low), span, 1)
    assert all(low - slack <= t <= low + span + slack for t in found)
    assert len(found) <= most + 1


@given(st.floats(0, 1))
def test_percent_never_rounds_to_certainty(share: float) -> None:
    text = words.percent(share, 0)
    assert (text == "0%") == (share == 0)
    assert (text == "100%") == (share == 1)


def test_pipeline_trace_of_phi_0_and_of_another() -> None:
    variant = scaling.variant_from_phi(0, classes=5)
    steps = walkthrough.pipeline_trace(variant, Preprocessing(224))
    assert [s["step"] for s in steps] == ["input", "preprocessing", "features", "pooling", "classification"]
    assert [s["shape"] for s in steps] == [[224, 224, 3], [224, 224, 3], [7, 7, 1280], [1280], [5]]
    stages = steps[2]["stages"]
    assert [s["repeats"] for s in stages] == [1, 1, 2, 2, 3, 3, 4, 1, 1]
    assert [s["shape"][2] for s in stages] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    classifier = 1280 * 5
    assert sum(s["madds"] for s in stages) + classifier == variant.madds
    assert steps[4]["text"].startswith("One fully connected layer (1280 × 5 weights)")
    factorized = scaling.with_head_rank(scaling.with_classes(variant, 3000), 64)
    last = walkthrough.pipeline_trace(factorized, Preprocessing(224))[4]
    assert last["text"].startswith("Two fully connected layers (1280 × 64 and 64 × 3000 weights)")


def test_worked_pixel() -> None:
    pixel = walkthrough.worked_pixel((255, 127, 0), 3, 4, Preprocessing(224))
    assert pixel["value"] == [1.0, 0.0, -127 / 128]
    assert "(255 - 127) / 128 = 1.0000" in pixel["formula"]


def test_activations_are_those_of_the_network() -> None:
    import torch

    from edgefit_toolkit.network.efficientnet import EfficientNet

    torch.manual_seed(0)
    variant = scaling.variant_from_phi(-6, classes=4)
    network = EfficientNet.from_variant(variant).train()
    inputs = torch.rand(1, 3, variant.resolution_px, variant.resolution_px) * 2 - 1
    found = walkthrough.record_activations(network, inputs)
    assert network.training
    network.eval()
    with torch.inference_mode():
        np.testing.assert_allclose(found["pooling"], network.features(inputs)[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(found["classifier"], network(inputs)[0].numpy(), atol=1e-5)
    stages = walkthrough.pipeline_trace(variant, Preprocessing(variant.resolution_px))[2]["stages"]
    assert {name: list(found[name].shape) for name in (s["name"] for s in stages)} == {
        s["name"]: s["shape"] for s in stages
    }
    labels = ["a", "b", "c", "d"]
    probabilities = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    trace = walkthrough.prediction_trace("x.jpg", "a", labels, found, probabilities, probabilities)
    assert trace["answer"] == "d"
    assert [s["name"] for s in trace["steps"]] == [*found, "float answer", "int8 answer"]
    strongest, value = trace["steps"][0]["top"][0]
    assert value == pytest.approx(float(found["stem"].mean(axis=(0, 1)).max()))
    assert strongest == f"channel {int(found['stem'].mean(axis=(0, 1)).argmax())}"


def test_worst_mistakes_are_the_surest() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.99, 0.01]], dtype=np.float32)
    assert derive.worst([1, 1, 0, 0], probabilities) == [0, 2]


def test_picture_of_a_photograph(flowers_dir: Path) -> None:
    photo = sorted((flowers_dir / "test" / "rose").iterdir())[0]
    uri = pictures.picture(open_file(photo))
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 20_000
