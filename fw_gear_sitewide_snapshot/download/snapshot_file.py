"""Checks a snapshot's file: is it the whole snapshot of the right project?

A gzip file with a SQLite database in it: the tables of ``TABLES``, two columns each, the second
one, ``data``, a JSON document. Nothing of what a snapshot holds gets into an error's text, not even
the words of SQLite, which can name what it found.

It counts what a person would. A row of ``file`` is a *version* of a file, its ``_id`` an object of
``file_id`` and ``version`` (as fw-dataset's loader reads them); rows of all four tables can be
``deleted``, those of ``file`` also ``replaced``. That such rows are really in a snapshot is
inferred. So a file counts once, and only if its newest version is neither; a subject, a session, an
acquisition once, unless it is deleted. A row that is no JSON document, or has no ``_id``, counts as
one: a complete snapshot is not refused for a strange row, unless that is larger than any document
of the site.
"""

import contextlib
import errno
import gzip
import hashlib
import json
import os
import sqlite3
import zlib
from pathlib import Path
from typing import BinaryIO

from ..clock import Clock
from ..models import SnapshotContent
from .disk_space import Reservation

COUNTED = ("subject", "session", "acquisition", "file")
TABLES = ("project", *COUNTED, "analysis")
SQLITE_MAGIC = b"SQLite format 3\0"
GZIP_MAGIC = b"\x1f\x8b"
_MOST_GZIP_CAN_PACK = 1032  # to one: deflate's limit
_CHUNK_BYTES = 1 << 18
_LONGEST_DOCUMENT_BYTES = 1 << 26  # the site's database takes documents of 16 MiB
_COUNTED_ROW_BYTES = 64  # at most, in the file that rows are counted by; measured: 35

# Each id once, with the newest of its versions: twice the version's number, plus one if that is
# current. An odd number so is something to count. Text, because data may be BLOBs, which newer
# SQLite takes for its own binary JSON; json_extract, because SQLite has ``->>`` only since 3.38.
_COLLECT = """
INSERT INTO counting.newest
SELECT
    lower(coalesce(
        json_extract(found, '$[0].file_id."$oid"'), json_extract(found, '$[0].file_id'),
        json_extract(found, '$[0]."$oid"'), json_extract(found, '$[1]'),
        json_extract(found, '$[0]'), hex(randomblob(12))
    )),
    2 * CAST(coalesce(
        json_extract(found, '$[0].version."$numberInt"'),
        json_extract(found, '$[0].version."$numberLong"'),
        json_extract(found, '$[0].version'), json_extract(found, '$[2]'), 0
    ) AS INTEGER) + (
        coalesce(json_extract(found, '$[3]'), 0) IN (0, '')
        AND coalesce(json_extract(found, '$[4]'), 0) IN (0, '')
    )
FROM (
    SELECT CASE WHEN json_valid(document) THEN json_extract(
        document, '$._id', '$.file_id', '$.version', '$.deleted', '$.replaced'
    ) ELSE '[]' END AS found
    FROM (SELECT CAST(data AS TEXT) AS document FROM main.{table})
)
WHERE true
ON CONFLICT (id) DO UPDATE SET rank = max(rank, excluded.rank)
"""


class SnapshotFileError(Exception):
    """The file is not the snapshot that it should be; says why in one line."""


def check(path: Path, project_id: str, reservation: Reservation, clock: Clock) -> SnapshotContent:
    """Verify a snapshot's file, unpacked beside it; memory doesn't grow with the snapshot.

    Raises:
        SnapshotFileError: It is broken, or another project's.
        NoRoomError: There is no room to unpack it.
        OSError: The disk can't be read or written.
        TerminatedError: The run is to end.
    """
    database, counting = path.with_suffix(".unpacked"), path.with_suffix(".counting")
    used = reservation.used
    try:
        with path.open("rb") as packed:
            _unpack(packed, database, reservation, clock)
            packed.seek(0)
            sha256 = hashlib.file_digest(packed, "sha256").hexdigest()
            counts = _inspect(database, project_id, counting, reservation)
            return SnapshotContent(packed.tell(), sha256, *counts)
    finally:
        database.unlink(missing_ok=True)
        counting.unlink(missing_ok=True)
        reservation.used = used


def _unpack(packed: BinaryIO, database: Path, reservation: Reservation, clock: Clock) -> None:
    """Unpack the file and verify its CRCs; gzip takes NULs behind its end for padding."""
    magic = packed.read(len(GZIP_MAGIC))
    if magic != GZIP_MAGIC:
        raise SnapshotFileError("what came is no gzip file" if magic else "what came is empty")
    size = packed.seek(0, 2)
    packed.seek(max(0, size - 4))
    stated = int.from_bytes(packed.read(4), "little")  # the unpacked size modulo 4 GiB
    packed.seek(0)
    is_plausible = size <= stated <= size * _MOST_GZIP_CAN_PACK
    reservation.reserve(stated if is_plausible else size, "to unpack it")
    try:
        with gzip.GzipFile(fileobj=packed) as source, database.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                clock.raise_if_terminated()
                if not target.tell() and not chunk.startswith(SQLITE_MAGIC):
                    raise SnapshotFileError("the gzip file holds no SQLite database")
                reservation.consume(len(chunk), "to unpack it")
                target.write(chunk)
            if not target.tell():
                raise SnapshotFileError("the gzip file holds nothing")
    except EOFError:
        raise SnapshotFileError("the gzip file is cut off before its end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        # The file begins as gzip: "not a gzipped file" is said of what follows its end.
        is_behind = str(error).startswith("Not a gzipped file")
        problem = "has something after its end" if is_behind else "is damaged"
        raise SnapshotFileError(f"the gzip file {problem}") from None


def _inspect(path: Path, project_id: str, counting: Path, reservation: Reservation) -> list[int]:
    """Check the database, and count what is in the tables of COUNTED."""
    # Immutable: SQLite takes no locks and makes no files beside it.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            if database.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise SnapshotFileError("the SQLite database is damaged")
            # A virtual table has no rootpage: reading it would run code.
            found = "SELECT lower(name) FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
            names = {name for (name,) in database.execute(found)}
            if missing := [table for table in TABLES if table not in names]:
                raise SnapshotFileError(f"the snapshot has no table {', '.join(missing)}")
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_DOCUMENT_BYTES)
            for table in ("project", *COUNTED):
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                if "data" not in columns:
                    raise SnapshotFileError(f"the snapshot's table {table} has no column data")
            identifier = None
            for (document,) in database.execute("SELECT CAST(data AS BLOB) FROM project"):
                if not (identifier := _identifier(document)):
                    problem = "the snapshot's project row is no JSON document with an _id"
                    raise SnapshotFileError(problem)
                if identifier != project_id:
                    raise SnapshotFileError("the snapshot is of another project")
            if identifier is None:
                problem = "the snapshot has no project row: was the project there when it was made?"
                raise SnapshotFileError(problem)
            return _count(database, counting, reservation)
    except (sqlite3.Error, UnicodeError) as error:  # names in the schema needn't be UTF-8
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if name == "SQLITE_FULL":  # said of the file that is written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise SnapshotFileError(f"the SQLite database can't be read ({name})") from None


def _count(database: sqlite3.Connection, path: Path, reservation: Reservation) -> list[int]:
    """Count what is current in the tables of COUNTED, by a file that holds each id once."""
    totals = " UNION ALL ".join(f"SELECT count(*) FROM {table}" for table in COUNTED)  # noqa: S608
    most = max(rows for (rows,) in database.execute(totals))
    reservation.reserve(most * _COUNTED_ROW_BYTES, "to count what it holds")
    database.execute("ATTACH ? AS counting", (str(path.absolute()),))
    database.execute("PRAGMA counting.journal_mode = OFF")
    database.execute("PRAGMA counting.synchronous = OFF")
    database.execute("CREATE TABLE counting.newest (id PRIMARY KEY, rank) WITHOUT ROWID")
    counts = []
    for table in COUNTED:
        database.execute("DELETE FROM counting.newest")
        database.execute(_COLLECT.format(table=table))
        count = database.execute("SELECT count(*) FROM counting.newest WHERE rank & 1")
        counts.append(int(count.fetchone()[0]))
    return counts


def _identifier(document: bytes | None) -> str:
    """Read the ``_id`` of a JSON document, also of MongoDB's extended JSON; empty for none."""
    try:
        value = json.loads(document or b"")["_id"]
        return str((value["$oid"] if isinstance(value, dict) else value).lower())
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return ""
