"""A snapshot's file: taken if it is whole and the right one, and else one clear line, no more."""

import gzip
import hashlib
import json
import os
import sqlite3
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.download.disk_space import DiskSpace, NoRoomError, Reservation
from fw_gear_sitewide_snapshot.download.snapshot_file import TABLES, SnapshotFileError, check
from fw_gear_sitewide_snapshot.models import SnapshotContent
from tests.support.time import FakeClock

PROJECT = "0123456789abcdef01234567"
SECRET = "Jane Doe 1970-01-01"

Change = Callable[[sqlite3.Connection], object]


def database(*changes: Change, **values: Any) -> bytes:
    """A snapshot's database: a project with two subjects, three sessions and five files."""
    row = {"_id": PROJECT, "label": SECRET} | values
    counts = {"subject": 2, "session": 3, "acquisition": 4, "file": 5}
    with closing(sqlite3.connect(":memory:")) as made:
        for table in TABLES:
            made.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, data TEXT)")
            for number in range(counts.get(table, 0)):
                made.execute(f"INSERT INTO {table} VALUES (?, ?)", (str(number), SECRET * 50))
        made.execute("INSERT INTO project VALUES ('1', ?)", (json.dumps(row),))
        made.commit()
        for change in changes:
            change(made)
            made.commit()
        return made.serialize()


def run(sql: str, *values: object) -> Change:
    return lambda made: made.execute(sql, values)


def project_data(data: object) -> Change:
    return run("UPDATE project SET data = ?", data)


def checked(data: bytes, *, free: int = 1 << 40) -> SnapshotContent:
    """What the check says of a file; it must leave nothing behind, and show nothing of it."""
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"{PROJECT}.gz"
        path.write_bytes(data)
        reservation = Reservation(DiskSpace(path.parent, lambda _: free))
        try:
            return check(path, PROJECT, reservation, clock)
        except SnapshotFileError as error:
            words = str(error)
            assert words
            assert words.isprintable()
            assert not any(word in words for word in SECRET.split())
            raise
        finally:
            assert reservation.used == 0
            assert os.listdir(name) == [path.name]  # noqa: PTH208 - hidden ones too


WHOLE = gzip.compress(database(), mtime=0)


def test_a_whole_snapshot_is_measured_and_counted() -> None:
    sha256 = hashlib.sha256(WHOLE).hexdigest()

    assert checked(WHOLE) == SnapshotContent(len(WHOLE), sha256, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(database(_id={"$oid": PROJECT})),
        gzip.compress(database(_id=PROJECT.upper())),
        gzip.compress(database(project_data(json.dumps({"_id": PROJECT}).encode()))),
        gzip.compress(
            database(
                run("ALTER TABLE session RENAME TO other"),
                run("ALTER TABLE other RENAME TO SESSION"),
            )
        ),
        gzip.compress(database(run("CREATE TABLE avatars (id, data)"))),
        gzip.compress(database(run("ALTER TABLE project ADD COLUMN more"))),
        gzip.compress(database()[:30000]) + gzip.compress(database()[30000:]),
        gzip.compress(database(), compresslevel=0),
        gzip.compress(b"").join([b"", WHOLE]),
        WHOLE + b"\0",
        WHOLE + bytes(1 << 20),
        WHOLE + bytes(512) + gzip.compress(b""),
    ],
    ids=[
        "extended JSON", "capitals", "bytes", "table in capitals", "another table",
        "another column", "two members", "not squeezed", "an empty member first",
        "a NUL behind it", "padded", "another member behind padding",
    ],
)  # fmt: skip
def test_what_another_site_might_send_is_taken_too(data: bytes) -> None:
    assert checked(data).files == 5


def test_a_database_in_wal_mode_is_read_without_files_beside_it() -> None:
    plain = bytearray(database())
    plain[18:20] = b"\x02\x02"  # as a database says that it has a write-ahead log

    assert checked(gzip.compress(plain)).files == 5


BROKEN = {
    "what came is empty": b"",
    "what came is no gzip file": b"<html>It works!</html>",
    "the gzip file is cut off before its end": WHOLE[:-1],
    "the gzip file is damaged": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
    "the gzip file has something after its end": WHOLE + b"garbage",
    "the gzip file holds nothing": gzip.compress(b""),
    "the gzip file holds no SQLite database": gzip.compress(SECRET.encode()),
    "the SQLite database is damaged": gzip.compress(
        database()[:8192] + b"\xff" * (len(database()) - 8192)
    ),
    "the SQLite database can't be read (SQLITE_": gzip.compress(
        database()[:100] + b"\xa5" * (len(database()) - 100)
    ),
    "the snapshot has no table session": gzip.compress(database(run("DROP TABLE session"))),
    "the snapshot has no table project, file": gzip.compress(
        database(run("DROP TABLE file"), run("DROP TABLE project"))
    ),
    "the snapshot has no table analysis": gzip.compress(
        database(run("DROP TABLE analysis"), run("CREATE VIEW analysis AS SELECT * FROM file"))
    ),
    "the snapshot's table project has no column data": gzip.compress(
        database(run("ALTER TABLE project RENAME COLUMN data TO document"))
    ),
    "the snapshot has no project row": gzip.compress(database(run("DELETE FROM project"))),
    "the snapshot is of another project": gzip.compress(database(_id="f" * 24)),
    "the snapshot is of another project ": gzip.compress(
        database(run("INSERT INTO project VALUES ('2', ?)", json.dumps({"_id": "f" * 24})))
    ),
}


@pytest.mark.parametrize("said", BROKEN)
def test_each_way_to_be_wrong_is_said_in_words_of_its_own(said: str) -> None:
    with pytest.raises(SnapshotFileError) as raised:
        checked(BROKEN[said])

    assert str(raised.value).startswith(said.strip())


@pytest.mark.parametrize(
    "data",
    [
        "", "null", "[]", '"text"', "{}", "{", '{"_id": 1}', '{"_id": {"$oid": 1}}', None, 5,
        b"\xff\xfe\xfd", "[" * 100_000, f'{{"_id": {"9" * 5000}}}',
    ],
)  # fmt: skip
def test_a_project_row_that_is_no_document_is_told(data: object) -> None:
    with pytest.raises(SnapshotFileError, match="no JSON document with an _id"):
        checked(gzip.compress(database(project_data(data))))


def test_a_project_row_that_would_not_fit_into_memory_is_not_read() -> None:
    huge = database(run("UPDATE project SET data = zeroblob(70000000)"))

    with pytest.raises(SnapshotFileError, match=r"can't be read \(SQLITE_TOOBIG\)"):
        checked(gzip.compress(huge, compresslevel=1))


def test_a_file_that_unpacks_to_a_thousandfold_fills_no_disk() -> None:
    bomb = gzip.compress(database() + bytes(200 << 20))

    with pytest.raises(NoRoomError, match=r"no room to unpack it: 1\d\d\.\d MiB more"):
        checked(bomb, free=64 << 20)


@pytest.mark.parametrize("magic", [b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08", WHOLE[:10], WHOLE[:18]])
def test_a_file_of_a_few_bytes_is_no_snapshot(magic: bytes) -> None:
    with pytest.raises(SnapshotFileError):
        checked(magic)


@pytest.mark.parametrize("behind", [b"\x1f", b"x", b"\0x", bytes(1000) + b"\x1f"])
def test_one_byte_behind_the_end_is_too_much(behind: bytes) -> None:
    with pytest.raises(SnapshotFileError, match="after its end"):
        checked(WHOLE + behind)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_packed_file_with_any_byte_changed_or_missing_is_not_taken_for_another(
    data: st.DataObject,
) -> None:
    at = data.draw(st.integers(10, len(WHOLE) - 1))  # before: the header, which may say anything
    keep = data.draw(st.booleans())
    byte = bytes([WHOLE[at] ^ data.draw(st.integers(1, 255))]) if keep else b""
    changed = WHOLE[:at] + byte + WHOLE[at + 1 :]
    # Some bits of packed data mean nothing, or the same as before: there is no harm in those.
    try:
        same = gzip.decompress(changed) == gzip.decompress(WHOLE)
    except (OSError, EOFError, zlib.error):
        same = False
    assume(not same)

    with pytest.raises(SnapshotFileError):
        checked(changed)


@given(st.binary(max_size=200), st.sampled_from([b"", WHOLE[:10], WHOLE[:50], WHOLE]))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_taken_or_refused_with_that_one_error(data: bytes, before: bytes) -> None:
    if data.strip(b"\0") or not before.endswith(WHOLE[-8:]):  # NULs behind it are padding
        with pytest.raises(SnapshotFileError):
            checked(before + data)


PLAIN = database()


@given(
    st.lists(
        st.tuples(st.integers(0, len(PLAIN) - 1), st.binary(min_size=1, max_size=40)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, len(PLAIN)),
)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_database_changed_anywhere_is_taken_or_refused_with_that_one_error(
    changes: list[tuple[int, bytes]], length: int
) -> None:
    plain = bytearray(PLAIN)
    for at, changed in changes:
        plain[at : at + len(changed)] = changed
    for data in (plain, PLAIN[:length]):
        try:
            checked(gzip.compress(data, compresslevel=1))
        except SnapshotFileError:
            continue
