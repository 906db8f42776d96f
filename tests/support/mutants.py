"""Damaged copies of a file's bytes and of a document's fields, the same for the same seed."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**70, -1.5, 1e308, 1e-308, float("nan"), float("inf"), "", "x", "\0",
    "\u202e\x1b[31m", "../../etc/passwd", "x" * 10_000, [], [[]], {}, {"a": 1}, [None],
)  # fmt: skip


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Bits flipped, bytes changed, pieces cut, doubled, zeroed or moved."""
    out = bytearray(raw)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not out:
            break
        at, long = chance.randrange(len(out)), chance.choice((1, 4, 64, 1000))
        match chance.randrange(7):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del out[at:]
            case 3:
                del out[at : at + long]
            case 4:
                out[at : at + long] = bytes(len(out[at : at + long]))
            case 5:
                out[at:at] = out[at : at + long]
            case 6:
                out[at : at + long] = chance.randbytes(len(out[at : at + long]))
    return bytes(out)


def odd(document: Any, chance: random.Random) -> Any:
    """A copy with one to three places changed to something odd, removed or doubled."""
    out = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(out))
        if not places:
            return chance.choice(ODD)
        holder, key = chance.choice(places)
        kind = chance.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif kind == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = -holder[key] if chance.random() < 0.5 else holder[key] * 1_000_000
        elif kind == 3 and isinstance(holder, dict):
            holder[chance.choice(("", "new", "schema"))] = chance.choice(ODD)
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD))
    return out


def _places(node: Any, depth: int = 0) -> Any:
    """(holder, key) of places, those near the root as likely as whole branches below them."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items)[:40]:
        yield node, key
        if depth < 6:
            yield from _places(value, depth + 1)
