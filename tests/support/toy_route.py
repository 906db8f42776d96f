"""A converter route that the product does not have: one module, and one entry in ROUTES."""

from __future__ import annotations

from edgefit_converters.routes.litert import LiteRT


class Toy(LiteRT):
    """The default route under another name, which takes no step with ranges of its own."""

    name = "toy"
    stack = "torch -> litert-torch -> ai-edge-quantizer, again"

    def declines(self, own_ranges: bool) -> str:
        return "a toy has one size" if own_ranges else ""


ENTRY = (__name__, Toy.__name__)
