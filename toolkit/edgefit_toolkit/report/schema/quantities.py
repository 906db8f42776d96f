"""Quantities of the documents, with the range that each can have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=1)]
Ms = Annotated[float, Meta(ge=0)]
BudgetMs = Annotated[float, Meta(gt=0)]
Top = Annotated[list[tuple[str, float]], Meta(min_length=1)]  # (class, probability), likeliest first
