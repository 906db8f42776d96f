"""A QR code for the terminal: byte mode, error correction level L, versions 1 to 6 (134 bytes). ISO/IEC 18004:2015."""

from __future__ import annotations

from edgefit_toolkit.errors import InputError

# version -> (data codewords of all blocks, blocks, error correction codewords per block) at level L: table 9
CAPACITY = {1: (19, 1, 7), 2: (34, 1, 10), 3: (55, 1, 15), 4: (80, 1, 20), 5: (108, 1, 26), 6: (136, 2, 18)}
LEVEL_L = 0b01
QUIET = 4  # modules of margin

Matrix = list[list[bool]]


def encode(text: str) -> Matrix:
    """Modules of the smallest code that holds `text` (UTF-8), True is dark, without margin.

    Raises InputError when none does.
    """
    data = text.encode()
    version = next((v for v, (room, _, _) in CAPACITY.items() if len(data) + 2 <= room), None)
    if version is None:
        raise InputError(f"{len(data)} bytes are too many for a QR code of at most {CAPACITY[6][0] - 2}")
    bits = _bits(_codewords(data, version))
    size = 17 + 4 * version
    plain, fixed = _patterns(version, size)
    best: tuple[int, Matrix] | None = None
    for mask in range(8):
        modules = [row[:] for row in plain]
        _place(modules, fixed, bits, mask)
        _format(modules, mask)
        score = _penalty(modules)
        if best is None or score < best[0]:
            best = (score, modules)
    assert best is not None
    return best[1]


def to_text(modules: Matrix) -> str:
    """Two modules per character cell, for a dark terminal too: light modules are drawn, dark ones are left out."""
    size = len(modules)

    def light(y: int, x: int) -> bool:
        return not (0 <= y < size and 0 <= x < size and modules[y][x])

    blocks = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    span = range(-QUIET, size + QUIET)
    return "\n".join("".join(blocks[light(y, x), light(y + 1, x)] for x in span) for y in span[::2])


def _codewords(data: bytes, version: int) -> bytes:
    """Mode, length, data, padding; then error correction; blocks interleaved (7.4, 7.6)."""
    room, blocks, check = CAPACITY[version]
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, 8 * room - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    words += [(0xEC, 0x11)[i % 2] for i in range(room - len(words))]
    share = room // blocks
    parts = [words[i * share : (i + 1) * share] for i in range(blocks)]
    checks = [_reed_solomon(part, check) for part in parts]
    return bytes([p[i] for i in range(share) for p in parts] + [c[i] for i in range(check) for c in checks])


def _multiply(a: int, b: int) -> int:
    """In GF(256) with the polynomial 0x11D."""
    product = 0
    for i in range(8):
        if b >> i & 1:
            product ^= a << i
    for i in range(14, 7, -1):
        if product >> i & 1:
            product ^= 0x11D << (i - 8)
    return product


def _reed_solomon(words: list[int], count: int) -> list[int]:
    generator = [1]
    root = 1
    for _ in range(count):
        shifted = [*generator, 0]
        generator = [s ^ _multiply(g, root) for s, g in zip(shifted, [0, *generator], strict=True)]
        root = _multiply(root, 2)
    rest = [*words, *[0] * count]
    for i in range(len(words)):
        factor = rest[i]
        for j, g in enumerate(generator):
            rest[i + j] ^= _multiply(g, factor)
    return rest[-count:]


def _bits(words: bytes) -> list[bool]:
    return [bool(word >> i & 1) for word in words for i in range(7, -1, -1)]


def _patterns(version: int, size: int) -> tuple[Matrix, Matrix]:
    """Finder, timing and alignment patterns, and which modules are not for data."""
    modules: Matrix = [[False] * size for _ in range(size)]
    fixed: Matrix = [[False] * size for _ in range(size)]

    def put(y: int, x: int, dark: bool) -> None:
        if 0 <= y < size and 0 <= x < size:
            modules[y][x], fixed[y][x] = dark, True

    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        for y in range(-1, 8):
            for x in range(-1, 8):
                ring = max(abs(y - 3), abs(x - 3))
                put(top + y, left + x, ring in (0, 1, 3))
    for i in range(8, size - 8):
        put(6, i, i % 2 == 0)
        put(i, 6, i % 2 == 0)
    if version > 1:
        centre = size - 7
        for y in range(-2, 3):
            for x in range(-2, 3):
                put(centre + y, centre + x, max(abs(y), abs(x)) != 1)
    for i in range(9):  # format information
        if i != 6:
            put(8, i, False)
            put(i, 8, False)
    for i in range(8):
        put(8, size - 1 - i, False)
        put(size - 1 - i, 8, False)
    put(size - 8, 8, True)  # the dark module
    return modules, fixed


def _masked(mask: int, y: int, x: int) -> bool:
    return (
        (y + x) % 2, y % 2, x % 3, (y + x) % 3, (y // 2 + x // 3) % 2, y * x % 2 + y * x % 3,
        (y * x % 2 + y * x % 3) % 2, ((y + x) % 2 + y * x % 3) % 2,
    )[mask] == 0  # fmt: skip


def _place(modules: Matrix, fixed: Matrix, bits: list[bool], mask: int) -> None:
    """Upwards and downwards in columns of two, from the lower right, past the timing column (7.7.3)."""
    size = len(modules)
    at = 0
    upward = True
    for right in (*range(size - 1, 6, -2), 5, 3, 1):
        for step in range(size):
            y = size - 1 - step if upward else step
            for x in (right, right - 1):
                if not fixed[y][x]:
                    bit = bits[at] if at < len(bits) else False
                    modules[y][x] = bit != _masked(mask, y, x)
                    at += 1
        upward = not upward


def _format(modules: Matrix, mask: int) -> None:
    """Level and mask with their BCH code, twice (7.9)."""
    data = LEVEL_L << 3 | mask
    rest = data << 10
    for i in range(14, 9, -1):
        if rest >> i & 1:
            rest ^= 0x537 << (i - 10)
    value = (data << 10 | rest) ^ 0x5412
    size = len(modules)
    bits = [bool(value >> i & 1) for i in range(15)]
    around = [(0, 8), (1, 8), (2, 8), (3, 8), (4, 8), (5, 8), (7, 8), (8, 8), (8, 7), (8, 5), (8, 4), (8, 3), (8, 2),
              (8, 1), (8, 0)]  # fmt: skip
    split = [(8, size - 1 - i) for i in range(8)] + [(size - 7 + i, 8) for i in range(7)]
    for places in (around, split):
        for bit, (y, x) in zip(bits, places, strict=True):
            modules[y][x] = bit


def _penalty(modules: Matrix) -> int:
    """The four rules of 7.8.3: runs, squares, finder look-alikes, balance."""
    size = len(modules)
    lines = [*modules, *[list(column) for column in zip(*modules, strict=True)]]
    score = 0
    for line in lines:
        run = 1
        for a, b in zip(line, [*line[1:], None], strict=True):
            if a == b:
                run += 1
                continue
            score += run - 2 if run >= 5 else 0
            run = 1
        word = "".join("1" if m else "0" for m in line)
        for pattern in ("10111010000", "00001011101"):
            score += 40 * sum(word.startswith(pattern, i) for i in range(size - 10))
    for y in range(size - 1):
        for x in range(size - 1):
            square = {modules[y][x], modules[y][x + 1], modules[y + 1][x], modules[y + 1][x + 1]}
            score += 3 * (len(square) == 1)
    dark = sum(map(sum, modules))
    return score + 10 * (abs(20 * dark - 10 * size * size) // (size * size))
