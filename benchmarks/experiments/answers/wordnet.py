"""A tree over classes that are synsets of WordNet, from its own files (Debian's package wordnet-base, version 3.0)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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


def tree(
    synsets: Sequence[str], above: Mapping[str, str], words: Mapping[str, str], shares: Sequence[float]
) -> Taxonomy:
    """Classes (`n02085620`, ...) and, for each of the `shares` of all classes, from small to large, a rank: the largest
    hypernym that holds two of them or more, but no more than that share.

    Where a synset has several hypernyms the first one is taken. A name stands at the finest rank that it fits.
    """
    paths = []
    for synset in synsets:
        path = [synset.removeprefix("n")]
        while path[-1] in above:
            path.append(above[path[-1]])
        paths.append(path)
    held = Counter(synset for path in paths for synset in path[1:])
    rank: dict[str, int] = {}
    for path in paths:
        for number, share in enumerate(shares, start=1):
            fitting = [synset for synset in path[1:] if 2 <= held[synset] <= share * len(synsets)]
            if fitting:
                rank[fitting[-1]] = min(number, rank.get(fitting[-1], number))
    inner = sorted(rank, key=lambda synset: (rank[synset], synset))
    at = {synset: len(synsets) + i for i, synset in enumerate(inner)}

    def parent(synset: str) -> int:
        while synset in above:
            synset = above[synset]
            if synset in at:
                return at[synset]
        return -1

    nodes = [Node(words[path[0]], 0, parent(path[0])) for path in paths]
    nodes += [Node(words[synset], rank[synset], parent(synset)) for synset in inner]
    return Taxonomy((CLASS, *(f"up to {share:.0%}" for share in shares)), tuple(nodes))
