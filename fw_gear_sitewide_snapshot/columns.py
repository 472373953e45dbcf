"""The report's columns: their names, their order, and a record as cells and back. Does no I/O.

Text comes back exactly as it went in. A cell that a spreadsheet would run as a formula is written
with a ``'`` before it.
"""

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial

from .models import (
    Project,
    SnapshotContent,
    SnapshotRecord,
    SnapshotStatus,
    is_id,
    one_line,
    whole_seconds,
)


def _content_cell(name: str, record: SnapshotRecord) -> str:
    return str(getattr(record.content, name)) if record.content else ""


_CONTENT_NAMES = tuple(field.name for field in fields(SnapshotContent))
_CELLS: dict[str, Callable[[SnapshotRecord], str]] = {
    "group_label": lambda record: record.project.group,
    "project_label": lambda record: record.project.label,
    "project_id": lambda record: record.project.id,
    "snapshot_id": lambda record: record.snapshot_id,
    "timestamp": lambda record: record.timestamp.isoformat() if record.timestamp else "",
    "batch_label": lambda record: record.batch_label,
    "status": lambda record: str(record.status),
    "error": lambda record: record.error,
    **{name: partial(_content_cell, name) for name in _CONTENT_NAMES},
}
COLUMNS = tuple(_CELLS)
NEEDED_COLUMNS = COLUMNS[:7]
"""Those of version 0.0.4, whose reports are read as well."""

_OLD_STATUS = "snapshotstate."  # as some reports of version 0.0.4 write it
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COUNT = re.compile(r"[0-9]{1,18}")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED_FORMULA = re.compile(r"'+[=+\-@\t\r]")


class CellError(Exception):
    """A cell holds what it can't."""

    def __init__(self, column: str, cell: str, problem: str) -> None:
        super().__init__(f'column {column}: "{one_line(cell, limit=60)}": {problem}')


def cells_of(record: SnapshotRecord) -> list[str]:
    """The record's cells in the order of COLUMNS, as they are written."""
    return [_guarded(cell(record)) for cell in _CELLS.values()]


def record_of(written: dict[str, str]) -> SnapshotRecord:
    """The record that cells stand for, as a person or a spreadsheet may have left them.

    Args:
        written: Cells by column name; a column that is not needed may be missing.

    Raises:
        CellError: One of them can't be what it is.
    """
    cells = {name: _plain(cell) for name, cell in written.items()}
    project_id = _identifier(cells, "project_id")
    snapshot_id = _identifier(cells, "snapshot_id") if cells["snapshot_id"].strip() else ""
    timestamp = _timestamp(cells["timestamp"].strip())
    return SnapshotRecord(
        Project(project_id, cells["project_label"], cells["group_label"]),
        snapshot_id,
        timestamp,
        cells["batch_label"],
        _status(cells["status"], snapshot_id, timestamp),
        cells.get("error", ""),
        _content({name: cells.get(name, "").strip() for name in _CONTENT_NAMES}),
    )


def _identifier(cells: dict[str, str], name: str) -> str:
    identifier = cells[name].strip().lower()
    if is_id(identifier):
        return identifier
    raise CellError(name, cells[name], "expected an id of 24 hex digits")


def _status(cell: str, snapshot_id: str, timestamp: datetime | None) -> str:
    word = one_line(cell)
    if word.lower().startswith(_OLD_STATUS):
        word = word[len(_OLD_STATUS) :]
    known = word.lower() in set(SnapshotStatus)
    if not word or not (known or snapshot_id):
        expected = f"expected {SnapshotStatus.FAILED} or {SnapshotStatus.PLANNED}"
        lacking = "" if snapshot_id else "in a row without a snapshot id, "
        raise CellError("status", cell, lacking + expected)
    status = word.lower() if known else word  # a word of the site's own stays as it is
    if status == SnapshotStatus.COMPLETE and not snapshot_id:
        raise CellError("snapshot_id", "", "a complete row needs its snapshot id")
    running = status in {SnapshotStatus.PENDING, SnapshotStatus.IN_PROGRESS}
    if running and not snapshot_id and timestamp is None:
        problem = (
            f"a row that is {status} and has no snapshot id needs the time since when to look for "
            f"one; or set its status to {SnapshotStatus.PLANNED}"
        )
        raise CellError("timestamp", "", problem)
    return status


def _timestamp(cell: str) -> datetime | None:
    if not cell:
        return None
    try:
        moment = datetime.fromisoformat(cell)
        return whole_seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        expected = "expected a time such as 2026-01-31T12:00:00+00:00"
        raise CellError("timestamp", cell, expected) from None


def _content(found: dict[str, str]) -> SnapshotContent | None:
    """What an earlier run has found in the snapshot: all of it, or nothing."""
    if not any(found.values()):
        return None
    for name, cell in found.items():
        if not (_SHA256 if name == "sha256" else _COUNT).fullmatch(cell):
            expected = "64 hex digits" if name == "sha256" else "a whole number"
            raise CellError(name, cell, f"expected {expected}, or nothing in all of these columns")
    sha256 = found.pop("sha256")
    return SnapshotContent(sha256=sha256, **{name: int(cell) for name, cell in found.items()})


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    """The cell as it was before ``_guarded``."""
    return cell[1:] if _GUARDED_FORMULA.match(cell) else cell
