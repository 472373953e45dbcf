"""Turns records into cells of the report and back, and names its columns. Does no I/O.

Text comes back exactly as it went in. What a spreadsheet would run as a formula is written with a
``'`` before it: at the start of a cell, and after what might be read as the end of one.
"""

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter

from ..models import Origin, Project, SnapshotContent, SnapshotRecord, SnapshotStatus, whole_seconds
from ..text import is_id, one_line

_CONTENT_NAMES = tuple(field.name for field in fields(SnapshotContent))
_content_values = attrgetter(*_CONTENT_NAMES)
_CELLS: dict[str, Callable[[SnapshotRecord], str]] = {
    "group_label": attrgetter("project.group"),
    "project_label": attrgetter("project.label"),
    "project_id": attrgetter("project.id"),
    "snapshot_id": attrgetter("snapshot_id"),
    "timestamp": lambda record: record.timestamp.isoformat() if record.timestamp else "",
    "batch_label": attrgetter("batch_label"),
    "status": lambda record: str(record.status),
    "error": attrgetter("reason"),
}
_LATER_CELLS: dict[str, Callable[[SnapshotRecord], str]] = {
    "origin": lambda record: str(record.origin),
    "finished_at": lambda record: record.finished_at.isoformat() if record.finished_at else "",
    "copied_to": attrgetter("copied_to"),
}
COLUMNS = (*_CELLS, *_CONTENT_NAMES, *_LATER_CELLS)
REQUIRED_COLUMNS = COLUMNS[:7]  # all that a report of version 0.0.4 has

_TEXTS = ("group_label", "project_label", "batch_label", "status", "error", "copied_to")
_OLD_STATUS = re.compile(r"(?ai)^snapshotstate\.")  # as some reports of version 0.0.4 write it
_NO_ID = {"", "na", "<na>", "nan", "none", "null"}  # as data frames write what is missing
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNT = re.compile(r"([0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})(?:\.0*)?")  # 920, 920.0, 1,234
_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as "surrogateescape" has them

# A cell begins wherever a spreadsheet may split, whichever separator the file was written with; it
# may drop blanks and quotes before a formula.
_SPLIT = re.compile(r"[,;\t\r\n]")
_CELL_START = r"(?<![^,;\t\r\n])"
_FORMULA = r"""(?=(?:[^\S\t\r\n]|['"\0\ufeff])*[=+\-@\t\r＝＋－＠])"""
_UNGUARDED = re.compile(_CELL_START + _FORMULA)
_GUARD = re.compile(f"{_CELL_START}'{_FORMULA}")


class CellError(Exception):
    """Raised for an invalid cell."""

    def __init__(self, column: str, cell: str, problem: str) -> None:
        super().__init__(f'column {column}: "{one_line(cell, limit=60)}": {problem}')


def to_row(record: SnapshotRecord) -> list[str]:
    """Return the record's cells in the order of COLUMNS, as they are written."""
    cells = [cell(record) for cell in _CELLS.values()]
    content = record.content
    cells += map(str, _content_values(content)) if content else [""] * len(_CONTENT_NAMES)
    cells += [cell(record) for cell in _LATER_CELLS.values()]
    return [escape_formula(cell) for cell in cells]


def from_row(row: dict[str, str]) -> SnapshotRecord:
    """Read a record from cells by column name, as a person or a spreadsheet may have left them.

    Raises:
        CellError: One that decides something can't be read.
    """
    cells = {name: unescape_formula(row.get(name, "")) for name in COLUMNS}
    for name in _TEXTS:
        if _UNDECODED.search(cells[name]):
            raise CellError(name, cells[name], "no UTF-8 text; expected the report in UTF-8")
    project_id = _identifier(cells, "project_id")
    has_id = cells["snapshot_id"].strip().lower() not in _NO_ID
    snapshot_id = _identifier(cells, "snapshot_id") if has_id else ""
    timestamp = _timestamp(cells["timestamp"].strip())
    return SnapshotRecord(
        Project(project_id, cells["project_label"], cells["group_label"]),
        snapshot_id,
        timestamp,
        cells["batch_label"],
        _status(cells, snapshot_id, timestamp),
        cells["error"],
        _content({name: cells[name].strip().lower() for name in _CONTENT_NAMES}),
        _origin(cells["origin"], snapshot_id),
        _timestamp(cells["finished_at"].strip()) if snapshot_id else None,
        _address(cells["copied_to"].strip()) if snapshot_id else "",
    )


def _identifier(cells: dict[str, str], name: str) -> str:
    identifier = cells[name].strip().lower()
    if is_id(identifier):
        return identifier
    raise CellError(name, cells[name], "expected an id of 24 hex digits")


def _status(cells: dict[str, str], snapshot_id: str, timestamp: datetime | None) -> str:
    word = _OLD_STATUS.sub("", one_line(cells["status"]))
    known = word.lower() in set(SnapshotStatus)
    if not word or not (known or snapshot_id or cells["timestamp"].strip()):
        expected = f"expected {SnapshotStatus.FAILED} or {SnapshotStatus.PLANNED}"
        lacking = "" if snapshot_id else "in a row without a snapshot id, "
        raise CellError("status", cells["status"], lacking + expected)
    status = word.lower() if known else word  # a word of the site's own stays as it is
    if status == SnapshotStatus.COMPLETE and not snapshot_id:
        raise CellError("snapshot_id", "", "a complete row needs its snapshot id")
    if not (snapshot_id or timestamp or status in {SnapshotStatus.FAILED, SnapshotStatus.PLANNED}):
        problem = (
            f"a row that is {status} and has no snapshot id needs the time since when to look for "
            f"one, such as 2026-01-31T12:00:00+00:00; or set its status to {SnapshotStatus.PLANNED}"
        )
        raise CellError("timestamp", cells["timestamp"], problem)
    return status


def _timestamp(cell: str) -> datetime | None:
    """Read a time; return None if the cell holds none, or year 1, which programs write for none."""
    try:
        moment = datetime.fromisoformat(cell)
        moment = whole_seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None


def _origin(cell: str, snapshot_id: str) -> str:
    """Read where the snapshot is from: reports without the column tell of started ones only."""
    is_reused = cell.strip().lower() == Origin.REUSED
    return (Origin.REUSED if is_reused else Origin.STARTED) if snapshot_id else ""


def _address(cell: str) -> str:
    """Read where a copy is: what is no address, as a data frame writes what is missing, is none."""
    return cell if re.match("[a-z][a-z0-9]*://", cell) else ""


def _content(cells: dict[str, str]) -> SnapshotContent | None:
    """Read what an earlier run has found in the snapshot: all of it, or nothing."""
    sha256 = cells.pop("sha256")
    counts = {name: match[1] for name, cell in cells.items() if (match := _COUNT.fullmatch(cell))}
    if len(counts) < len(cells) or not _SHA256.fullmatch(sha256):
        return None
    numbers = {name: int(count.replace(",", "")) for name, count in counts.items()}
    return SnapshotContent(sha256=sha256, **numbers)


def escape_formula(text: str) -> str:
    """Return the text with a ``'`` before each formula that a spreadsheet might see in it."""
    if not text or (text[0].isalnum() and not _SPLIT.search(text)):  # most cells: this is quicker
        return text
    return _UNGUARDED.sub("'", text)


def unescape_formula(text: str) -> str:
    """Undo ``escape_formula``."""
    return _GUARD.sub("", text)
