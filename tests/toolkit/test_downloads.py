"""Fetching from a real HTTP server on this machine: resume, broken connections, wrong bytes, refusals; flowers."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.file_server import BODY, SHA256, Site

from edgefit_toolkit.data.readers import flower_photos
from edgefit_toolkit.downloads import Pinned, fetch
from edgefit_toolkit.errors import DataError, DownloadError
from edgefit_toolkit.files import sha256_of


def part(dest: Path) -> Path:
    return dest.with_name(dest.name + ".part")


def test_fetches_verifies_and_reports(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    dest = tmp_path / "deep" / "down" / "file"
    got = fetch(Pinned(site.url(), SHA256), dest, on_progress=lambda _, *p: seen.append(p))
    assert got == dest
    assert dest.read_bytes() == BODY
    assert not part(dest).exists()
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_whole_file_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    for _ in range(2):
        fetch(Pinned(site.url(), SHA256), dest)
    assert len(site.asked) == 1
    dest.write_bytes(BODY[:-1] + b"?")
    fetch(Pinned(site.url(), SHA256), dest)
    assert len(site.asked) == 2
    assert sha256_of(dest) == SHA256


def test_goes_on_where_an_earlier_call_stopped(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    part(dest).write_bytes(BODY[:1_000_000])
    seen: list[int] = []
    fetch(Pinned(site.url(), SHA256, len(BODY)), dest, on_progress=lambda _, done, total: seen.append(done))
    assert site.asked == [("/file", "bytes=1000000-")]
    assert dest.read_bytes() == BODY
    assert seen[0] > 1_000_000


def test_goes_on_after_a_broken_connection(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [600_000, 500_000]
    dest = tmp_path / "file"
    fetch(Pinned(site.url(), SHA256, len(BODY)), dest, wait_s=0)
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for _, asked in site.asked]
    assert len(starts) == 3
    assert starts[0] == 0
    assert 0 < starts[1] <= 600_000
    assert starts[1] < starts[2] <= 1_100_000
    assert dest.read_bytes() == BODY


def test_a_connection_that_keeps_breaking_leaves_what_came(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [300_000] * 2
    dest = tmp_path / "file"
    with pytest.raises(DownloadError) as refused:
        fetch(Pinned(site.url(), SHA256), dest, attempts=2, wait_s=0)
    assert site.url() in refused.value.message
    assert "goes on where it stopped" in refused.value.hint
    assert not dest.exists()
    assert part(dest).stat().st_size > 0
    site.asked.clear()
    fetch(Pinned(site.url(), SHA256), dest)
    assert site.asked[0][1] is not None
    assert dest.read_bytes() == BODY


def test_a_server_without_ranges_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    dest = tmp_path / "file"
    part(dest).write_bytes(b"old" * 1000)
    fetch(Pinned(site.url(), SHA256), dest)
    assert dest.read_bytes() == BODY


def test_a_spoilt_part_is_thrown_away(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    for spoilt in (b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)):
        part(dest).write_bytes(spoilt)
        fetch(Pinned(site.url(), SHA256, len(BODY)), dest, wait_s=0)
        assert dest.read_bytes() == BODY
        dest.unlink()


def test_a_part_that_is_whole_needs_no_network(tmp_path: Path) -> None:
    dest = tmp_path / "file"
    part(dest).write_bytes(BODY)
    fetch(Pinned("http://127.0.0.1:9/file", SHA256, len(BODY)), dest)
    assert dest.read_bytes() == BODY


def test_a_part_that_is_whole_and_of_unknown_size(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    part(dest).write_bytes(BODY)
    fetch(Pinned(site.url(), SHA256), dest)  # the server answers 416
    assert dest.read_bytes() == BODY


def test_wrong_bytes_are_refused_and_removed(site: Site, tmp_path: Path) -> None:
    site.bodies["/file"] = BODY[:-1] + b"!"
    dest = tmp_path / "file"
    with pytest.raises(DownloadError, match="the pinned one is " + SHA256):
        fetch(Pinned(site.url(), SHA256), dest, wait_s=0)
    assert list(tmp_path.iterdir()) == []
    assert len(site.asked) == 1  # the same address would send the same bytes


@pytest.mark.parametrize("ranges", [True, False])
def test_too_much_is_cut_off(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.ranges = ranges
    with pytest.raises(DownloadError, match="longer than the 1000 bytes"):
        fetch(Pinned(site.url(), SHA256, 1000), tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_missing_is_said_at_once_and_busy_is_tried_again(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="/nothing: HTTP 404"):
        fetch(Pinned(site.url("/nothing"), SHA256), tmp_path / "file", wait_s=0)
    assert len(site.asked) == 1
    site.statuses = [503, 429]
    fetch(Pinned(site.url(), SHA256), tmp_path / "file", wait_s=0)
    assert len(site.asked) == 4


def test_redirects_and_mirrors(site: Site, tmp_path: Path) -> None:
    fetch(Pinned(site.url("/moved"), SHA256), tmp_path / "a")
    fetch(Pinned(site.url("/nothing"), SHA256, mirrors=[site.url()]), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == BODY


def test_refused_connection_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    with pytest.raises(DownloadError) as refused:
        fetch(Pinned(url, SHA256, mirrors=["no url at all"]), tmp_path / "file", wait_s=0, by_hand="bring it yourself")
    assert f"{url}: ConnectError" in refused.value.message
    assert refused.value.message.count(url) == 1  # three attempts, one cause, said once
    assert "no url at all: UnsupportedProtocol" in refused.value.message
    assert refused.value.hint.endswith("; or bring it yourself")


def test_unwritable_destination(site: Site, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot write"):
        fetch(Pinned(site.url(), SHA256), tmp_path / "taken" / "file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_full_disk(site: Site, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    part(dest).symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left") as refused:
        fetch(Pinned(site.url(), SHA256), dest)
    assert "free some disk space" in refused.value.hint


# flower_photos: a small archive of the same shape stands in for the 229 MB one


def jpeg(number: int) -> bytes:
    out = io.BytesIO()
    raw = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(raw).save(out, "JPEG")
    return out.getvalue()


def archive(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def small_flowers(site: Site, monkeypatch: pytest.MonkeyPatch) -> bytes:
    members: dict[str, bytes | tarfile.TarInfo] = {
        f"flower_photos/{label}/{i}.jpg": jpeg(100 * k + i)
        for k, label in enumerate(("daisy", "roses"))
        for i in range(5)
    }
    body = archive({"flower_photos/LICENSE.txt": b"CC BY", **members})
    site.bodies["/flowers.tgz"] = body
    monkeypatch.setattr(flower_photos, "URL", site.url("/flowers.tgz"))
    monkeypatch.setattr(flower_photos, "MIRRORS", ())
    monkeypatch.setattr(flower_photos, "SIZE_BYTES", len(body))
    monkeypatch.setattr(flower_photos, "SHA256", hashlib.sha256(body).hexdigest())
    return body


def test_flowers_are_fetched_once(site: Site, small_flowers: bytes, tmp_path: Path) -> None:
    stages: list[str] = []
    dataset = flower_photos.load(seed=0, cache_dir=tmp_path, on_progress=lambda stage, *_: stages.append(stage))
    assert dataset.classes == ("daisy", "roses")
    assert dataset.name == "flowers"
    assert dataset.license == "CC BY 2.0"
    assert list(dict.fromkeys(stages)) == ["fetching flower_photos", "unpacking", "checking photographs"]
    again = flower_photos.load(seed=0, cache_dir=tmp_path)
    assert again == dataset
    assert len(site.asked) == 1
    assert [p.name for p in tmp_path.rglob("*.tgz*")] == []


def test_flowers_offline(site: Site, small_flowers: bytes, tmp_path: Path) -> None:
    site.bodies.clear()
    with pytest.raises(DownloadError) as refused:
        flower_photos.load(seed=0, cache_dir=tmp_path)
    assert "pass its folder: --data ./flower_photos" in refused.value.hint


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.SYMTYPE
    info.linkname = target
    return info


@pytest.mark.parametrize(
    "members",
    [
        {"f/../../escaped.txt": b"x"},
        {"/escaped.txt": b"x"},
        {"f\\..\\..\\escaped.txt": b"x"},
        {"C:/escaped.txt": b"x"},
        {"f/out": link("f/out", ".."), "f/out/escaped.txt": b"x"},
    ],
)
def test_archives_that_reach_out_are_refused(members: dict[str, bytes | tarfile.TarInfo], tmp_path: Path) -> None:
    bad = tmp_path / "bad.tgz"
    bad.write_bytes(archive({"f/fine.txt": b"x", **members}))
    with pytest.raises(DataError, match="is not safe to unpack"):
        flower_photos.unpack(bad, tmp_path / "to" / "f")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [bad]
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no archive", archive({"f/a": b"x" * 5000})[:60]])
def test_damaged_archives(content: bytes, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tgz"
    bad.write_bytes(content)
    with pytest.raises(DownloadError, match=r"cannot unpack bad\.tgz"):
        flower_photos.unpack(bad, tmp_path / "to" / "f")


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    other = tmp_path / "other.tgz"
    other.write_bytes(archive({"a/x": b"1", "b/y": b"2"}))
    with pytest.raises(DataError, match="should hold one folder"):
        flower_photos.unpack(other, tmp_path / "to" / "f")
