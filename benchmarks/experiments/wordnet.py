"""A tree over classes that are synsets of WordNet, from its own files (Debian's package wordnet-base, version 3.0)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from edgefit_toolkit.data.answers.taxonomy import CLASS, Node, Taxonomy

HYPERNYM = ("@", "@i")  # of a kind, of an instance


def read_nouns(data_noun: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(the first hypernym, the first word) of every synset in data.noun, by its offset: 8 digits, as after the n of a
    wnid. Its lines are described in wndb(5WN)."""
    above: dict[str, str] = {}
    words: dict[str, str] = {}
    for line in data_noun.read_text(encoding="latin-1").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.partition(" | ")[0].split(" ")
        after_words = 4 + 2 * int(fields[3], 16)
        words[fields[0]] = fields[4].replace("_", " ")
        for i in range(int(fields[after_words])):
            symbol, offset, *_ = fields[after_words + 1 + 4 * i :]
            if symbol in HYPERNYM:
                above.setdefault(fields[0], offset)
    return above, words


def tree(synsets: Sequence[str], above: Mapping[str, str], words: Mapping[str, str], most: float) -> Taxonomy:
    """Classes (`n02085620`, ...) and what stands above two of them or more, but no more than the share `most` of them.

    A rank is a depth below the root of WordNet; where a synset has several hypernyms the first one is taken.
    """
    paths = []
    for synset in synsets:
        path = [synset.removeprefix("n")]
        while path[-1] in above:
            path.append(above[path[-1]])
        paths.append(path[::-1])  # from the root
    held = Counter(synset for path in paths for synset in path[:-1])
    named = {synset for synset, n in held.items() if 2 <= n <= most * len(synsets)}
    kept = [[(depth, one) for depth, one in enumerate(path[:-1]) if one in named] for path in paths]
    depths = sorted({depth for path in kept for depth, _ in path}, reverse=True)
    inner = sorted({pair for path in kept for pair in path}, key=lambda pair: (-pair[0], pair[1]))
    at = {synset: len(synsets) + i for i, (_, synset) in enumerate(inner)}
    parent = {low[1]: at[high[1]] for path in kept for high, low in pairwise(path)}
    nodes = [Node(words[path[-1]], 0, at[own[-1][1]] if own else -1) for path, own in zip(paths, kept, strict=True)]
    nodes += [Node(words[one], depths.index(depth) + 1, parent.get(one, -1)) for depth, one in inner]
    return Taxonomy((CLASS, *(f"depth {depth}" for depth in depths)), tuple(nodes))
