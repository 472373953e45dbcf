"""Copies in an object store: where they are, when one counts as made, what is never replaced."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fw_gear_sitewide_snapshot.errors import StoreError, TerminatedError
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from tests.support.copying import Copying
from tests.support.disk import SmallDisk
from tests.support.downloads import MEBIBYTE, Fetching
from tests.support.object_store import (
    BUCKET,
    BreakingProxy,
    ObjectStoreServer,
    breaking_proxy,
    served_store,
)
from tests.support.repository import ROOT
from tests.support.time import FakeClock


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectStoreServer]:
    with served_store() as server:
        yield server


@pytest.fixture
def server(shared: ObjectStoreServer) -> ObjectStoreServer:
    """An S3 whose bucket is empty."""
    for upload in shared.unfinished_uploads:
        shared.client.abort_multipart_upload(
            Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
        )
    for key in shared.objects:
        shared.client.delete_object(Bucket=BUCKET, Key=key)
    return shared


@pytest.fixture
def proxy(server: ObjectStoreServer) -> Iterator[BreakingProxy]:
    with breaking_proxy(server) as proxy:
        yield proxy


@pytest.fixture
def copying(fetching: Fetching, server: ObjectStoreServer, proxy: BreakingProxy) -> Copying:
    return Copying(fetching, f"s3://{BUCKET}/site a", server.credentials(proxy.endpoint))


def key(record: SnapshotRecord, ending: str = ".db.gz") -> str:
    return f"neuro/{record.project.id}/{record.snapshot_id}{ending}"


# what is copied where


def test_a_snapshot_is_copied_as_it_came_beside_what_says_what_it_is(
    copying: Copying, server: ObjectStoreServer
) -> None:
    copying.fetching.add("Renamed later")

    (after,) = copying.run().values()

    assert after.content
    assert after.error == ""
    assert after.copied_to == f"s3://{BUCKET}/site a/{key(after)}"
    objects = server.objects
    assert set(objects) == {f"site a/{key(after)}", f"site a/{key(after, '.json')}"}
    copy, note = (
        objects[f"site a/{key(after)}"],
        json.loads(objects[f"site a/{key(after, '.json')}"]),
    )
    assert hashlib.sha256(copy).hexdigest() == after.content.sha256 == note["sha256"]
    assert note["size_bytes"] == len(copy)
    assert (note["site"], note["project_label"]) == ("site.example.org", "Renamed later")
    assert (note["subjects"], note["files"]) == (after.content.subjects, after.content.files)


def test_a_folder_gets_the_same(fetching: Fetching, tmp_path: Path) -> None:
    fetching.add()

    (after,) = Copying(fetching, f"file://{tmp_path}/mount", {}).run().values()

    copy = tmp_path / "mount" / key(after)
    assert after.copied_to == f"file://{copy}"
    assert after.content
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == after.content.sha256
    assert sorted(p.name for p in (tmp_path / "mount").rglob("*") if p.is_file()) == [
        f"{after.snapshot_id}.db.gz",
        f"{after.snapshot_id}.json",
    ]


def test_with_an_archive_each_is_fetched_once(copying: Copying) -> None:
    project = copying.fetching.add()

    after = copying.run(is_archived=True)[project]

    assert copying.fetching.asked(project) == 1
    assert after.copied_to
    assert after.content
    assert key(after, "").split("/")[-1] in " ".join(copying.fetching.files)


def test_only_rows_that_have_no_copy_are_copied(copying: Copying) -> None:
    here, there = copying.fetching.add(), copying.fetching.add()
    first = copying.run()
    copying.fetching.add()

    rows = [first[here], replace(first[there], copied_to=""), copying.fetching.records[-1]]
    after = copying.run(rows)

    assert all(row.copied_to for row in after.values())
    assert [copying.fetching.asked(row.project.id) for row in rows] == [1, 1, 1]


def test_what_is_copied_elsewhere_is_copied_here_too(fetching: Fetching, tmp_path: Path) -> None:
    project = fetching.add()
    first = Copying(fetching, f"file://{tmp_path}/a", {}).run()

    after = Copying(fetching, f"file://{tmp_path}/ab", {}).run([first[project]])[project]

    assert after.copied_to == f"file://{tmp_path}/ab/{key(after)}"
    assert (tmp_path / "ab" / key(after)).is_file()


# never overwritten


def test_what_is_there_whole_is_taken_for_done_and_not_even_fetched(
    copying: Copying, proxy: BreakingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    project = copying.fetching.add()
    first = copying.run()[project]
    sent = len(proxy.asked("PUT"))
    caplog.clear()

    again = copying.run()[project]

    assert again == first
    assert "copied before, and whole" in caplog.text
    assert "fetched and checked" not in caplog.text
    assert copying.fetching.asked(project) == 1
    assert len(proxy.asked("PUT")) == sent


def test_a_copy_that_lacks_its_description_gets_it_and_is_not_sent_again(
    copying: Copying, server: ObjectStoreServer, proxy: BreakingProxy
) -> None:
    project = copying.fetching.add()
    first = copying.run()[project]
    server.client.delete_object(Bucket=BUCKET, Key=f"site a/{key(first, '.json')}")

    again = copying.run()[project]

    assert again == first
    assert len(proxy.asked("PUT", ".db.gz")) == 1
    assert f"site a/{key(first, '.json')}" in server.objects


@pytest.mark.parametrize("has_note", [True, False])
def test_another_file_in_its_place_is_that_row_s_error_and_stays(
    copying: Copying, server: ObjectStoreServer, has_note: bool
) -> None:
    bad, good = copying.fetching.add(), copying.fetching.add()
    record = copying.fetching.records[0]
    if has_note:
        copying.run()
    server.put(f"site a/{key(record)}", b"another")

    after = copying.run()

    assert after[bad].error == (
        f"copy failed: there is another file already: s3://{BUCKET}/site a/{key(record)}"
    )
    assert after[bad].copied_to == ""
    assert after[good].copied_to
    assert server.read(f"site a/{key(record)}") == b"another"


def test_an_upload_that_the_run_s_end_breaks_off_is_aborted(
    copying: Copying, server: ObjectStoreServer, tmp_path: Path
) -> None:
    class Ending(FakeClock):
        parts = 0

        def raise_if_terminated(self) -> None:
            self.parts += 1
            if self.parts > 8:
                assert server.unfinished_uploads  # it was on its way
                raise TerminatedError

    copying.fetching.add()
    file = tmp_path / "large"
    file.write_bytes(b"\0" * 20 * MEBIBYTE)
    (record,) = copying.fetching.records
    (content,) = [row.content for row in copying.run().values()]
    assert content
    server.client.delete_object(Bucket=BUCKET, Key=f"site a/{key(record)}")
    copying.copies._clock = Ending()

    with pytest.raises(TerminatedError):
        copying.copies.copy(file, record, replace(content, size_bytes=20 * MEBIBYTE))

    assert server.unfinished_uploads == []
    assert f"site a/{key(record)}" not in server.objects


def test_what_the_store_changes_on_the_way_is_no_copy(
    copying: Copying, server: ObjectStoreServer, tmp_path: Path
) -> None:
    copying.fetching.add()
    (record,) = copying.fetching.records
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"not what was fetched")
    (content,) = [row.content for row in copying.run().values()]
    assert content
    server.client.delete_object(Bucket=BUCKET, Key=f"site a/{key(record)}")

    with pytest.raises(StoreError, match="not what was sent"):
        copying.copies.copy(wrong, record, replace(content, size_bytes=20))

    assert f"site a/{key(record)}" not in server.objects


@pytest.mark.parametrize("found", [{"files": "7"}, {"subjects": None}, {"sessions": True}])
def test_a_description_that_is_damaged_is_not_believed(
    copying: Copying, server: ObjectStoreServer, found: dict[str, Any]
) -> None:
    project = copying.fetching.add()
    first = copying.run()[project]
    note = f"site a/{key(first, '.json')}"
    server.put(note, json.dumps(json.loads(server.read(note)) | found).encode())

    again = copying.run()[project]

    assert again == first
    assert copying.fetching.asked(project) == 2


def test_a_percent_sign_in_the_prefix_is_one_as_for_the_store_s_own_tools(
    fetching: Fetching, server: ObjectStoreServer
) -> None:
    fetching.add()

    (after,) = Copying(fetching, f"s3://{BUCKET}/a%20b é", server.credentials()).run().values()

    assert after.copied_to.removeprefix(f"s3://{BUCKET}/") in server.objects


# what goes wrong


def test_every_third_connection_breaks_and_all_is_copied(
    fetching: Fetching, server: ObjectStoreServer
) -> None:
    for _ in range(5):
        fetching.add()
    with breaking_proxy(server, every=3) as proxy:
        url = f"s3://{BUCKET}/through"
        after = Copying(fetching, url, server.credentials(proxy.endpoint)).run()

    assert proxy.broken > 5
    assert {row.error for row in after.values()} == {""}
    for row in after.values():
        assert row.content
        copy = server.read(f"through/{key(row)}")
        assert hashlib.sha256(copy).hexdigest() == row.content.sha256


def test_a_store_that_is_gone_is_each_row_s_error_and_a_retry_copies_it(
    fetching: Fetching, server: ObjectStoreServer
) -> None:
    project = fetching.add()
    with breaking_proxy(server) as proxy:
        closed = proxy.endpoint
    url = f"s3://{BUCKET}/later"

    after = Copying(fetching, url, server.credentials(closed)).run()

    assert after[project].error == "copy failed: no connection to the store, or it broke"
    assert after[project].content is None
    again = Copying(fetching, url, server.credentials()).run(list(after.values()))
    assert again[project].copied_to
    assert again[project].error == ""


# a batch's own files


def test_a_batch_leaves_its_report_and_the_checksums_of_all_its_copies(
    copying: Copying, server: ObjectStoreServer, tmp_path: Path
) -> None:
    copying.fetching.add()
    rows = [replace(row, batch_label="Nightly / 7") for row in copying.run().values()]
    report = tmp_path / "snapshot_report.csv"
    report.write_text("rows\n")
    began = datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC)

    there = copying.copies.put_batch([report], rows, began)
    server.client.delete_object(
        Bucket=BUCKET, Key=f"{there.removeprefix(f's3://{BUCKET}/')}/{report.name}"
    )
    the_same = copying.copies.put_batch([report], rows, began)  # as after a broken connection
    (tmp_path / "other").mkdir()
    another = tmp_path / "other" / report.name
    another.write_text("other rows\n")
    second = copying.copies.put_batch([another], rows, began)

    assert there == the_same == f"s3://{BUCKET}/site a/batches/2026-11-22T120005Z-Nightly _ 7"
    assert second == f"{there}-2"
    folder = there.removeprefix(f"s3://{BUCKET}/")
    assert server.read(f"{folder}/snapshot_report.csv") == b"rows\n"
    lines = server.read(f"{folder}/SHA256SUMS").decode().splitlines()
    sums = {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines)}
    found = {f"site a/{name}": sha256 for name, sha256 in sums.items()}
    assert {n: hashlib.sha256(server.read(n)).hexdigest() for n in found} == found
    assert any(name.endswith(".db.gz") for name in found)


# Memory

MEASURE = """
import resource, sys
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore

url, endpoint, parts = sys.argv[1:]
names = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region": "us-east-1"}
store = ObjectStore(url, {**names, "endpoint": endpoint})
part = bytes(1 << 20)
store.put_parts("large", (part for _ in range(int(parts))), int(parts) << 20)
store.sha256("large")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak_memory(server: ObjectStoreServer, parts: int) -> int:
    """The most memory, in bytes, that a process has had which copied so many MiB."""
    command = [sys.executable, "-c", MEASURE, f"s3://{BUCKET}/x", server.endpoint, str(parts)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(ended.stdout)


def test_memory_does_not_grow_with_what_is_copied(server: ObjectStoreServer) -> None:
    assert peak_memory(server, 96) < peak_memory(server, 12) + 32 * MEBIBYTE


# Room


def test_room_is_needed_for_a_few_and_not_for_all(copying: Copying) -> None:
    for _ in range(12):
        copying.fetching.add(size=4 * MEBIBYTE)
    disk = SmallDisk(16 * MEBIBYTE + 24 * MEBIBYTE, copying.fetching.work)

    after = copying.run(free=disk)

    assert {row.error for row in after.values()} == {""}
    assert all(row.copied_to for row in after.values())
