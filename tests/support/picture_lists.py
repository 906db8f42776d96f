"""The pictures of a folder once more, as each kind of list that --data takes."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Written = Callable[[Path, Path], str]  # the folder, where to write -> what --data is given


class Entry(NamedTuple):
    path: Path
    label: str
    split: str


def entries(folder: Path) -> list[Entry]:
    """The pictures of DIR/<class>/* or DIR/<split>/<class>/*, in no order that anything depends on."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.parent.parent != folder.parent]
    rows = []
    for path in found:
        split = path.parent.parent.name if path.parent.parent != folder else ""
        rows.append(Entry(path.absolute(), path.parent.name, split))
    return sorted(rows, key=lambda row: row.path.read_bytes()[-40:])


def _columns(rows: list[Entry]) -> dict[str, list[str]]:
    columns = {"path": [str(row.path) for row in rows], "label": [row.label for row in rows]}
    return columns | ({"split": [row.split for row in rows]} if rows[0].split else {})


def as_csv(folder: Path, to: Path) -> str:
    columns = _columns(entries(folder))
    with (to / "list.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return str(to / "list.csv")


def as_parquet(folder: Path, to: Path) -> str:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(_columns(entries(folder))), to / "list.parquet")
    return str(to / "list.parquet")


def as_coco(folder: Path, to: Path) -> str:
    rows = entries(folder)
    names = sorted({row.label for row in rows}, reverse=True)  # numbers that are not the order of the names
    images = [
        {"id": f"i{number}", "file_name": str(row.path), **({"split": row.split} if row.split else {})}
        for number, row in enumerate(rows)
    ]
    annotations = [
        {"id": number, "image_id": f"i{number}", "category_id": 10 + names.index(row.label), "bbox": [0, 0, 1, 1]}
        for number, row in enumerate(rows)
    ]
    categories = [{"id": 10 + number, "name": name} for number, name in enumerate(names)]
    document = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    (to / "list.json").write_text(json.dumps(document))
    return str(to / "list.json")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """One member."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def as_shards(folder: Path, to: Path) -> str:
    """Three shards; labels in .cls, .txt or .json in turn, .json alone where there are splits."""
    rows = entries(folder)
    for shard in range(3):
        with tarfile.open(to / f"{shard:03d}.tar", "w") as tar:
            for number, row in enumerate(rows[shard::3]):
                key = "/".join([*filter(None, [row.split]), row.label, row.path.stem])
                add(tar, f"{key}{row.path.suffix}", row.path.read_bytes())
                if row.split or number % 3 == 0:
                    add(tar, f"{key}.json", json.dumps({"label": row.label, "split": row.split or None}).encode())
                else:
                    add(tar, f"{key}.{('cls', 'txt')[number % 2]}", f"{row.label}\n".encode())
    return f"wds:{to}/{{000..002}}.tar"


def as_hub_parquet(folder: Path, to: Path) -> str:
    """What `push_to_hub` writes: data/<split>-00000-of-00002.parquet with ClassLabel and Image in the metadata."""
    import pyarrow
    from pyarrow import parquet

    rows = entries(folder)
    names = sorted({row.label for row in rows}, reverse=True)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    (to / "data").mkdir()
    for split in sorted({row.split for row in rows}):
        mine = [row for row in rows if row.split == split]
        for half in range(2):
            part = mine[half::2]
            images = [{"bytes": row.path.read_bytes(), "path": row.path.name} for row in part]
            image = pyarrow.array(images, pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}))
            table = pyarrow.table({"image": image, "label": [names.index(row.label) for row in part]})
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
            name = "validation" if split == "val" else split or "plants"
            parquet.write_table(table, to / "data" / f"{name}-{half:05d}-of-00002.parquet", row_group_size=7)
    return f"hf:{to}"


AS_LISTS: dict[str, Written] = {
    "csv": as_csv,
    "parquet": as_parquet,
    "coco": as_coco,
    "shards": as_shards,
    "hf": as_hub_parquet,
}
