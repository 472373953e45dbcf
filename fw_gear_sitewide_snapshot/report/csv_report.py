"""Writes ``snapshot_report.csv`` with pandas, and reads it with ``csv``.

What is wrong with a report edited by hand has to be told with its line, which pandas doesn't know;
and its guesses turn ids into numbers and the label ``NA`` into nothing.
"""

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from .. import importing
from ..errors import ReportError
from ..models import SnapshotRecord, report_order
from ..parser import RETRY_INPUT
from ..text import one_line, size_text
from .atomic_write import atomic_write
from .columns import COLUMNS, REQUIRED_COLUMNS, CellError, from_row, to_row

REPORT_NAME = "snapshot_report.csv"

_MOST_BYTES = 256 << 20  # of a report that is read: a million rows
_ROWS_AT_A_TIME = 2_000  # so that writing takes no more memory with more projects
_SEPARATORS = ",;\t|"  # a spreadsheet of a country with a decimal comma writes semicolons
_EXPECTED = (
    f"expected a {REPORT_NAME}: CSV in UTF-8, with the columns {', '.join(REQUIRED_COLUMNS)}"
)
_OTHER_FILES: dict[str, tuple[bytes, ...]] = {  # what they seem to be, and how they begin
    "a workbook (or another ZIP archive)": (b"PK\x03\x04",),
    "a workbook": (b"\xd0\xcf\x11\xe0",),
    "text in UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "a page in HTML (or XML)": (b"<",),
    "JSON": (b"{", b"["),
    "a PDF": (b"%PDF",),
    "compressed with gzip": (b"\x1f\x8b",),
}


def write(records: Iterable[SnapshotRecord], folder: Path) -> Path:
    """Write the report to the output folder in one step, and return its path.

    The records may come in any order; they are sorted by group, project label, id on the way.

    Raises:
        ConfigError: pandas can't be imported.
        OutputError: The folder can't be written to.
    """
    with importing("pandas"):  # not sooner: 0.4 s, which nothing before the first report needs
        import pandas as pd  # noqa: PLC0415

    ordered = sorted(records, key=report_order)
    path = folder / REPORT_NAME
    with atomic_write(path) as file:
        for first in range(0, max(1, len(ordered)), _ROWS_AT_A_TIME):
            rows = [to_row(record) for record in ordered[first : first + _ROWS_AT_A_TIME]]
            # Before Python 3.13 csv leaves a lone carriage return, which ends the row, unquoted.
            lone_return = any("\r" in "".join(row) for row in rows)
            quoting: Literal[0, 1] = csv.QUOTE_ALL if lone_return else csv.QUOTE_MINIMAL
            pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).to_csv(
                file, index=False, header=not first, quoting=quoting, lineterminator="\n"
            )
    return path


def read(path: Path, input_name: str = RETRY_INPUT) -> list[SnapshotRecord]:
    """Read a report: of this gear, of version 0.0.4, or what a spreadsheet has made of one.

    Several reports in one file, each with its own header, are read as one. It is in UTF-8, with or
    without a byte order mark. Returns one record a project, in the file's order.

    Raises:
        ReportError: It is no such report; names the input, the line and the column, and says what
            was expected.
    """
    try:
        return _records(path)
    except ReportError as error:
        raise ReportError(f'input "{input_name}": {error}') from None


def _records(path: Path) -> list[SnapshotRecord]:
    found: dict[str, tuple[int, SnapshotRecord]] = {}
    for line, cells in _rows(path, _text(path)):
        try:
            record = from_row(cells)
            first, known = found.setdefault(record.project.id, (line, record))
            if known != record:
                problem = f"the project of line {first} again, with other values; remove one"
                raise CellError("project_id", record.project.id, problem)
        except CellError as error:
            raise _wrong(path, line, str(error)) from None
    if not found:
        raise _wrong(path, 1, "there are no rows: it names no project")
    return [record for _, record in found.values()]


def _text(path: Path) -> str:
    """Read the file; bytes that are not UTF-8 are kept, and refused later by line and column."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(path, 1, f"the file is larger than {size_text(_MOST_BYTES)}; {_EXPECTED}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReportError(f'"{one_line(str(path))}" can\'t be read: {reason}') from None
    begins = data.removeprefix(codecs.BOM_UTF8).lstrip()
    if not begins:
        raise _wrong(path, 1, "the file is empty")
    kinds = [kind for kind, starts in _OTHER_FILES.items() if begins.startswith(starts)]
    if data[:2].count(0) == 1:
        kinds = ["text in UTF-16"]  # without a byte order mark: every other byte is zero
    if kinds:
        raise _wrong(path, 1, f"this seems to be {kinds[0]}; {_EXPECTED}")
    return data.decode("utf-8-sig", "surrogateescape")


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row that is not blank with the line it begins on, as cells by column name."""
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    separator = max(_SEPARATORS, key=header.count)
    csv.field_size_limit(sys.maxsize)  # a label may have any length
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            # The row read as a header; each of several reports may begin with a byte order mark.
            found = [cell.strip('\ufeff" \t').lower() for cell in cells]
            if not any(cell.strip() for cell in cells):
                pass
            elif not names or set(REQUIRED_COLUMNS) <= set(found):
                names = found
                problems = [f"no column {name}" for name in REQUIRED_COLUMNS if name not in names]
                problems += [f"two columns {name}" for name in COLUMNS if names.count(name) > 1]
                if problems:
                    raise _wrong(path, line, f"{problems[0]}; {_EXPECTED}")
            elif any(cells[len(names) :]):
                problem = f"{len(cells)} cells, but {len(names)} columns; is a comma unquoted?"
                raise _wrong(path, line, problem)
            else:
                padded = cells + [""] * (len(names) - len(cells))
                yield line, dict(zip(names, padded, strict=False))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _wrong(path, line, f"this is not CSV: {error}") from None


def _wrong(path: Path, line: int, problem: str) -> ReportError:
    return ReportError(f"{one_line(path.name)}, line {line}: {problem}")
