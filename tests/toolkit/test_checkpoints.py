"""Checkpoints: what is written comes back, and nothing broken does."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.checkpoints import CheckpointMeta, load_checkpoint, save_checkpoint, sidecar_of
from edgefit_toolkit.network.efficientnet import EfficientNet

VARIANT = scaling.variant_from_factors(0.35, 0.5, 64, "lite", 3, phi=-4)


def meta(**changes: Any) -> CheckpointMeta:
    made = CheckpointMeta(
        variant=VARIANT,
        preprocessing=preprocessing_for(VARIANT),
        classes=("aster", "bellis", "löwenzahn"),
        temperature=1.25,
        val_top1=0.9,
        provenance={"parent": "lite0", "how": "cut"},
        versions={"torch": torch.__version__},
    )
    return dataclasses.replace(made, **changes)


def network(seed: int = 0) -> EfficientNet:
    torch.manual_seed(seed)
    return EfficientNet.from_variant(VARIANT).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, network(), meta())
    return path


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    own, path = network().to(memory_format=torch.channels_last), tmp_path / "checkpoint.safetensors"
    written = save_checkpoint(path, own, meta())
    again, read = load_checkpoint(path)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert read == written
    assert read.classes[2] == "löwenzahn"
    assert all(torch.equal(a, b) for a, b in zip(own.state_dict().values(), again.state_dict().values(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(again(x), own(x))
    assert not again.training
    assert {file.name for file in tmp_path.iterdir()} == {path.name, sidecar_of(path).name}


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(sidecar_of(path).read_text())
    change(document)
    sidecar_of(path).write_text(json.dumps(document))


def flip_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip_byte, "SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "SHA-256"),
        (lambda path: path.write_bytes(b""), "SHA-256"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), "SHA-256"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: sidecar_of(path).unlink(), "cannot be read"),
        (lambda path: sidecar_of(path).write_text("{"), "not JSON"),
        (lambda path: sidecar_of(path).write_text("[]"), "edgefit.checkpoint/1"),
        (lambda path: edit(path, lambda doc: doc.update(schema="edgefit.checkpoint/9")), "edgefit.checkpoint/1"),
        (lambda path: edit(path, lambda doc: doc.pop("preprocessing")), "missing or wrong"),
        (lambda path: edit(path, lambda doc: doc["classes"].pop()), "2 class names for 3"),
        (lambda path: edit(path, lambda doc: doc.update(temperature=0)), "temperature 0"),
        (lambda path: edit(path, lambda doc: doc.update(temperature="warm")), "missing or wrong"),
        (lambda path: edit(path, lambda doc: doc["variant"].update(width=1.0)), "does not hold the tensors"),
        (lambda path: edit(path, lambda doc: doc["variant"].update(width=-1)), "does not hold the tensors"),
        (lambda path: edit(path, lambda doc: doc["variant"].update(width="wide")), "does not hold the tensors"),
        (lambda path: edit(path, lambda doc: doc["variant"].update(colour="red")), "missing or wrong"),
    ],
)
def test_broken_ones_are_refused(saved: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(saved)
    with pytest.raises(InputError, match=said) as raised:
        load_checkpoint(saved)
    assert saved.stem in raised.value.message
    assert raised.value.hint


def test_a_pair_cut_short_is_refused(saved: Path, tmp_path: Path) -> None:
    """A crash between the two files leaves new tensors with the old description."""
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, network(seed=1), meta())
    other.replace(saved)
    with pytest.raises(InputError, match="SHA-256"):
        load_checkpoint(saved)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    own, path = network(), tmp_path / "checkpoint.safetensors"
    with torch.no_grad():
        own.classifier.bias[0] = float("nan")
    save_checkpoint(path, own, meta())
    with pytest.raises(InputError, match="not finite"):
        load_checkpoint(path)


def test_a_description_of_another_network_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InputError, match="2 names"):
        save_checkpoint(path, network(), meta(classes=("aster", "bellis")))
    with pytest.raises(InputError):
        save_checkpoint(path, network(), meta(variant=scaling.released("lite0", 3)))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "missing" / "checkpoint.safetensors", network(), meta())
