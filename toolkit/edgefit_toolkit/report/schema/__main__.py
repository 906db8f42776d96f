"""`python -m edgefit_toolkit.report.schema`: writes the JSON Schema files beside the types."""

from __future__ import annotations

from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report.schema import FOLDER, published

for name, text in published().items():
    write_atomic(FOLDER / name, text)
