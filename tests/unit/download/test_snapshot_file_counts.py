"""What a snapshot holds is counted as a person would, whatever shape its rows have."""

import gzip
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fw_gear_sitewide_snapshot.download.disk_space import DiskSpace, NoRoomError, Reservation
from fw_gear_sitewide_snapshot.download.snapshot_file import TABLES, SnapshotFileError, check
from fw_gear_sitewide_snapshot.models import SnapshotContent
from tests.support.repository import ROOT
from tests.support.time import FakeClock

PROJECT = "0123456789abcdef01234567"
DATE = "2026-01-31T12:00:00.000+00:00"

A, B = "a" * 24, "b" * 24


def packed(path: Path, encoding: str = "UTF-8", **tables: list[Any]) -> Path:
    """Write a snapshot with these documents in its tables; text and bytes go in as they are."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute(f"PRAGMA encoding = '{encoding}'")
        rows = {"project": [{"_id": PROJECT}], **tables}
        for table in TABLES:
            made.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, data)")
            for row in rows.get(table, []):
                data = json.dumps(row) if isinstance(row, dict) else row
                made.execute(f"INSERT INTO {table} (data) VALUES (?)", (data,))
        made.commit()
        path.write_bytes(gzip.compress(made.serialize(), compresslevel=1))
    return path


def checked(path: Path, free: int = 1 << 40) -> SnapshotContent:
    reservation = Reservation(DiskSpace(path.parent, lambda _: free))
    try:
        return check(path, PROJECT, reservation, FakeClock())
    finally:
        assert list(path.parent.iterdir()) == [path]


def files(folder: Path, *rows: Any) -> int:
    return checked(packed(folder / "snapshot.gz", file=list(rows))).files


def version(file_id: object, number: object, **values: object) -> dict[str, Any]:
    return {"_id": {"file_id": file_id, "version": number}, **values}


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([version(A, 1), version(A, 2), version(A, 3)], 1),
        ([version(A, 1), version(B, 1)], 2),
        ([version(A, 1, replaced=DATE), version(A, 2)], 1),
        ([version(A, 2), version(A, 1, replaced=DATE)], 1),
        ([version(A, 1, deleted=DATE)], 0),
        ([version(A, 1), version(A, 2, deleted=DATE)], 0),
        ([version(A, 10, deleted=DATE), version(A, 9)], 0),
        ([version(A, 1, deleted=DATE), version(A, 2, deleted=None)], 1),
        ([version(A, 1, replaced=True)], 0),
        ([version(A, 1, deleted=True)], 0),
        ([version(A, 1, deleted={"$date": DATE})], 0),
        ([version(A, 1, deleted=False, replaced=None)], 1),
        ([version(A, 1, deleted="", replaced=0)], 1),
    ],
    ids=[
        "versions of one file", "two files", "replaced by a newer one", "in any order", "deleted",
        "the newest deleted", "newest by its number", "there again", "replaced", "deleted: true",
        "deleted: extended JSON", "neither: false and null", "neither: empty and 0",
    ],
)  # fmt: skip
def test_a_file_counts_once_if_its_newest_version_is_current(
    tmp_path: Path, rows: list[dict[str, Any]], count: int
) -> None:
    assert files(tmp_path, *rows) == count


@pytest.mark.parametrize(
    "rows",
    [
        [{"_id": A}, {"_id": B}, {"_id": "c" * 24, "deleted": DATE}],
        [{"_id": {"$oid": A}}, {"_id": {"$oid": B}}, {"_id": {"$oid": B}, "replaced": DATE}],
        [version({"$oid": A}, {"$numberInt": "9"}),
         version({"$oid": A}, {"$numberLong": "10"}), version({"$oid": B}, 1)],
        [version(A, "9", deleted=DATE), version(A, "10"), version(B, "1")],
        [{"_id": "1", "file_id": A, "version": 1}, {"_id": "2", "file_id": A, "version": 2},
         {"_id": "3", "file_id": B, "version": 1}],
        [version(A, 1), version(A.upper(), 2), version(B, None)],
        [json.dumps(version(A, 1)).encode(), json.dumps(version(A, 2)), version(B, 1)],
    ],
    ids=[
        "plain ids", "extended JSON", "extended JSON in an object", "numbers as text",
        "the file's id beside the row's", "capitals", "bytes and text",
    ],
)  # fmt: skip
def test_rows_of_every_shape_are_told_apart_by_their_files(tmp_path: Path, rows: list[Any]) -> None:
    assert files(tmp_path, *rows) == 2


@pytest.mark.parametrize(
    "row",
    [None, "", "\0", b"\xff\xfe", b"\x8cabcd", 7, 1.5, "null", "[]", '"text"', "{", "[" * 5000,
     '{"name": "x"}', '{"_id": null}'],
)  # fmt: skip
def test_a_row_that_is_no_document_counts_as_one(tmp_path: Path, row: object) -> None:
    assert files(tmp_path, row, row, version(B, 1), version(B, 2)) == 3


def test_containers_count_once_unless_they_are_deleted(tmp_path: Path) -> None:
    rows = [{"_id": A}, {"_id": A}, {"_id": B, "deleted": DATE}, {"_id": "c" * 24, "deleted": None}]
    path = packed(tmp_path / "gz", subject=rows, session=rows[:2], acquisition=rows[1:3])

    content = checked(path)

    counts = (content.subjects, content.sessions, content.acquisitions, content.files)
    assert counts == (2, 1, 1, 0)


def test_a_database_of_another_encoding_is_counted_the_same(tmp_path: Path) -> None:
    rows = [version(A, 1), version(A, 2), version(B, 1)]

    assert checked(packed(tmp_path / "gz", "UTF-16le", file=rows)).files == 2


@pytest.mark.parametrize("table", ["subject", "file"])
def test_a_table_without_its_documents_is_told(tmp_path: Path, table: str) -> None:
    path = packed(tmp_path / "gz")
    with closing(sqlite3.connect(":memory:")) as made:
        made.deserialize(gzip.decompress(path.read_bytes()))
        made.execute(f"ALTER TABLE {table} RENAME COLUMN data TO document")
        made.commit()
        path.write_bytes(gzip.compress(made.serialize()))

    with pytest.raises(SnapshotFileError, match=f"table {table} has no column data"):
        checked(path)


def test_space_to_count_many_rows_is_reserved_before_it_is_used(tmp_path: Path) -> None:
    path = packed(tmp_path / "gz", file=[7] * 20_000)

    with pytest.raises(NoRoomError, match="no room to count what it holds"):
        checked(path, free=(1 << 24) + 1_000_000)
    assert checked(path, free=(1 << 24) + 2_000_000).files == 20_000


MEASURE = """
import sys, threading
from pathlib import Path
from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.download.disk_space import DiskSpace, Reservation
from fw_gear_sitewide_snapshot.download.snapshot_file import check

def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) * 1024

few, many = map(Path, sys.argv[2:])
for path in (few, many):
    space, clock = DiskSpace(path.parent), SystemClock(threading.Event())
    print(check(path, sys.argv[1], Reservation(space), clock).files, peak())
"""


def test_a_hundred_thousand_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("there is no /proc to tell a process's peak")
    paths = [
        packed(tmp_path / f"{rows}.gz", file=[version(f"{n:024x}", 1) for n in range(rows)])
        for rows in (3, 300_000)
    ]

    process = subprocess.run(
        [sys.executable, "-c", MEASURE, PROJECT, *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    (few, before), (many, after) = (map(int, line.split()) for line in process.stdout.splitlines())
    assert (few, many) == (3, 300_000)
    assert after - before < 6 << 20  # the ids' digits alone are 7 MiB
