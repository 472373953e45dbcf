"""What a snapshot holds: a gzip-compressed SQLite file with a project's hierarchy.

The tables are `project subject session acquisition file analysis`, each with an `id` and, second,
`data`: a JSON document, as fw-dataset's loader reads them: `deleted` and `replaced` are true or
false in every row (where some are null or dates, it takes them for the opposite). A row of `file`
is a version of a file. Each image has an old version, each acquisition a deleted file, each project
a deleted subject, with all that was in it. The same project gives the same bytes every time.
Nothing here knows requests or faults.
"""

import gzip
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .population import Project
from .protocol import iso_time

TABLES = ("project", "subject", "session", "acquisition", "file", "analysis")

_CHUNK_BYTES = 1 << 20
_DAY_SECONDS = 86_400
_MIMETYPES = {
    "nifti": "application/octet-stream",
    "pdf": "application/pdf",
    "html": "text/html",
    "text": "text/plain",
}


@dataclass(frozen=True)
class Counts:
    """How many of each a person would count in a snapshot: nothing deleted, and no old versions."""

    subjects: int
    sessions: int
    acquisitions: int
    files: int


def counts(subjects: int, sessions_per_subject: int, size: int = 0) -> Counts:
    """Tell what a project's snapshot holds; the size is that of a large one, in bytes."""
    sessions = subjects * sessions_per_subject
    # One of the project, one of each subject; in a session its own, an image, an analysis' output.
    files = 1 + subjects + 3 * sessions + size // _CHUNK_BYTES
    return Counts(subjects, sessions, sessions, files)


def snapshot_database(
    project: Project | None,
    *,
    tables: tuple[str, ...] = TABLES,
    project_rows: tuple[dict[str, Any], ...] | None = None,
) -> bytes:
    """Build a snapshot's SQLite file in memory.

    Args:
        project: the project; None (a snapshot of a project that never was) leaves all tables empty.
        tables: which tables to make.
        project_rows: other rows for the table `project` than the project's own document.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        _fill(database, project, tables, project_rows)
        return database.serialize()


def compress(database: bytes) -> bytes:
    """Compress a file as the Snapshot service does: one gzip member, no name, no time."""
    return gzip.compress(database, compresslevel=6, mtime=0)


def write_large_snapshot(project: Project, size: int, path: Path, *, compressed: bool) -> None:
    """Write a valid snapshot of any size to a file, a chunk at a time.

    Args:
        project: whose snapshot it is.
        size: bytes of the SQLite file, to within a few pages; never less than the project needs.
        path: the gzip file to write. A file beside it is used meanwhile.
        compressed: squeeze the padding, so that the file is about a thousandth of what it unpacks
            to; else the gzip file is about as large as the SQLite file.
    """
    plain = path.with_suffix(".sqlite")
    with closing(sqlite3.connect(plain)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        _fill(database, project, TABLES, None)
        rows = _Rows(project, "f")
        for number in range(size // _CHUNK_BYTES):
            row = rows.file(f"padding-{number}.txt", "text", "project", rows.parents)
            row["info"] = {"padding": "x" * (_CHUNK_BYTES - len(json.dumps(row)) - 100)}
            _insert(database, "file", row)
        database.commit()
    compressor = zlib.compressobj(1 if compressed else 0, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    with plain.open("rb") as source, path.open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            target.write(compressor.compress(chunk))
        target.write(compressor.flush())
    plain.unlink()


def _fill(
    database: sqlite3.Connection,
    project: Project | None,
    tables: tuple[str, ...],
    project_rows: tuple[dict[str, Any], ...] | None,
) -> None:
    for table in tables:
        database.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, data TEXT)")
    if project is None:
        return
    whole = {**project.document, "notes": [], "deleted": False}
    for row in (whole,) if project_rows is None else project_rows:
        _insert(database, "project", row)
    for table, row in _hierarchy(project):
        if table in tables:
            _insert(database, table, row)
    database.commit()


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    values = (row.get("uuid", row["_id"]), json.dumps(row, ensure_ascii=False))
    database.execute(f"INSERT INTO {table} VALUES (?, ?)", values)  # noqa: S608 - our own names


def _hierarchy(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every container and file below a project, with the table that it belongs to."""
    rows = _Rows(project)
    yield "file", rows.file("protocol.pdf", "pdf", "project", rows.parents)
    for number in range(1, project.subjects + 1):
        yield from _subject(rows, number, project.sessions_per_subject)
    for table, row in _subject(rows, project.subjects + 1, 1):
        yield table, {**row, "deleted": True}


def _subject(rows: "_Rows", number: int, sessions: int) -> Iterator[tuple[str, dict[str, Any]]]:
    label = f"sub-{number:03d}"
    subject = rows.container(label, rows.parents, code=label, sex="female", type="human")
    yield "subject", subject
    of_subject = {**rows.parents, "subject": subject["_id"]}
    yield "file", rows.file("consent.pdf", "pdf", "subject", of_subject)
    for session_number in range(1, sessions + 1):
        session = rows.container(f"ses-{session_number:02d}", of_subject, timestamp=rows.created)
        yield "session", session
        of_session = {**of_subject, "session": session["_id"]}
        yield "file", rows.file("notes.txt", "text", "session", of_session)
        yield from _acquisition(rows, of_session)
        parent = {"type": "session", "id": session["_id"]}
        analysis = rows.container("Volumes", of_session, parent=parent, job=rows.identifier())
        yield "analysis", analysis
        of_analysis = {**of_session, "analysis": analysis["_id"]}
        yield "file", rows.file("volumes.html", "html", "analysis", of_analysis)


def _acquisition(rows: "_Rows", parents: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    acquisition = rows.container("acq-01", parents, timestamp=rows.created)
    yield "acquisition", acquisition
    parents = {**parents, "acquisition": acquisition["_id"]}
    image = rows.file("image-01.nii.gz", "nifti", "acquisition", parents)
    yield "file", {**image, "replaced": True}
    newer = {"_id": {**image["_id"], "version": 2}, "uuid": rows.identifier(), "size": 2048}
    yield "file", {**image, **newer, "modified": rows.changed}
    scout = rows.file("scout.nii.gz", "nifti", "acquisition", parents)
    yield "file", {**scout, "deleted": True}


class _Rows:
    """Makes documents of what is below a project; their ids count up."""

    def __init__(self, project: Project, prefix: str = "0") -> None:
        self.parents = {"group": project.group, "project": str(project.id)}
        self.created = iso_time(project.created)
        self.changed = iso_time(project.created + _DAY_SECONDS)
        self._prefix = prefix
        self._count = 0

    def identifier(self) -> str:
        self._count += 1
        project_id = self.parents["project"]
        return f"{project_id[:8]}{self._prefix}{self._count:07x}{project_id[16:]}"

    def container(self, label: str, parents: dict[str, str], **more: object) -> dict[str, Any]:
        own = {"_id": self.identifier(), "label": label, "parents": dict(parents)}
        return {**own, **self._common(), **more}

    def file(self, name: str, kind: str, level: str, parents: dict[str, str]) -> dict[str, Any]:
        identifier = self.identifier()
        return {
            "_id": {"file_id": identifier, "version": 1},
            "uuid": self.identifier(),
            "name": name,
            "type": kind,
            "mimetype": _MIMETYPES[kind],
            "size": 1024,
            "hash": hashlib.sha384(identifier.encode()).hexdigest(),
            "parents": dict(parents),
            "parent_ref": {"type": level, "id": parents[level]},
            "origin": {"type": "user", "id": "someone@example.org"},
            "replaced": False,
            **self._common(),
        }

    def _common(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "modified": self.created,
            "deleted": False,
            "tags": [],
            "notes": [],
            "info": {},
        }
