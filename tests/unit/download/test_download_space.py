"""Fetching with little disk space: what fits is archived, what doesn't says how much is missing."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel_site_simulator import slow_down
from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.http import Request, Stream, Transport
from tests.support.disk import SmallDisk, no_file_larger_than
from tests.support.downloads import MEBIBYTE, Fetching, Impatient, fetch_all, in_threads, on_disks


def test_what_unpacks_to_more_than_there_is_room_for_is_not_unpacked(fetching: Fetching) -> None:
    bomb, small = fetching.add(size=64 * MEBIBYTE, compressed=True), fetching.add()
    disk = fetching.free = SmallDisk(48 * MEBIBYTE, fetching.work)

    after = fetching.run()

    assert re.search(r"no room to unpack it: 3\d\.\d MiB more", after[bomb].error)
    assert after[small].content is not None
    assert disk.least > 16 * MEBIBYTE


def test_room_is_needed_once_however_many_are_fetched(fetching: Fetching) -> None:
    """The archive grows by what goes into it, and only one file at a time is there twice."""
    size, count = 8 * MEBIBYTE, 6
    projects = [fetching.add(size=size) for _ in range(count)]
    room = (count + 2) * size + 20 * MEBIBYTE
    disk = fetching.free = SmallDisk(room, fetching.work, fetching.output)

    after = fetching.run()

    assert all(after[project].content for project in projects)
    assert disk.least > 16 * MEBIBYTE


def test_several_that_have_room_only_one_by_one_wait_for_one_another(fetching: Fetching) -> None:
    size = 8 * MEBIBYTE
    projects = [fetching.add(size=size) for _ in range(4)]
    fetching.free = SmallDisk(6 * size + 18 * MEBIBYTE, fetching.work)

    stop = threading.Event()
    with in_threads(fetching, SystemClock(stop), stop):
        after = fetching.run()

    assert [after[project].error for project in projects] == [""] * 4


class Watched(Impatient):
    """A transport that knows how many of its streams are open, and lies about their sizes."""

    def __init__(self, inner: Transport, told: Callable[[int | None], int | None]) -> None:
        super().__init__(inner)
        self.open = 0
        self._told = told

    def stream(self, request: Request) -> Stream:
        stream = self._inner.stream(request)
        stream.size = self._told(stream.size)
        self.open += 1
        close = stream.close

        def closed() -> None:
            self.open -= 1
            close()

        stream.close = closed
        return stream


@pytest.mark.parametrize(
    "told", [lambda size: size, lambda _: None, lambda _: 1000], ids=["truth", "nothing", "less"]
)
def test_what_waits_for_room_is_asked_for_again_once_it_is_there(
    fetching: Fetching, told: Callable[[int | None], int | None], caplog: pytest.LogCaptureFixture
) -> None:
    """Once only, also if more comes than was said, or nothing was said."""
    caplog.set_level("INFO")
    size = 24 * MEBIBYTE
    projects = [fetching.add(size=size) for _ in range(4)]
    disk = fetching.free = SmallDisk(5 * size + 24 * MEBIBYTE, fetching.work)

    stop = threading.Event()
    with in_threads(fetching, SystemClock(stop), stop):
        watched = fetching.transport = Watched(fetching.transport, told)
        after = fetching.run()

    assert [after[project].error for project in projects] == [""] * 4
    assert "waiting for the others" in caplog.text
    assert watched.open == 0
    assert max(fetching.asked(project) for project in projects) <= 2
    assert disk.least > 8 * MEBIBYTE


def test_one_that_never_fits_takes_no_room_from_another_for_good(
    fetching: Fetching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    huge = fetching.add(size=256 * MEBIBYTE, compressed=True)
    late = fetching.add(size=4 * MEBIBYTE)
    fetching.fault(slow_down(0.7), late)

    def free(_: Path) -> int:
        return (20 if list(fetching.work.rglob(f"{huge}*")) else 100) * MEBIBYTE

    fetching.free = free
    stop = threading.Event()
    with in_threads(fetching, SystemClock(stop), stop):
        after = fetching.run()

    assert "no room to unpack it" in after[huge].error
    assert fetching.asked(huge) == 1
    assert after[late].content is not None
    assert "waiting for the others" in caplog.text


def test_a_disk_that_is_full_all_of_a_sudden_is_the_row_s_error(fetching: Fetching) -> None:
    large, small = fetching.add(size=4 * MEBIBYTE), fetching.add()

    with no_file_larger_than(2 * MEBIBYTE):
        after = fetching.run()

    assert after[large].error == "download failed: the disk is full"
    assert after[small].content is not None


def test_what_the_archive_has_no_room_for_is_left_out_whole(fetching: Fetching) -> None:
    projects = [fetching.add(size=MEBIBYTE) for _ in range(5)]
    small = fetching.add()

    with no_file_larger_than(4 * MEBIBYTE):
        after = fetching.run()

    assert [bool(after[project].content) for project in projects] == [True] * 3 + [False] * 2
    assert {after[project].error for project in projects[3:]} == {
        "download failed: the disk is full"
    }
    assert after[small].content is not None
    assert sum(name.endswith(".gz") for name in fetching.files) == 4


def test_an_archive_that_can_t_be_published_is_the_error_of_all_that_is_in_it(
    fetching: Fetching,
) -> None:
    projects = [fetching.add() for _ in range(2)]
    fetching.archive.mkdir()

    after = fetching.run()

    for project in projects:
        assert after[project].content is None
        assert re.match("download failed: the archive can't be written", after[project].error)
    assert [path.name for path in fetching.output.iterdir()] == [ARCHIVE_NAME]


@pytest.mark.parametrize("gone", ["work", "output"])
def test_a_folder_that_is_gone_is_told_before_anything_is_fetched(
    fetching: Fetching, gone: str
) -> None:
    project = fetching.add()
    folders = {name: getattr(fetching, name) for name in ("work", "output")}
    folders[gone] /= "missing"

    (after,) = fetch_all(
        fetching.records,
        site=Site(fetching.transport, fetching.clock),
        workers=fetching.workers,
        clock=fetching.clock,
        work=folders["work"],
        output=folders["output"],
    )

    assert "No such file or directory" in after.error
    assert fetching.asked(project) == 0


def test_an_output_folder_on_another_disk_gets_the_archive_whole(
    fetching: Fetching, other_disk: Path
) -> None:
    fetching.add()
    fetching.output = other_disk

    fetching.run()

    assert [path.name for path in other_disk.iterdir()] == [ARCHIVE_NAME]
    assert len(fetching.files) == 3


def test_an_output_folder_on_another_disk_that_takes_nothing_is_told(
    fetching: Fetching, other_disk: Path
) -> None:
    project = fetching.add()
    on_disks(fetching, other_disk, 1000)

    after = fetching.run()

    assert "no room for it in the output folder: 16.0 MiB more" in after[project].error
    assert list(other_disk.iterdir()) == []


class Counting(Impatient):
    """A transport that counts the bytes that are taken from it."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.taken = 0

    def stream(self, request: Request) -> Stream:
        stream = self._inner.stream(request)
        stream.chunks = map(self._count, stream.chunks)
        return stream

    def _count(self, chunk: bytes) -> bytes:
        self.taken += len(chunk)
        return chunk


def test_what_the_output_s_disk_could_never_take_is_not_received(
    fetching: Fetching, other_disk: Path
) -> None:
    large = fetching.add(size=8 * MEBIBYTE)
    counting = fetching.transport = Counting(fetching.transport)
    on_disks(fetching, other_disk, (16 + 4) * MEBIBYTE)

    after = fetching.run()

    assert re.search(r"no room for it in the output folder: 4\.\d MiB more", after[large].error)
    assert 0 < counting.taken < MEBIBYTE


def test_several_at_a_time_don_t_make_more_of_the_archive_than_the_output_s_disk_takes(
    fetching: Fetching, other_disk: Path
) -> None:
    projects = [fetching.add(size=4 * MEBIBYTE) for _ in range(4)]
    disk = on_disks(fetching, other_disk, (16 + 9) * MEBIBYTE)

    stop = threading.Event()
    with in_threads(fetching, SystemClock(stop), stop):
        after = fetching.run()

    assert sum(bool(after[project].content) for project in projects) == 2
    assert len(fetching.files) == 4
    assert disk(other_disk) > 16 * MEBIBYTE
