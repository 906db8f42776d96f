"""Two processes that fetch one file: one does, the other waits, both end with the whole file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.file_server import BODY, SHA256, Site

from edgefit_toolkit.downloads import OLD_S, Pinned, fetch
from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.files import sha256_of

FETCH = """
    import sys
    from pathlib import Path
    from edgefit_toolkit.downloads import Pinned, fetch

    url, dest, sha256, size = sys.argv[1:]
    fetch(Pinned(url, sha256, int(size) or None), Path(dest), wait_s=0.1)
"""


def start(site: Site, dest: Path, size_bytes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(FETCH), site.url(), str(dest), SHA256, str(size_bytes)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.fault("two processes fetch one file")
@pytest.mark.parametrize("size_bytes", [len(BODY), 0])
@pytest.mark.parametrize("processes", [2, 4])
def test_at_once(site: Site, tmp_path: Path, size_bytes: int, processes: int) -> None:
    site.pause_s = 0.05
    dest = tmp_path / "file"
    running = [start(site, dest, size_bytes) for _ in range(processes)]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert sha256_of(dest) == SHA256
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert len(site.asked) == 1


@pytest.mark.fault("the process that fetches is killed while another waits")
def test_the_one_that_waits_goes_on(site: Site, tmp_path: Path) -> None:
    site.pause_s = 0.2
    dest, part = tmp_path / "file", tmp_path / "file.part"
    first = start(site, dest, len(BODY))
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    second = start(site, dest, len(BODY))
    time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    site.pause_s = 0.0
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert sha256_of(dest) == SHA256
    assert site.asked[-1][1] is not None  # it went on where the killed one stopped


@pytest.mark.fault("an answer that does not end")
def test_an_endless_answer_stops_at_the_known_size(site: Site, tmp_path: Path) -> None:
    site.endless = True
    with pytest.raises(DownloadError, match=f"longer than the {len(BODY)} bytes"):
        fetch(Pinned(site.url(), SHA256, len(BODY)), tmp_path / "file", wait_s=0)
    assert not (tmp_path / "file").exists()


@pytest.mark.fault("partial files of long ago")
def test_old_partial_files_are_removed(site: Site, tmp_path: Path) -> None:
    old, young = tmp_path / "old.part", tmp_path / "young.part"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - OLD_S - 9,) * 2)
    fetch(Pinned(site.url(), SHA256), tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "young.part"]
