"""What a snapshot holds: a gzip-compressed SQLite file with a project's hierarchy.

The tables are `project subject session acquisition file analysis`, each with an `id` and, second,
`data`: a JSON document. The same project gives the same bytes every time. Nothing here knows
requests or faults.
"""

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from .population import Project

TABLES = ("project", "subject", "session", "acquisition", "file", "analysis")

_CHUNK_BYTES = 1 << 20


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
        for number in range(max(0, size // _CHUNK_BYTES)):
            identifier = f"{number:024x}"
            row = {"_id": identifier, "name": f"padding-{number}", "padding": ""}
            row["padding"] = "x" * (_CHUNK_BYTES - len(json.dumps(row)) - 100)
            database.execute("INSERT INTO file VALUES (?, ?)", (identifier, json.dumps(row)))
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
    for row in (project.document,) if project_rows is None else project_rows:
        _insert(database, "project", row)
    for table, row in _hierarchy(project):
        if table in tables:
            _insert(database, table, row)
    database.commit()


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    values = (row["_id"], json.dumps(row, ensure_ascii=False))
    database.execute(f"INSERT INTO {table} VALUES (?, ?)", values)  # noqa: S608 - our own names


def _hierarchy(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every container and file below a project, with the table that it belongs to."""
    count = 0

    def make(table: str, label: str, parents: dict[str, str]) -> tuple[str, dict[str, Any]]:
        nonlocal count
        count += 1
        identifier = f"{project.id[:8]}{count:08x}{project.id[16:]}"
        name = "name" if table == "file" else "label"
        return table, {"_id": identifier, name: label, "parents": dict(parents)}

    parents = {"group": project.group, "project": str(project.id)}
    for subject_number in range(1, project.subjects + 1):
        subject = make("subject", f"sub-{subject_number:03d}", parents)
        yield subject
        below_subject = {**parents, "subject": subject[1]["_id"]}
        for session_number in range(1, project.sessions_per_subject + 1):
            session = make("session", f"ses-{session_number:02d}", below_subject)
            yield session
            below_session = {**below_subject, "session": session[1]["_id"]}
            acquisition = make("acquisition", "acq-01", below_session)
            yield acquisition
            below_acquisition = {**below_session, "acquisition": acquisition[1]["_id"]}
            yield make("file", "image-01.nii.gz", below_acquisition)
