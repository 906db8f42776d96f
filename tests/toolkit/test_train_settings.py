"""How much a training does: by default, on a GPU, and what cannot be."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.one_thread import one_thread  # noqa: F401  (a fixture)

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training.settings import (
    CPU_CACHE_BYTES,
    CPU_TRAINING_MADDS,
    DEEPEST,
    EPOCHS,
    MAX_VIEWS,
    STAGES,
    USUAL_PICTURES,
    TrainSettings,
    cut_values,
    first_block,
    upper_madds,
)


@pytest.mark.parametrize(
    "wrong",
    [{"unfreeze_from": 8}, {"unfreeze_from": -1}, {"epochs": -1}, {"lr": 0.0}, {"lr": float("nan")}, {"batch": 0}],
)
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(TrainSettings(), **wrong)


variants = st.one_of(
    st.floats(-3, 3.5).map(lambda phi: scaling.variant_from_phi(phi, classes=10)),
    st.sampled_from(["lite0", "lite2", "lite4", "b0", "b4"]).map(lambda name: scaling.released(name, 10)),
)


@given(variants, st.integers(2, 20_000))
def test_default_work_is_bounded(some: Variant, n_train: int) -> None:
    settings = TrainSettings.default_for(some, n_train)
    assert settings == TrainSettings.default_for(some, n_train)
    assert 1 <= settings.views <= MAX_VIEWS
    assert EPOCHS[0] <= settings.epochs <= EPOCHS[1]
    assert DEEPEST <= settings.unfreeze_from <= STAGES
    work = upper_madds(some, settings.unfreeze_from) * n_train * settings.epochs
    allowed = CPU_TRAINING_MADDS * max(1.0, n_train / USUAL_PICTURES) ** 0.5
    assert work <= allowed * 1.001 or (settings.epochs, settings.unfreeze_from) == (EPOCHS[0], STAGES)
    kept = cut_values(some, settings.unfreeze_from) * 2 * n_train * (settings.views + 1)
    assert kept <= CPU_CACHE_BYTES or settings.views == 1


@given(variants)
def test_upper_cost_grows_downwards(some: Variant) -> None:
    costs = [upper_madds(some, stage) for stage in range(STAGES + 1)]
    assert costs == sorted(costs, reverse=True)
    assert 0 < costs[-1] < costs[0] < some.madds
    assert first_block(some, 0) == 0
    assert first_block(some, STAGES) == len(blocks(some.family, some.width, some.depth))


def test_a_gpu_trains_every_layer() -> None:
    assert TrainSettings.default_for(scaling.released("lite2", 5), 250, "cuda").unfreeze_from == 0
