"""Pictures that lie inside Parquet files, as the Hugging Face hub keeps them.

Parquet packs hundreds of pictures into one compressed group; reading one of them means reading all. So they are
written once, unpacked, into an Arrow file in the cache, which is memory-mapped: any picture can be had by itself and
none stays in memory.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from edgefit_toolkit.data.dataset import SPLIT_WORDS, Candidate, Stamp
from edgefit_toolkit.data.readers import extras
from edgefit_toolkit.data.readers.listing import read_error, split_of
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.files import key_of
from edgefit_toolkit.progress import Progress, plain

BATCH_ROWS = 64  # held in memory while they are unpacked
_IMAGE_COLUMNS = ("image", "img", "picture")  # of plain bytes, where no metadata says which are pictures


@dataclass(frozen=True)
class Unpacked:
    """The rows of a data set in the cache, in the order of its files; of a row, its picture."""

    folder: str  # the data set's, for people
    path: str

    @cached_property
    def columns(self) -> dict[str, Any]:
        """Arrow's, by name, mapped: no other process is sent them."""
        arrow = extras.need("pyarrow", "parquet", "a Parquet file")
        extras.need("pyarrow.ipc", "parquet", "a Parquet file")
        table = arrow.ipc.open_file(arrow.memory_map(self.path)).read_all()
        return {name: table.column(name) for name in table.column_names}

    def __reduce__(self) -> tuple[Any, ...]:
        return Unpacked, (self.folder, self.path)

    def __call__(self, row: int) -> Candidate:
        """The picture of a row."""
        return Candidate(
            name=plain(self.columns["name"][row].as_py()),
            place=plain(f"{self.folder}/{self.said(row)}"),
            opener=RowPicture(self, row),
        )

    def said(self, row: int) -> str:
        """Where it is, for messages."""
        return str(self.columns["said"][row])


@dataclass(frozen=True, slots=True)
class RowPicture:
    """The opener of a picture in the cache."""

    rows: Unpacked
    row: int

    def __call__(self) -> BinaryIO:
        """Its bytes."""
        return io.BytesIO(self.rows.columns["picture"][self.row].as_py())

    def stamp(self) -> Stamp:
        """Its own size, and the time of what it was unpacked to. Raises OSError."""
        size = self.rows.columns["picture"][self.row].as_buffer().size
        return Stamp(f"{self.rows.path}:{self.row}", size, os.stat(self.rows.path).st_mtime_ns)


def files_of(folder: Path, config: str = "") -> list[Path]:
    """The Parquet files below a folder, of one configuration where it holds several. Raises DataError where they are
    several and none is named."""
    by_config: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(folder.rglob("*.parquet")):
        inner = file.relative_to(folder).parts[:-1]
        names = [part for part in inner if part != "data" and part.casefold() not in SPLIT_WORDS]
        by_config["/".join(names)].append(file)
    if config and by_config and config not in by_config:
        raise DataError(f"{folder} has no configuration {config!r}; it has {_listed(by_config)}", "name one of them")
    if not config and len(by_config) > 1:
        raise DataError(f"{folder} has the configurations {_listed(by_config)}", f"name one: hf:{folder}:NAME")
    return by_config[config] if config else [file for files in by_config.values() for file in files]


def _listed(names: Mapping[str, Any]) -> str:
    return plain(", ".join(name or "(top)" for name in names))


def features_of(file: Path) -> dict[str, Any]:
    """The columns as the hub describes them, from the file's own metadata; by their types where it has none."""
    arrow = extras.need("pyarrow", "parquet", "a Parquet file")
    parquet = extras.need("pyarrow.parquet", "parquet", "a Parquet file")
    try:
        schema = parquet.read_schema(file)
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise read_error(file, error) from error
    return {field.name: said.get(field.name) or {"_type": _kind(arrow, field)} for field in schema}


def _kind(arrow: Any, field: Any) -> str:
    types = arrow.types
    if types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type}:
        return "Image"
    binary = types.is_binary(field.type) or types.is_large_binary(field.type)
    return "Image" if binary and field.name in _IMAGE_COLUMNS else "Value"


def read(
    folder: Path,
    files: Sequence[Path],
    image: str,
    label: str,
    split: str | None,
    cache_dir: Path,
    on_progress: Progress | None,
) -> Unpacked:
    """Every row of the files; `image`, `label` and, where there is one, `split` are their columns.

    Unpacks them into the cache where that has not been done since they were last changed. Raises DataError.
    """
    stats = [(file.relative_to(folder).as_posix(), file.stat()) for file in files]
    key = key_of(
        folder=str(folder.resolve()),
        files=[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        columns=[image, label, split],
    )
    unpacked = cache_dir / "data" / f"parquet-{key[:16]}.arrow"
    if not unpacked.is_file():
        _unpack(folder, files, image, label, split, unpacked, on_progress)
    return Unpacked(folder.name, str(unpacked))


def _unpack(
    folder: Path,
    files: Sequence[Path],
    image: str,
    label: str,
    split: str | None,
    to: Path,
    on_progress: Progress | None,
) -> None:
    """Writes the rows of all files as one Arrow file, whole or not at all."""
    arrow = extras.need("pyarrow", "parquet", "a Parquet file")
    parquet = extras.need("pyarrow.parquet", "parquet", "a Parquet file")
    text = arrow.string()
    schema = arrow.schema(
        [("picture", arrow.large_binary()), ("name", text), ("said", text), ("label", text), ("split", text)]
    )
    extras.need("pyarrow.ipc", "parquet", "a Parquet file")
    columns = [image, label, *([split] if split else [])]
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=to.parent) as temporary:
            whole = Path(temporary) / to.name
            with arrow.ipc.new_file(str(whole), schema) as out:
                for done, file in enumerate(files, start=1):
                    inner, number = file.relative_to(folder), 0
                    with _opened(parquet, arrow, file, columns) as source:
                        for batch in source.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                            rows = [
                                _row(cells[image], cells[label], cells[split] if split else split_of(inner), inner, n)
                                for n, cells in enumerate(batch.to_pylist(), start=number)
                            ]
                            number += len(rows)
                            out.write_batch(arrow.RecordBatch.from_pylist(rows, schema=schema))
                    if on_progress is not None:
                        on_progress("unpacking pictures", done, len(files))
            whole.replace(to)
    except (OSError, arrow.ArrowException) as error:
        raise DataError(
            f"cannot unpack the pictures of {folder} to {to}: {plain(str(error))}",
            "restore the Parquet files if they are damaged, or free as much disk space as they take",
        ) from error


def _opened(parquet: Any, arrow: Any, file: Path, columns: Sequence[str]) -> Any:
    source = parquet.ParquetFile(file)
    missing = [column for column in columns if column not in source.schema_arrow.names]
    if missing:
        source.close()
        raise DataError(
            f"{file} has no column {missing[0]}, which the first file has", "keep files of one data set in the folder"
        )
    return source


def _row(picture: Any, label: Any, split: Any, file: Path, number: int) -> dict[str, Any]:
    cell = picture if isinstance(picture, Mapping) else {"bytes": picture, "path": None}
    return {
        "picture": cell["bytes"] or b"",  # an empty picture is named as such by the check
        "name": Path(cell["path"]).name if cell["path"] else f"{file.stem}-{number:07d}",
        "said": f"{file.as_posix()}: row {number + 1}",
        "label": json.dumps(label, default=str),
        "split": split or "",
    }
