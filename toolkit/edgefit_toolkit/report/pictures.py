"""Small pictures for the page, and whose they are."""

from __future__ import annotations

import base64
import io
from typing import Any

from edgefit_toolkit.data.dataset import Credit
from edgefit_toolkit.report.schema.provenance import CreditDoc

PICTURE_PX = 160


def picture(photo: Any) -> str:
    """A photograph (upright RGB, a PIL image) as a square JPEG data URI of PICTURE_PX (5 to 10 kB)."""
    from PIL import ImageOps

    return picture_of(ImageOps.fit(photo, (PICTURE_PX, PICTURE_PX)))


def picture_of(image: Any) -> str:
    """A PIL image, or uint8 pixels [H, W, 3], as a JPEG data URI."""
    from PIL import Image

    drawn = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def credit_doc(credit: Credit | None) -> CreditDoc | None:
    """Who took a photograph and under which licence, in the report's fields."""
    if credit is None:
        return None
    doc: CreditDoc = {"file": credit.file, "author": credit.author, "license": credit.license}
    if credit.url:
        doc["url"] = credit.url
    return doc
