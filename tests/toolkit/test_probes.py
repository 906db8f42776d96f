"""Probes for timing: the cache of converted ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgefit_toolkit.interpreter import open_interpreter
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.pipeline.measuring import probes
from edgefit_toolkit.pipeline.measuring.probes import ProbeCache, probe_key, write_probe


def test_a_converted_probe_is_kept_and_a_lite_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, variant = ProbeCache(tmp_path / "cache"), variant_from_phi(-4.0, "b", classes=5)
    write_probe(variant, tmp_path / "one.tflite", kept)
    (file,) = kept.folder.iterdir()
    assert file.name.startswith(probe_key(variant))
    assert file.read_bytes() == (tmp_path / "one.tflite").read_bytes()
    details = open_interpreter(tmp_path / "one.tflite", 1).get_output_details()
    assert tuple(details[0]["shape"]) == (1, 5)
    monkeypatch.setattr(probes, "_convert", lambda *_: pytest.fail("converted again"))
    write_probe(variant, tmp_path / "two.tflite", kept)
    assert (tmp_path / "two.tflite").read_bytes() == file.read_bytes()
    write_probe(variant_from_phi(-4.0, classes=5), tmp_path / "lite.tflite", kept)
    assert list(kept.folder.iterdir()) == [file]


def test_the_key_tells_variants_classes_and_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        probe_key(released("b0")),
        probe_key(released("b1")),
        probe_key(released("b0", 5)),
        probe_key(released("b0")),
    }
    assert len(keys) == 3
    sources = probes.sources_of(probes.__name__)
    assert {"converters/int8/quantize.py", "converters/tflite/skeleton.py", "toolkit/network/scaling.py"} <= set(
        sources
    )
    monkeypatch.setattr(probes, "sources_of", lambda _: sources | {"converters/int8/quantize.py": "another"})
    keys.add(probe_key(released("b0")))
    monkeypatch.setattr(probes.metadata, "version", lambda name: f"{name} of tomorrow")
    keys.add(probe_key(released("b0")))
    assert len(keys) == 5


def test_a_spoilt_file_is_not_used_and_goes(tmp_path: Path) -> None:
    kept, source = ProbeCache(tmp_path / "cache"), tmp_path / "source"
    source.write_bytes(b"a model")
    kept.keep("k", source)
    assert kept.fetch("k", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"a model"
    (file,) = kept.folder.iterdir()
    file.write_bytes(b"half a mo")
    assert not kept.fetch("k", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list(kept.folder.iterdir()) == []
    assert not kept.fetch("other", tmp_path / "out")


def test_the_cache_is_bounded_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    kept, source = ProbeCache(tmp_path / "cache", limit_bytes=25), tmp_path / "source"
    for n, key in enumerate("abc"):
        source.write_bytes(bytes([n]) * 10)
        kept.keep(key, source)
        for file in kept.folder.glob(f"{key}.*"):
            os.utime(file, (n, n))
        if key == "b":
            assert kept.fetch("a", tmp_path / "out")  # used after b
    assert sorted(file.name[0] for file in kept.folder.iterdir()) == ["a", "c"]
    left, fresh = kept.folder / ".old.part", kept.folder / ".new.part"
    for part in (left, fresh):
        part.touch()
    os.utime(left, (0, 0))
    source.write_bytes(bytes(26))
    kept.keep("d", source)  # larger than all of the cache
    assert list(kept.folder.iterdir()) == [fresh]


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    source = tmp_path / "source"
    source.write_bytes(b"a model")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        kept = ProbeCache(folder)
        kept.keep("k", source)
        assert not kept.fetch("k", tmp_path / "out")
        assert source.read_bytes() == b"a model"
