"""What a download of a snapshot holds, and how it breaks."""

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import BREAKAGES, Breakage, SimulatedSite
from flywheel_site_simulator.content import Counts, counts
from tests.simulator.caller import Caller, Clock

TABLES = {"project", "subject", "session", "acquisition", "file", "analysis"}
CONTAINERS = TABLES - {"file"}


@pytest.fixture
def project(site: SimulatedSite) -> str:
    return site.add_project("neuro", "Frühgeborene", subjects=3, sessions_per_subject=2)


@contextmanager
def opened(database: bytes) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(database)
        yield connection


def fetch(caller: Caller, project: str) -> bytes:
    response = caller.download(project, caller.start(project))
    assert response.status == 200
    return response.content


def broken(caller: Caller, project: str, how: Breakage) -> bytes:
    caller.site.break_download(project, how)
    return fetch(caller, project)


def documents(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    return [json.loads(row[1]) for row in database.execute(f"SELECT * FROM {table}")]


def test_a_snapshot_is_a_gzipped_sqlite_file_of_the_project(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(fetch(caller, project))) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in names} == TABLES
        ((identifier, data),) = database.execute("SELECT * FROM project")
        column = database.execute("SELECT * FROM file").description[1][0]
        files = documents(database, "file")
    assert (identifier, column) == (project, "data")
    document = json.loads(data)
    assert (document["_id"], document["label"], document["group"]) == (
        project,
        "Frühgeborene",
        "neuro",
    )
    assert {file["parents"]["project"] for file in files} == {project}


def test_what_a_person_counts_is_told_and_is_less_than_the_rows(
    caller: Caller, project: str
) -> None:
    with opened(gzip.decompress(fetch(caller, project))) as database:
        rows = {table: documents(database, table) for table in TABLES}
    there = {
        table: [row for row in found if not row["deleted"] and not row.get("replaced")]
        for table, found in rows.items()
    }
    told = counts(3, 2)
    assert (len(there["subject"]), len(there["session"])) == (told.subjects, told.sessions)
    assert (len(there["acquisition"]), len(there["file"])) == (told.acquisitions, told.files)
    assert told == Counts(subjects=3, sessions=6, acquisitions=6, files=22)
    assert all(len(rows[table]) > len(there[table]) for table in TABLES - {"project"})


def test_a_row_of_file_is_a_version_of_a_file(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(fetch(caller, project))) as database:
        files = documents(database, "file")
    images = [file for file in files if file["name"] == "image-01.nii.gz"]
    first, second = images[:2]
    assert first["_id"]["file_id"] == second["_id"]["file_id"]
    assert [file["_id"]["version"] for file in (first, second)] == [1, 2]
    assert [file["replaced"] for file in (first, second)] == [True, False]
    assert len({file["uuid"] for file in files}) == len(files)


def test_every_level_has_files_that_say_whose_they_are(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(fetch(caller, project))) as database:
        ids = {table: {row["_id"] for row in documents(database, table)} for table in CONTAINERS}
        files = documents(database, "file")
    assert {file["parent_ref"]["type"] for file in files} == CONTAINERS
    for file in files:
        assert file["parent_ref"]["id"] in ids[file["parent_ref"]["type"]]
        assert all(file["parents"][level] in ids[level] for level in file["parents"].keys() & ids)


def test_a_snapshot_is_the_same_bytes_every_time(caller: Caller, project: str) -> None:
    snapshot = caller.start(project)
    first = caller.download(project, snapshot).content
    for _ in range(20):
        fetch(caller, project)
    assert caller.download(project, snapshot).content == first


def test_a_snapshot_outlives_its_project(caller: Caller, project: str) -> None:
    snapshot = caller.start(project)
    caller.site.remove_project(project)
    with opened(gzip.decompress(caller.download(project, snapshot).content)) as database:
        assert database.execute("SELECT id FROM project").fetchall() == [(project,)]


def test_a_snapshot_of_a_project_that_never_was_is_empty(caller: Caller) -> None:
    with opened(gzip.decompress(fetch(caller, "0123456789abcdef01234567"))) as database:
        assert database.execute("SELECT * FROM project").fetchall() == []


def test_only_a_complete_snapshot_can_be_downloaded(clock: Clock) -> None:
    site = SimulatedSite(clock, build_seconds=(10.0, 10.0))
    caller, project = Caller(site), site.add_project()
    site.outcome(project, "complete", "failed")
    complete, failed = caller.start(project), caller.start(project)
    assert caller.download(project, complete).status == 409
    clock.advance(10)
    assert caller.download(project, complete).status == 200
    assert caller.download(project, failed).status == 409


def test_content_encoding_is_told_when_the_site_is_of_that_kind(
    caller: Caller, project: str
) -> None:
    snapshot = caller.start(project)
    assert "Content-Encoding" not in caller.download(project, snapshot).headers
    caller.site.behaviour.content_encoding = True
    assert caller.download(project, snapshot).headers["Content-Encoding"] == "gzip"


def test_a_truncated_download_is_cut_on_its_way(caller: Caller, project: str) -> None:
    caller.site.break_download(project, "truncated")
    assert caller.download(project, caller.start(project)).broken == "truncated"


def test_a_hanging_download_gives_nothing(caller: Caller, project: str) -> None:
    caller.site.break_download(project, "hang")
    assert caller.download(project, caller.start(project)).broken == "hang"


def test_a_download_may_fail_outright(caller: Caller, project: str) -> None:
    caller.site.break_download(project, "500")
    assert caller.download(project, caller.start(project)).status == 500


def test_a_download_may_not_be_there_at_first(caller: Caller, project: str) -> None:
    caller.site.break_download(project, "404", times=2)
    snapshot = caller.start(project)
    assert [caller.download(project, snapshot).status for _ in range(3)] == [404, 404, 200]


def test_a_whole_file_may_be_padded_with_nul_bytes(caller: Caller, project: str) -> None:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    with opened(stream.decompress(broken(caller, project, "nul padding"))) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert stream.unused_data
    assert not stream.unused_data.strip(b"\0")


def test_a_short_gzip_ends_before_its_end(caller: Caller, project: str) -> None:
    with pytest.raises(EOFError):
        gzip.decompress(broken(caller, project, "short gzip"))


def test_a_bad_crc_is_noticed_at_the_end_only(caller: Caller, project: str) -> None:
    data = broken(caller, project, "bad crc")
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(data)
    assert zlib.decompress(data[10:-8], -zlib.MAX_WBITS).startswith(b"SQLite format 3")


def test_trailing_garbage_follows_a_whole_gzip_member(caller: Caller, project: str) -> None:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    database = stream.decompress(broken(caller, project, "trailing garbage"))
    assert stream.eof
    assert stream.unused_data.strip(b"\x00")
    with opened(database) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_what_is_not_sqlite_is_whole_gzip_all_the_same(caller: Caller, project: str) -> None:
    database = gzip.decompress(broken(caller, project, "not sqlite"))
    assert not database.startswith(b"SQLite format 3")


def test_a_corrupt_sqlite_file_fails_its_check(caller: Caller, project: str) -> None:
    database = gzip.decompress(broken(caller, project, "corrupt sqlite"))
    assert database.startswith(b"SQLite format 3")
    try:
        with opened(database) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()
    except sqlite3.DatabaseError:
        verdict = None
    assert verdict != ("ok",)


def test_a_table_may_be_missing(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(broken(caller, project, "missing table"))) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in names} == TABLES - {"session"}


def test_the_project_may_be_another_one(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(broken(caller, project, "other project"))) as database:
        ((identifier,),) = database.execute("SELECT id FROM project")
    assert identifier != project


def test_the_project_may_be_missing(caller: Caller, project: str) -> None:
    with opened(gzip.decompress(broken(caller, project, "no project row"))) as database:
        assert database.execute("SELECT * FROM project").fetchall() == []
        assert len(database.execute("SELECT * FROM subject").fetchall()) == 4


@pytest.mark.parametrize("how", [how for how in BREAKAGES if how not in ("500", "hang")])
def test_a_breakage_wears_off_after_its_times(caller: Caller, project: str, how: Breakage) -> None:
    snapshot = caller.start(project)
    whole = caller.download(project, snapshot)
    caller.site.break_download(project, how, times=2)
    for _ in range(2):
        response = caller.download(project, snapshot)
        assert (response.content, response.broken) != (whole.content, whole.broken)
    assert caller.download(project, snapshot).content == whole.content


def test_a_breakage_hits_its_project_only(caller: Caller, project: str) -> None:
    caller.site.break_download(project, "not sqlite")
    gzip.decompress(fetch(caller, caller.site.add_project())).startswith(b"SQLite format 3")


def test_there_are_no_other_breakages(site: SimulatedSite, project: str) -> None:
    with pytest.raises(ValueError, match="choose one of truncated"):
        site.break_download(project, "on fire")  # type: ignore[arg-type]


@pytest.mark.parametrize("compressed", [True, False])
def test_a_download_may_be_large_and_is_then_a_file(
    caller: Caller, project: str, compressed: bool
) -> None:
    size = 5 << 20
    caller.site.download_size(project, size, compressed=compressed)
    response = caller.download(project, caller.start(project))
    assert isinstance(response.body, Path)
    sent = response.body.stat().st_size
    assert sent < size // 100 if compressed else abs(sent - size) < size // 20
    database = gzip.decompress(response.content)
    assert abs(len(database) - size) < size // 20
    with opened(database) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert connection.execute("SELECT id FROM project").fetchall() == [(project,)]


def test_only_a_projects_downloads_can_be_large(site: SimulatedSite) -> None:
    with pytest.raises(KeyError):
        site.download_size("0123456789abcdef01234567", 1)
