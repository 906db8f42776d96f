"""A table of pictures, CSV or Parquet: the columns `path`, `label` and, if it has them, `split`, `region`, `month`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgefit_toolkit.data.dataset import Dataset, Seen
from edgefit_toolkit.data.readers import extras
from edgefit_toolkit.data.readers.listing import FileRow, load_file_rows, read_error
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

COLUMNS = ("path", "label", "split", "region", "month")
_HINT = "a manifest has the columns path,label and, where it has them, split, region and month"


def load_manifest(
    path: Path, *, seed: int, cache_dir: Path | None = None, on_progress: Progress | None = None
) -> Dataset:
    """The pictures that a CSV or Parquet file lists, checked and split.

    Raises DataError for a table that is not a manifest, and as `listing.load_file_rows` does.
    """
    read = _read_parquet if path.suffix.casefold() == ".parquet" else _read_csv
    columns, found = read(path)
    unused = [column for column in columns if column not in COLUMNS]
    notes = [f"columns of {plain(path.name)} that were not used: {plain(', '.join(unused))}"] if unused else []
    listed = [
        FileRow(
            _text(row.get("path")), _text(row.get("label")), _text(row.get("split")), f"row {number}",
            Seen(_text(row.get("region")).strip(), _month(row.get("month"), path, number)),
        )
        for number, row in enumerate(found, start=1)
    ]  # fmt: skip
    return load_file_rows(listed, beside=path, seed=seed, notes=notes, cache_dir=cache_dir, on_progress=on_progress)


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


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            columns = list(table.fieldnames or [])
            _require(path, columns)
            rows = list(table)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", "save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise read_error(path, error) from error
    for number, row in enumerate(rows, start=1):
        if None in row:  # where DictReader puts what goes beyond the header
            raise DataError(
                f"row {number} of {path} has more cells than the header's {len(columns)}",
                'put a path or label that holds a comma in double quotes: "roses, red/1.jpg"',
            )
    return columns, rows


def _read_parquet(path: Path) -> tuple[list[str], list[Mapping[str, Any]]]:
    arrow = extras.need("pyarrow", "parquet", "a Parquet manifest")
    parquet = extras.need("pyarrow.parquet", "parquet", "a Parquet manifest")
    try:
        with parquet.ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            _require(path, columns)
            rows = file.read(columns=[column for column in COLUMNS if column in columns]).to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise read_error(path, error) from error
    return columns, rows
