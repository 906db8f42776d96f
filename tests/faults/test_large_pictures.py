"""Pictures of many pixels: reduced on reading, refused where even that is too much, few at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefit_toolkit.data.decoding import BrokenPicture, check, decode
from edgefit_toolkit.data.decoding_cost import MOST_BYTES, reduction_of
from edgefit_toolkit.data.readers.folder import file_picture

MEASURE = """
    import sys
    from pathlib import Path
    from PIL import Image
    from edgefit_toolkit.data.decoding import check, decode, quiet_pillow
    from edgefit_toolkit.data.readers.folder import file_picture
    from edgefit_toolkit.data.preprocessing import apply
    from edgefit_toolkit.records import Preprocessing

    def peak() -> int:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

    work, path = sys.argv[1:]
    Image.init()
    apply(Image.new("RGB", (300, 300)), Preprocessing(224))  # whatever is loaded lazily
    before = peak()
    with quiet_pillow():
        picture = file_picture(Path(path))
        check(picture) if work == "check" else apply(decode(picture), Preprocessing(224))
    print(peak() - before)
"""


def draw(path: Path, megapixels: float, mode: str, **options: object) -> Path:
    width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
    shape = (int(megapixels * 1e6 / width), width)
    ramp = np.add.outer(np.arange(shape[0]) // 16, np.arange(shape[1]) // 16)
    if mode == "I;16":
        image = Image.fromarray((ramp % 256 * 257).astype(np.uint16))
    else:
        image = Image.merge(
            mode, [Image.fromarray((ramp % 256).astype(np.uint8))] * len(Image.new(mode, (1, 1)).getbands())
        )
    image.save(path, **options)
    return path


def largest(suffix: str, mode: str, options: dict[str, object], folder: Path) -> float:
    """The most megapixels of such a picture that `reduction_of` accepts, 178 (Pillow's own limit) at most."""
    with Image.open(draw(folder / f"probe{suffix}", 0.1, mode, **options)) as image:
        accepted = 0.0
        for megapixels in range(1, 178):
            image._size = (megapixels * 1000, 1000)
            if reduction_of(image) is not None:
                accepted = megapixels
    return accepted


KINDS = [
    (".png", "RGB", {"compress_level": 1}),
    (".png", "RGBA", {"compress_level": 1}),
    (".png", "I;16", {"compress_level": 1}),
    (".jpg", "RGB", {"quality": 60}),
    (".jpg", "RGB", {"quality": 60, "progressive": True}),
    (".tif", "RGB", {}),
    (".tif", "RGB", {"compression": "tiff_lzw"}),
    (".bmp", "RGB", {}),
    (".webp", "RGB", {"quality": 30, "method": 0}),
    (".webp", "RGBA", {"quality": 30, "method": 0}),
    (".avif", "RGB", {"quality": 30, "speed": 10}),
]


@pytest.mark.fault("a picture of the most pixels that are accepted")
@pytest.mark.parametrize(("suffix", "mode", "options"), KINDS)
def test_the_largest_accepted_stays_below_200_mb(
    suffix: str, mode: str, options: dict[str, object], tmp_path: Path
) -> None:
    megapixels = min(largest(suffix, mode, options, tmp_path), 60)  # making a larger one takes too long
    path = draw(tmp_path / f"large{suffix}", megapixels, mode, **options)
    for work in ("check", "decode"):
        command = [sys.executable, "-c", textwrap.dedent(MEASURE), work, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        assert int(done.stdout) < MOST_BYTES, f"{work} of {megapixels:.0f} megapixels"


@pytest.mark.fault("a 16-bit PNG of 36 megapixels")
def test_deep_png(tmp_path: Path) -> None:
    path = draw(tmp_path / "deep.png", 36, "I;16", compress_level=1)
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), "decode", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < MOST_BYTES


@pytest.mark.fault("a picture of more pixels than are accepted")
def test_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = draw(tmp_path / "large.webp", 14, "RGB", quality=1, method=0)
    with Image.open(path) as image:
        assert reduction_of(image) is None
    for work in (check, decode):
        with pytest.raises(BrokenPicture, match=r"more than 200 MB to read as WEBP: make it smaller"):
            work(file_picture(path))


@pytest.mark.fault("a picture that is reduced on reading")
@pytest.mark.parametrize(("suffix", "mode"), [(".png", "RGB"), (".png", "RGBA"), (".png", "I;16"), (".jpg", "RGB")])
def test_reduced_is_the_same_picture(suffix: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / f"picture{suffix}", 0.5, mode)
    whole = decode(file_picture(path))
    monkeypatch.setattr("edgefit_toolkit.data.decoding_cost.MOST_BYTES", 18_000_000)
    small = decode(file_picture(path))
    assert small.width < whole.width
    again = np.asarray(whole.resize(small.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(small).astype(int) - again).mean() < 3
