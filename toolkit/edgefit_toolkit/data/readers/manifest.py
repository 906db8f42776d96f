"""A table of pictures, CSV or Parquet: the columns `path`, `label` and, if it has them, `split`, `region`, `month`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.readers import extras
from edgefit_toolkit.data.readers.file_list import FileList, load_files
from edgefit_toolkit.data.readers.listing import read_error
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

COLUMNS = ("path", "label", "split", "region", "month")
BATCH_ROWS = 1024  # of a Parquet file, made Python's at once
_HINT = "a manifest has the columns path,label and, where it has them, split, region and month"


def load_manifest(
    path: Path, *, seed: int, cache_dir: Path | None = None, on_progress: Progress | None = None
) -> Dataset:
    """The pictures that a CSV or Parquet file lists, checked and split.

    Raises DataError for a table that is not a manifest, and as `file_list.load_files` does.
    """
    read = _read_parquet if path.suffix.casefold() == ".parquet" else _read_csv
    columns: list[str] = []
    listed = FileList(path)
    for number, row in enumerate(read(path, columns), start=1):
        listed.paths.append(_text(row.get("path")))
        listed.labels.append(_text(row.get("label")))
        listed.splits.append(_text(row.get("split")))
        listed.regions.append(_text(row.get("region")).strip())
        listed.months.append(_month(row.get("month"), path, number))
    unused = [column for column in columns if column not in COLUMNS]
    notes = [f"columns of {plain(path.name)} that were not used: {plain(', '.join(unused))}"] if unused else []
    return load_files(listed, _said, seed=seed, notes=notes, cache_dir=cache_dir, on_progress=on_progress)


def _said(row: int) -> str:
    return f"row {row + 1}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _month(value: Any, path: Path, number: int) -> int:
    text = _text(value).strip().removesuffix(".0")  # whole numbers of a column with gaps
    if not text:
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 12:
        raise DataError(f"row {number} of {path} has the month {text!r}", "1 to 12, or empty where it is not known")
    return int(text)


def _require(path: Path, columns: Iterable[str]) -> None:
    missing = [column for column in ("path", "label") if column not in columns]
    if missing:
        has = plain(", ".join(columns)) or "nothing"
        raise DataError(f"{path} has no column {' and no column '.join(missing)}; it has {has}", _HINT)


def _read_csv(path: Path, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    """Its rows; `columns` gets their names."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            columns += table.fieldnames or []
            _require(path, columns)
            for number, row in enumerate(table, start=1):
                if None in row:  # where DictReader puts what goes beyond the header
                    raise DataError(
                        f"row {number} of {path} has more cells than the header's {len(columns)}",
                        'put a path or label that holds a comma in double quotes: "roses, red/1.jpg"',
                    )
                yield row
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", "save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise read_error(path, error) from error


def _read_parquet(path: Path, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    """The same."""
    arrow = extras.need("pyarrow", "parquet", "a Parquet manifest")
    parquet = extras.need("pyarrow.parquet", "parquet", "a Parquet manifest")
    try:
        with parquet.ParquetFile(path) as file:
            columns += file.schema_arrow.names
            _require(path, columns)
            for batch in file.iter_batches(BATCH_ROWS, columns=[column for column in COLUMNS if column in columns]):
                yield from batch.to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise read_error(path, error) from error
