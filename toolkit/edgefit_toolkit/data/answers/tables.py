"""CSV tables that describe the classes: found beside the data or by a flag, read, and their rows numbered."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from edgefit_toolkit.errors import DataError


def table_file(file: str | None, data: str | None, name: str) -> Path | None:
    """The file that a flag names, else the one of that name in the data folder; None when there is neither."""
    if file is not None:
        return Path(file).expanduser()
    beside = Path(data).expanduser() / name if data is not None else None
    return beside if beside is not None and beside.is_file() else None


def read_text(path: Path, what: str, hint: str) -> str:
    """Raises DataError for a file that cannot be read or is not UTF-8; `what` it is stands in the message."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{what} {path} cannot be read: {error.strerror}", hint) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{what} {path} is not UTF-8: {error}", "save it as CSV in UTF-8") from error


def rows_of(text: str, where: str, hint: str) -> list[tuple[int, list[str]]]:
    """(line, stripped cells) of every row with anything in it, header first. Raises DataError for what is no CSV."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"{where} is no CSV table: {error}", hint) from error
    return [(line, row) for line, row in rows if any(row)]
