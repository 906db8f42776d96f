"""Small pictures for the page, and whose they are."""

from __future__ import annotations

import base64
import csv
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.report.schema import CreditDoc

PICTURE_PX = 160
ATTRIBUTION = (
    "ATTRIBUTION.csv"  # beside a data set's classes or splits: columns file, photographer, license[, source_url]
)


def picture(path: Path, side_px: int = PICTURE_PX) -> str:
    """The photograph, upright, as a square JPEG data URI of `side_px` (5 to 10 kB)."""
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        square: Any = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (side_px, side_px))
    return picture_of(square)


def picture_of(image: Any) -> str:
    """A PIL image, or uint8 pixels [H, W, 3], as a JPEG data URI."""
    from PIL import Image

    drawn = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def credit_of(photo: Path) -> CreditDoc | None:
    """Who took a photograph and under which licence, from the nearest ATTRIBUTION.csv in the folders above it."""
    for folder in list(photo.resolve().parents)[:3]:
        table = _attributions(folder / ATTRIBUTION)
        if table is not None:
            return table.get(photo.resolve().relative_to(folder).as_posix())
    return None


@lru_cache(maxsize=4)
def _attributions(path: Path) -> dict[str, CreditDoc] | None:
    """File -> credit; None where there is no such table. Rows without a photographer or licence are left out."""
    if not path.is_file():
        return None
    found: dict[str, CreditDoc] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            file, author, license = row.get("file"), row.get("photographer"), row.get("license")
            if file and author and license:
                found[file] = {"file": file, "author": author, "license": license}
                if row.get("source_url"):
                    found[file]["url"] = row["source_url"]
    return found
