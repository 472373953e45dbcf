"""A snapshot's file on this machine: whether it is the whole snapshot of the right project.

A gzip file with a SQLite database in it: the tables of ``TABLES``, two columns each, the second
one, ``data``, a JSON document. Nothing of what a snapshot holds gets into an error's text, not even
the words of SQLite, which can name what it found.
"""

import contextlib
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .clock import Clock
from .models import SnapshotContent
from .room import Claim

TABLES = ("project", "subject", "session", "acquisition", "file", "analysis")
SQLITE_MAGIC = b"SQLite format 3\0"
GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""For zlib: with gzip's header, CRC and length, which it writes, and checks when it reads."""

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_GZIP_CAN_PACK = 1032  # to one: deflate's limit
_CHUNK_BYTES = 1 << 18
_LONGEST_DOCUMENT_BYTES = 1 << 26  # the site's database takes documents of 16 MiB
_NO_GZIP = "what came is no gzip file"
_MORE_THAN_GZIP = "the gzip file has something after its end"


class SnapshotFileError(Exception):
    """The file is not the snapshot that it should be; says why in one line."""


def check(path: Path, project_id: str, *, claim: Claim, clock: Clock) -> SnapshotContent:
    """Look through a snapshot's file, from its first byte to its last.

    It is unpacked into a file beside it, which is removed again whatever happens. Memory doesn't
    grow with the snapshot.

    Args:
        path: The file.
        project_id: The project that it should be of.
        claim: The room to unpack it into.
        clock: Tells when the run is to end.

    Raises:
        SnapshotFileError: It is broken, or another project's.
        NoRoomError: There is no room to unpack it.
        OSError: The disk can't be read or written.
        TerminatedError: The run is to end.
    """
    database = path.with_suffix(".unpacked")
    try:
        size, sha256 = _unpack(path, database, claim, clock)
        counts = _look_into(database, project_id)
    finally:
        database.unlink(missing_ok=True)
        claim.release()
    return SnapshotContent(
        size_bytes=size,
        sha256=sha256,
        subjects=counts["subject"],
        sessions=counts["session"],
        acquisitions=counts["acquisition"],
        files=counts["file"],
    )


def _unpack(path: Path, database: Path, claim: Claim, clock: Clock) -> tuple[int, str]:
    """Unpack the file; returns its size and its SHA-256."""
    checksum = hashlib.sha256()
    size = unpacked = 0
    with path.open("rb") as packed, database.open("wb") as target:
        claim.need(_unpacked_bytes(packed), "to unpack it")
        for chunk in _unpacked(_counted(packed, checksum)):
            clock.sleep(0.0)
            if not unpacked and not chunk.startswith(SQLITE_MAGIC):
                raise SnapshotFileError("the gzip file holds no SQLite database")
            claim.take(len(chunk), "to unpack it")
            target.write(chunk)
            unpacked += len(chunk)
        size = packed.tell()
    if not unpacked:
        raise SnapshotFileError("the gzip file holds nothing")
    return size, checksum.hexdigest()


def _unpacked_bytes(packed: BinaryIO) -> int:
    """What the file says of itself at its end, if it can be believed: modulo 4 GiB."""
    size = packed.seek(0, 2)
    packed.seek(max(0, size - 4))
    told = int.from_bytes(packed.read(4), "little")
    packed.seek(0)
    return told if size <= told <= size * _MOST_GZIP_CAN_PACK else size


def _counted(packed: BinaryIO, checksum: "hashlib._Hash") -> Iterator[bytes]:
    while chunk := packed.read(_CHUNK_BYTES):
        checksum.update(chunk)
        yield chunk


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack one gzip member after the other, in bounded pieces, and hold them to their CRCs."""
    unpacker = None
    data = b""
    for chunk in chunks:
        data += chunk
        while data:
            if unpacker is None or unpacker.eof:
                if len(data) == 1 and data == _GZIP_MAGIC[:1]:
                    break  # the next chunk tells
                if not data.startswith(_GZIP_MAGIC):
                    raise SnapshotFileError(_NO_GZIP if unpacker is None else _MORE_THAN_GZIP)
                unpacker = zlib.decompressobj(GZIP_WINDOW)
            try:
                piece = unpacker.decompress(data, _CHUNK_BYTES)
                while piece:
                    yield piece
                    piece = unpacker.decompress(unpacker.unconsumed_tail, _CHUNK_BYTES)
            except zlib.error:
                raise SnapshotFileError("the gzip file is damaged") from None
            data = unpacker.unused_data
    if unpacker is None:
        raise SnapshotFileError(_NO_GZIP if data else "what came is empty")
    if data:
        raise SnapshotFileError(_MORE_THAN_GZIP)
    if not unpacker.eof:
        raise SnapshotFileError("the gzip file is cut off before its end")


def _look_into(path: Path, project_id: str) -> dict[str, int]:
    """Check the database, and count the rows of each table."""
    # Immutable: SQLite takes no locks and makes no files beside it.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            if database.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise SnapshotFileError("the SQLite database is damaged")
            _check_tables(database)
            _check_project(database, project_id)
            return {
                table: int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names
                for table in TABLES
            }
    except (sqlite3.Error, UnicodeError) as error:  # names in the schema needn't be UTF-8
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise SnapshotFileError(f"the SQLite database can't be read ({name})") from None


def _check_tables(database: sqlite3.Connection) -> None:
    # Without rootpage a table is no rows but a program (a view, a virtual table).
    found = database.execute(
        "SELECT lower(name) FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    )
    names = {name for (name,) in found}
    missing = [table for table in TABLES if table not in names]
    if missing:
        raise SnapshotFileError(f"the snapshot has no table {', '.join(missing)}")


def _check_project(database: sqlite3.Connection, project_id: str) -> None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_DOCUMENT_BYTES)
    columns = [column[1] for column in database.execute("PRAGMA table_info(project)")]
    if "data" not in columns:
        raise SnapshotFileError("the snapshot's table project has no column data")
    rows = 0
    for (document,) in database.execute("SELECT CAST(data AS BLOB) FROM project"):
        rows += 1
        identifier = _identifier(document)
        if not identifier:
            raise SnapshotFileError("the snapshot's project row is no JSON document with an _id")
        if identifier != project_id:
            raise SnapshotFileError("the snapshot is of another project")
    if not rows:
        raise SnapshotFileError(
            "the snapshot has no project row: was the project there when it was made?"
        )


def _identifier(document: bytes | None) -> str:
    """The ``_id`` of a JSON document, also as MongoDB's extended JSON has it; empty for none."""
    try:
        value = json.loads(document or b"")
    except (ValueError, RecursionError):
        return ""
    identifier = value.get("_id") if isinstance(value, dict) else None
    if isinstance(identifier, dict):
        identifier = identifier.get("$oid")
    return identifier.lower() if isinstance(identifier, str) else ""
