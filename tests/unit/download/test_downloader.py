"""Fetching snapshots: checked, archived, each by itself; within the room there is; stopped at once.

Most of it without sockets and in injected time. What HTTP adds (streams that break, redirects, the
key that must not travel on) is tested with the real SDK, and memory with a process.
"""

import gzip
import hashlib
import json
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    BREAKAGES,
    Breakage,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    break_off,
    refuse,
    slow_down,
)
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.clock import Clock, SystemClock
from fw_gear_sitewide_snapshot.download import downloader
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME, SUMS_NAME
from fw_gear_sitewide_snapshot.download.disk_space import FreeBytes, free_bytes
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.models import Project, SnapshotContent, SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.http import Request, Response, Stream, Transport
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from fw_gear_sitewide_snapshot.text import size_text
from fw_gear_sitewide_snapshot.workers import ThreadWorkers, Workers
from tests.support.direct import DirectTransport, InTurn
from tests.support.disk import SmallDisk, no_file_larger_than
from tests.support.repository import ROOT
from tests.support.time import START, FakeClock

MEBIBYTE = 1 << 20
LONG_SECONDS = 30.0  # of what happens at once on a machine that is not stuck
CONTENT = SnapshotContent(1, "a" * 64, 2, 3, 4, 5)

# What the row says of each way in which the simulator breaks a download.
SAID: dict[Breakage, str] = {
    "truncated": "the connection broke",
    "short gzip": "the gzip file is cut off before its end",
    "bad crc": "the gzip file is damaged",
    "not sqlite": "the gzip file holds no SQLite database",
    "corrupt sqlite": "the SQLite database is damaged",
    "missing table": "the snapshot has no table session",
    "other project": "the snapshot is of another project",
    "trailing garbage": "the gzip file has something after its end",
    "no project row": "the snapshot has no project row",
    "500": "the site says 500: The snapshot could not be read",
    "hang": "the site did not answer",
}


class Fetching:
    """A batch of complete snapshots on a simulated site, and folders to fetch them into."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock: Clock = clock
        self.passed = clock
        self.simulated = SimulatedSite(clock.unix)
        self.transport: Transport = DirectTransport(self.simulated, clock)
        self.workers: Workers = InTurn(clock)
        self.work = folder / "work"
        self.output = folder / "output"
        self.work.mkdir()
        self.output.mkdir()
        self.records: list[SnapshotRecord] = []
        self.after: dict[str, SnapshotRecord] = {}
        self.free: FreeBytes = free_bytes
        self.tick: Callable[[], None] = lambda: None

    def add(self, label: str = "", size: int = 0, *, compressed: bool = False) -> str:
        """A project with a complete snapshot, which may be made large."""
        name = label or f"Study {len(self.records)}"
        project = self.simulated.add_project(label=name, subjects=3, sessions_per_subject=2)
        if size:
            self.simulated.download_size(project, size, compressed=compressed)
        snapshot = self.simulated.add_snapshot(project)
        self.records.append(
            SnapshotRecord(Project(project, name, "neuro"), snapshot, status="complete")
        )
        return project

    def run(self) -> dict[str, SnapshotRecord]:
        """The batch afterwards, by project."""
        self.after = {record.project.id: record for record in self.records}
        changed = downloader.fetch_all(
            self.records,
            site=Site(self.transport, self.clock),
            workers=self.workers,
            clock=self.clock,
            work=self.work,
            output=self.output,
            tick=self.tick,
            free=self.free,
        )
        try:
            for record in changed:
                before = self.after[record.project.id]
                assert record.status == before.status
                assert before in self.records  # what is known once is not told twice
                assert not record.content or self.archive.is_file()
                self.after[record.project.id] = record
        finally:
            assert list(self.work.iterdir()) == []
        return self.after

    def fault(self, action: Action, project: str | None = None, times: int | None = None) -> None:
        self.simulated.fault(Fault("download", project, times, action=action))

    def asked(self, project: str) -> int:
        """How often the project's snapshot was asked for."""
        asked = [r for r in self.simulated.requests if r.kind == "download"]
        return sum(request.project_id == project for request in asked)

    def pauses(self, project: str) -> list[float]:
        """Seconds between the requests for the project's snapshot."""
        times = [r.time for r in self.simulated.requests if r.project_id == project]
        return [after - before for before, after in pairwise(times)]

    @property
    def archive(self) -> Path:
        return self.output / ARCHIVE_NAME

    @property
    def files(self) -> dict[str, bytes]:
        """What is in the archive, by name."""
        with zipfile.ZipFile(self.archive) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    @property
    def fetched(self) -> int:
        """How many rows say that their snapshot was fetched."""
        return sum(record.content is not None for record in self.after.values())

    def assert_archive_tells_the_truth(self) -> None:
        """The archive, its sums and its report speak of what the rows say is fetched."""
        files = self.files
        found = {record.content.sha256 for record in self.after.values() if record.content}
        sums = dict(line.split("  ")[::-1] for line in files.pop(SUMS_NAME).decode().splitlines())
        assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == sums
        report = self.output.parent / "read.csv"
        report.write_bytes(files.pop(csv_report.REPORT_NAME))
        assert {row.content.sha256 for row in csv_report.read(report) if row.content} == found
        assert {sums[name] for name in files} == found

    def archived(self, project: str) -> bytes:
        """The project's file in the archive."""
        (record,) = [record for record in self.records if record.project.id == project]
        return self.files[f"neuro/{record.project.label}/{record.snapshot_id}.db.gz"]


@pytest.fixture
def fetching(tmp_path: Path, clock: FakeClock) -> Fetching:
    return Fetching(tmp_path, clock)


@pytest.fixture(params=["", "storage", "unpacked"])
def over_http(
    tmp_path: Path, clock: FakeClock, request: pytest.FixtureRequest
) -> Iterator[Fetching]:
    """A site over HTTP; its downloads come from itself, from a storage, or unpacked on the way."""
    fetching = Fetching(tmp_path, clock)
    fetching.simulated.behaviour.content_encoding = request.param == "unpacked"
    with served(fetching, storage=request.param == "storage"):
        fetching.transport = Impatient(fetching.transport)
        yield fetching


@contextmanager
def in_threads(fetching: Fetching, clock: Clock, stop: threading.Event) -> Iterator[None]:
    """Fetch in parallel, over HTTP, by a clock that may be the machine's."""
    fetching.clock, fetching.workers = clock, ThreadWorkers(stop, clock, 16)
    with served(fetching):
        yield


@contextmanager
def served(fetching: Fetching, *, storage: bool = False) -> Iterator[None]:
    """Serve the site over HTTP, to the SDK."""
    with SimulatorServer(fetching.simulated, storage=storage) as server:
        transport = fetching.transport = SdkTransport(server.api_key())
        try:
            yield
        finally:
            transport._client.rest_client.client.close()


class Impatient:
    """A transport that waits for an answer as long as a test can."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    def send(self, request: Request) -> Response:
        return self._inner.send(replace(request, seconds=0.5))

    def stream(self, request: Request) -> Stream:
        return self._inner.stream(replace(request, seconds=0.5))


# What is fetched


def test_every_complete_snapshot_is_fetched_checked_and_archived(fetching: Fetching) -> None:
    projects = [fetching.add() for _ in range(3)]

    after = fetching.run()

    for project in projects:
        data, content = fetching.archived(project), after[project].content
        sha256 = hashlib.sha256(data).hexdigest()
        assert content == SnapshotContent(len(data), sha256, 3, 6, 6, 6)
        assert gzip.decompress(data).startswith(b"SQLite format 3\0")


def test_the_archive_s_report_tells_of_the_whole_batch_and_of_what_was_found(
    fetching: Fetching, tmp_path: Path
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.simulated.break_download(bad, "bad crc")

    after = fetching.run()

    report = tmp_path / "report.csv"
    report.write_bytes(fetching.files[csv_report.REPORT_NAME])
    assert {row.project.id: row for row in csv_report.read(report)} == after
    assert after[good].content is not None
    assert after[bad].error.startswith("download failed: ")


def test_only_what_is_complete_and_was_never_fetched_is_asked_for(fetching: Fetching) -> None:
    fetched, running, failed, new = (fetching.add() for _ in range(4))
    changes: list[dict[str, object]] = [
        {"content": CONTENT},
        {"status": "in_progress", "error": "not finished within 10 min 0 s"},
        {"status": "failed"},
        {},
    ]
    fetching.records = [
        replace(record, **change)  # type: ignore[arg-type]
        for record, change in zip(fetching.records, changes, strict=True)
    ]

    after = fetching.run()

    assert [fetching.asked(project) for project in (fetched, running, failed, new)] == [0, 0, 0, 1]
    assert [after[r.project.id] for r in fetching.records[:3]] == fetching.records[:3]


def test_with_nothing_to_fetch_nothing_is_asked_or_written(fetching: Fetching) -> None:
    fetching.add()
    fetching.records = [replace(record, content=CONTENT) for record in fetching.records]

    assert list(fetching.run().values()) == fetching.records
    assert fetching.simulated.requests == []
    assert list(fetching.output.iterdir()) == []


def test_an_earlier_run_s_failure_is_forgotten_once_it_is_fetched(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.records = [replace(fetching.records[0], error="download failed: the disk is full")]

    assert fetching.run()[project].error == ""


# What goes wrong with one


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_download_is_fetched_three_times_then_it_is_its_row_s_error(
    fetching: Fetching, how: Breakage
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.simulated.break_download(bad, how)

    after = fetching.run()

    assert after[bad].error.startswith(f"download failed: {SAID[how]}")
    assert after[bad].content is None
    assert fetching.asked(bad) == 3
    assert after[good].content is not None
    assert {name.split("/")[0] for name in fetching.files} == {
        "neuro",
        SUMS_NAME,
        "snapshot_report.csv",
    }
    assert sum(name.endswith(".gz") for name in fetching.files) == 1


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_download_that_breaks_twice_is_fetched_after_pauses(
    fetching: Fetching, how: Breakage
) -> None:
    project = fetching.add()
    fetching.simulated.break_download(project, how, times=2)

    after = fetching.run()

    assert after[project].content is not None
    assert after[project].error == ""
    hung = 30.0 if how == "hang" else 0.0
    first, second = (pause - hung for pause in fetching.pauses(project))
    assert 5 < first < second < 20


@pytest.mark.parametrize("status", [401, 405, 409, 422])
def test_a_refusal_is_not_asked_for_again(fetching: Fetching, status: int) -> None:
    project, other = fetching.add(), fetching.add()
    fetching.fault(refuse(status, "Not for you"), project)

    after = fetching.run()

    assert after[project].error == f"download failed: the site says {status}: Not for you"
    assert fetching.asked(project) == 1
    assert after[other].content is not None


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_site_asks_for_is_kept(fetching: Fetching, status: int) -> None:
    project = fetching.add()
    fetching.fault(refuse(status, retry_after_seconds=40), times=4)

    assert fetching.run()[project].content is not None
    assert fetching.passed.seconds >= 160


def test_a_site_that_asks_for_an_hour_is_left_to_another_run(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.fault(refuse(503, "Maintenance", retry_after_seconds=3600))

    assert "503: Maintenance" in fetching.run()[project].error
    assert fetching.passed.seconds < 60


def test_an_outage_of_half_a_minute_is_survived(fetching: Fetching) -> None:
    projects = [fetching.add() for _ in range(4)]
    now = fetching.simulated.now()
    fetching.simulated.fault(Fault("download", begin=now, end=now + 30, action=refuse(503)))

    after = fetching.run()

    assert all(after[project].content for project in projects)


@pytest.mark.parametrize(
    "action", [answer_with(b"<html>It works!</html>"), answer_with({}), answer_with(b"\x1f\x8b")]
)
def test_an_answer_that_is_no_snapshot_at_all_is_told(fetching: Fetching, action: Action) -> None:
    project = fetching.add()
    fetching.fault(action)

    after = fetching.run()

    assert re.match(r"download failed: .*gzip", after[project].error)
    assert list(fetching.output.iterdir()) == []


# What the site sends, and when


class Piecewise(Impatient):
    """A transport whose streams come in pieces of a size, and may take their time."""

    def __init__(
        self, inner: Transport, size: int, clock: FakeClock | None = None, seconds: float = 0.0
    ) -> None:
        super().__init__(inner)
        self.size = size
        self.taken = 0
        self._clock = clock
        self._seconds = seconds

    def stream(self, request: Request) -> Stream:
        stream = self._inner.stream(request)
        stream.chunks = self._pieces(stream.chunks)
        return stream

    def _pieces(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for start in range(0, len(chunk), self.size):
                if self._clock:
                    self._clock.seconds += self._seconds
                piece = chunk[start : start + self.size]
                self.taken += len(piece)
                yield piece


@pytest.mark.parametrize("seconds", [5, 20, 35])
def test_a_file_that_is_not_there_at_once_is_asked_for_again(
    fetching: Fetching, seconds: int
) -> None:
    project = fetching.add()
    end = fetching.simulated.now() + seconds
    fetching.simulated.fault(Fault("download", end=end, action=refuse(404, "No such file")))

    assert fetching.run()[project].content is not None
    assert fetching.passed.seconds < seconds + 20


def test_a_file_that_stays_away_is_given_up_and_holds_no_other_up(fetching: Fetching) -> None:
    gone = [fetching.add() for _ in range(5)]
    there = fetching.add()
    for project in gone:
        fetching.fault(refuse(404, "No such file"), project)

    after = fetching.run()

    for project in gone:
        assert after[project].error == "download failed: the site says 404: No such file"
        assert 4 < fetching.asked(project) < 10
    assert after[there].content is not None
    assert 38 < fetching.passed.seconds < 45
    (asked,) = [r.time for r in fetching.simulated.requests if r.project_id == there]
    assert asked < START.timestamp() + 5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [20, 30, 45])
def test_an_outage_with_short_promises_is_survived(
    fetching: Fetching, status: int, seconds: int
) -> None:
    project = fetching.add()
    end = fetching.simulated.now() + seconds
    promise = refuse(status, retry_after_seconds=1)
    fetching.simulated.fault(Fault("download", end=end, action=promise))

    assert fetching.run()[project].content is not None
    pauses = fetching.pauses(project)
    assert min(pauses) >= 1
    assert max(pauses) > 5  # ours grow all the same
    assert len(pauses) < 10


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Jane Doe</html>", "a page"),
        (b"\n\n <!DOCTYPE html>", "a page"),
        (b"\xef\xbb\xbf<?xml ?>", "a page"),
        (b'{"message": "Jane Doe"}', "JSON"),
        (b"[1]", "JSON"),
        (b"PK\x03\x04", "something else"),
        (b"SQLite format 4\0", "something else"),
        (b"\x1f\x8cJane Doe", "something else"),
    ],
)
def test_what_is_no_download_is_refused_at_its_first_bytes(
    fetching: Fetching, body: bytes, kind: str, size: int
) -> None:
    project = fetching.add()
    fetching.fault(answer_with(body + bytes(1 << 20)))
    piecewise = fetching.transport = Piecewise(fetching.transport, size)

    after = fetching.run()

    said = after[project].error
    assert said.startswith("download failed: unexpected response: ")
    assert "Jane" not in said
    if size > 1:
        assert kind in said
    assert piecewise.taken <= 3 * max(16, 4096)


@pytest.mark.parametrize("size", [1, 3, 15, 17])
@pytest.mark.parametrize("is_unpacked", [False, True])
def test_a_snapshot_may_come_in_the_smallest_pieces(
    fetching: Fetching, size: int, is_unpacked: bool
) -> None:
    project = fetching.add()
    fetching.simulated.behaviour.content_encoding = is_unpacked
    fetching.transport = Piecewise(fetching.transport, size)

    content = fetching.run()[project].content

    assert content is not None
    assert content.sha256 == hashlib.sha256(fetching.archived(project)).hexdigest()


@pytest.mark.parametrize("body", [b"", b"\x1f", b"SQLite form"])
def test_a_body_that_ends_before_it_tells_what_it_is_is_refused(
    fetching: Fetching, body: bytes
) -> None:
    project = fetching.add()
    fetching.fault(answer_with(body))

    assert re.search("empty|no gzip file", fetching.run()[project].error)


def test_padding_behind_the_packed_file_is_taken(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.simulated.break_download(project, "nul padding")

    assert fetching.run()[project].content is not None
    assert fetching.archived(project).endswith(b"\0")


def test_a_page_that_never_ends_is_refused_over_http(fetching: Fetching) -> None:
    endless, good = fetching.add(), fetching.add()
    fetching.simulated.break_download(endless, "endless html")

    with served(fetching):
        after = fetching.run()

    assert re.search("unexpected response: a page", after[endless].error)
    assert after[good].content is not None


@pytest.mark.parametrize(("size", "is_real"), [(1, False), (900, False), (1200, True)])
def test_a_drip_counts_as_broken_off_and_a_slow_download_goes_on(
    fetching: Fetching, size: int, is_real: bool
) -> None:
    project = fetching.add(size=200 << 10)
    fetching.transport = Piecewise(fetching.transport, size, fetching.passed, 1.0)

    after = fetching.run()

    assert (after[project].content is not None) == is_real
    assert fetching.asked(project) == (1 if is_real else 3)
    if not is_real:
        assert "less than 1 KiB a second" in after[project].error
        assert fetching.passed.seconds < 300


class FastClock(SystemClock):
    """A clock on which a minute is a second and a half."""

    def monotonic(self) -> float:
        return 40.0 * super().monotonic()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 40.0)


def test_a_drip_is_noticed_over_http(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.simulated.behaviour.drip_pause_seconds = 0.02
    fetching.simulated.break_download(project, "drip", times=1)
    stop = threading.Event()
    threading.Timer(LONG_SECONDS, stop.set).start()

    with in_threads(fetching, FastClock(stop), stop):
        after = fetching.run()

    assert after[project].content is not None
    assert fetching.asked(project) == 2


def test_the_caller_hears_of_the_time_while_it_waits(fetching: Fetching) -> None:
    fetching.add()
    fetching.fault(refuse(503), times=4)
    ticks: list[float] = []
    fetching.tick = lambda: ticks.append(fetching.passed.seconds)

    fetching.run()

    assert max(after - before for before, after in pairwise([0.0, *ticks])) < 1.001
    assert ticks[-1] > 10


def test_what_fails_is_told_at_once_and_what_is_fetched_when_it_is_archived(
    fetching: Fetching,
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.fault(refuse(409), bad)
    fetching.fault(refuse(503), good, times=3)
    failed: list[float] = []
    fetching.tick = lambda: failed.append(len(fetching.after[bad].error))

    fetching.run()

    assert failed[2] > 0


# Over HTTP


@pytest.mark.parametrize("how", BREAKAGES)
def test_every_breakage_is_noticed_over_http(over_http: Fetching, how: Breakage) -> None:
    bad, flaky, good = (over_http.add() for _ in range(3))
    over_http.simulated.break_download(bad, how)
    over_http.simulated.break_download(flaky, how, times=1)

    after = over_http.run()

    if how == "trailing garbage" and over_http.simulated.behaviour.content_encoding:
        assert after[bad].content is not None  # it is gone with the packing: what came is whole
    else:
        assert after[bad].error.startswith("download failed: ")
    assert after[flaky].content is not None
    assert after[good].content is not None


def test_a_snapshot_is_the_same_whichever_way_it_comes(over_http: Fetching) -> None:
    small, large = over_http.add(), over_http.add(size=3 * MEBIBYTE, compressed=True)

    after = over_http.run()

    expected = {small: (3, 6), large: (3, 6 + 3)}
    for project, (subjects, files) in expected.items():
        data, content = over_http.archived(project), after[project].content
        assert content is not None
        assert (content.subjects, content.files) == (subjects, files)
        assert content.sha256 == hashlib.sha256(data).hexdigest()
        assert gzip.decompress(data).startswith(b"SQLite format 3\0")


def test_the_api_key_is_never_sent_on_to_the_storage(fetching: Fetching) -> None:
    projects = [fetching.add() for _ in range(3)]
    fetching.simulated.behaviour.signed_urls_once = True
    fetching.simulated.break_download(projects[0], "truncated", times=1)

    with served(fetching, storage=True):
        after = fetching.run()

    assert all(after[project].content for project in projects)
    assert len(fetching.simulated.storage_requests) == 4
    assert not any(request.authorization for request in fetching.simulated.storage_requests)


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_signed_url_that_has_expired_is_asked_for_anew(fetching: Fetching, refusals: int) -> None:
    project = fetching.add()
    behaviour = fetching.simulated.behaviour
    behaviour.signed_url_seconds = -1.0

    def tick() -> None:
        if len(fetching.simulated.storage_requests) == refusals:
            behaviour.signed_url_seconds = 60.0

    fetching.tick = tick
    with served(fetching, storage=True):
        after = fetching.run()

    if refusals < 3:
        assert after[project].content is not None
        assert fetching.asked(project) == refusals + 1
    else:
        assert "403: The signed URL has expired" in after[project].error
        assert "signature=" not in after[project].error
        assert fetching.asked(project) == 3


@pytest.mark.parametrize("action", [break_off("reset"), refuse(502), answer_with(b"", 204)])
def test_what_is_no_answer_over_http_is_asked_for_again(fetching: Fetching, action: Action) -> None:
    project = fetching.add()
    fetching.fault(action, times=2)

    with served(fetching):
        after = fetching.run()

    assert after[project].content is not None


def test_four_are_fetched_at_a_time(fetching: Fetching) -> None:
    for _ in range(12):
        fetching.add()
    fetching.fault(slow_down(0.2))

    with in_threads(fetching, fetching.clock, threading.Event()):
        after = fetching.run()

    assert all(record.content for record in after.values())
    assert fetching.simulated.most_in_flight == downloader.MAX_CONCURRENT_DOWNLOADS


# Room


def test_what_has_no_room_says_how_much_is_missing_and_the_others_are_archived(
    fetching: Fetching,
) -> None:
    large, small = fetching.add(size=64 * MEBIBYTE), fetching.add()
    disk = fetching.free = SmallDisk(80 * MEBIBYTE, fetching.work)

    after = fetching.run()

    missing = re.fullmatch(
        r"download failed: no room for it: ([\d.]+) MiB more would have to be free",
        after[large].error,
    )
    assert missing
    assert 60 < float(missing[1]) < 70  # 128 MiB and what stays free, of 80
    assert fetching.asked(large) == 1
    assert after[small].content is not None
    assert disk.least > 60 * MEBIBYTE


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


def test_an_archive_that_can_t_be_placed_is_the_error_of_all_that_is_in_it(
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

    (after,) = downloader.fetch_all(
        fetching.records,
        site=Site(fetching.transport, fetching.clock),
        workers=fetching.workers,
        clock=fetching.clock,
        work=folders["work"],
        output=folders["output"],
    )

    assert "No such file or directory" in after.error
    assert fetching.asked(project) == 0


# The end


class EndingClock(FakeClock):
    """A clock that ends the run at some sleep."""

    def __init__(self, sleeps: int) -> None:
        super().__init__()
        self._left = sleeps

    def sleep(self, seconds: float) -> None:
        self._left -= 1
        if self._left < 0:
            raise TerminatedError
        super().sleep(seconds)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_is_ended_at_any_moment_leaves_nothing_half(
    tmp_path: Path, elsewhere: bool, other_disk: Path
) -> None:
    sleeps = 0
    numbers = set()
    while True:
        folder = tmp_path / str(sleeps)
        folder.mkdir()
        fetching = Fetching(folder, EndingClock(sleeps))
        if elsewhere:
            fetching.output = other_disk
            (other_disk / ARCHIVE_NAME).unlink(missing_ok=True)
        for _ in range(3):
            fetching.add()
        try:
            fetching.run()
        except TerminatedError:
            fetched = fetching.fetched
            assert [path.name for path in fetching.output.iterdir()] == [ARCHIVE_NAME][:fetched]
            if fetched:
                fetching.assert_archive_tells_the_truth()
            numbers.add(fetched)
            sleeps += 1
        else:
            break

    assert numbers == {0, 1, 2}
    assert len(fetching.files) == 5


def test_an_output_folder_on_another_disk_gets_the_archive_whole(
    fetching: Fetching, other_disk: Path
) -> None:
    fetching.add()
    fetching.output = other_disk

    fetching.run()

    assert [path.name for path in other_disk.iterdir()] == [ARCHIVE_NAME]
    assert len(fetching.files) == 3


def on_disks(fetching: Fetching, output: Path, size: int) -> SmallDisk:
    """Let the output folder be on a disk of its own, of a size, beside a large one to work on."""
    disk = SmallDisk(size, output)
    fetching.output = output
    fetching.free = lambda folder: disk(folder) if folder == output else 1 << 40
    return disk


def test_an_output_folder_on_another_disk_that_is_too_small_gets_what_fits(
    fetching: Fetching, other_disk: Path
) -> None:
    projects = [fetching.add(size=2 * MEBIBYTE) for _ in range(4)]
    small = fetching.add()
    on_disks(fetching, other_disk, (16 + 5) * MEBIBYTE)

    after = fetching.run()

    assert [bool(after[project].content) for project in projects] == [True, True, False, False]
    for project in projects[2:]:
        assert re.fullmatch(
            r"download failed: no room for it in the output folder: "
            r"1\.\d MiB more would have to be free",
            after[project].error,
        )
    assert after[small].content is not None
    assert [path.name for path in other_disk.iterdir()] == [ARCHIVE_NAME]
    assert sum(name.endswith(".gz") for name in fetching.files) == 3


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


@pytest.mark.parametrize("how", ["at once", "hang", "streaming"])
def test_a_stop_is_noticed_within_seconds_and_nothing_stays(fetching: Fetching, how: str) -> None:
    stop = threading.Event()
    for _ in range(6):
        project = fetching.add(size=64 * MEBIBYTE if how == "streaming" else 0)
        if how == "hang":
            fetching.simulated.break_download(project, "hang")
    with in_threads(fetching, SystemClock(stop), stop):
        told: list[float] = []

        def end() -> None:
            told.append(time.monotonic())
            stop.set()

        threading.Timer(0.0 if how == "at once" else 0.5, end).start()
        with pytest.raises(TerminatedError):
            fetching.run()
        took = time.monotonic() - told[0]

    assert took < 3
    assert list(fetching.work.iterdir()) == []
    assert list(fetching.output.iterdir()) == []


def is_logged(caplog: pytest.LogCaptureFixture, words: str, times: int) -> bool:
    return sum(words in record.getMessage() for record in caplog.records) >= times


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_fetched_before_a_stop_is_archived_while_another_drips(
    fetching: Fetching, elsewhere: bool, other_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fetching.output = other_disk if elsewhere else fetching.output
    dripping, *good = (fetching.add() for _ in range(4))
    fetching.simulated.break_download(dripping, "drip")
    stop = threading.Event()
    told: list[float] = []

    def tick() -> None:
        if not told and is_logged(caplog, "fetched and checked", 3):
            told.append(time.monotonic())
            stop.set()

    fetching.tick = tick
    with in_threads(fetching, SystemClock(stop), stop):
        with pytest.raises(TerminatedError):
            fetching.run()
        took = time.monotonic() - told[0]

    assert took < 4
    assert all(fetching.after[project].content for project in good)
    assert fetching.after[dripping].content is None
    assert [path.name for path in fetching.output.iterdir()] == [ARCHIVE_NAME]
    fetching.assert_archive_tells_the_truth()


class EndedClock(FakeClock):
    """A clock that can be told that the run is to end; then each look at it takes a while."""

    ended = False

    def __init__(self, look_seconds: float) -> None:
        super().__init__()
        self._look_seconds = look_seconds

    def sleep(self, seconds: float) -> None:
        if self.ended:
            self.seconds += self._look_seconds
            raise TerminatedError
        super().sleep(seconds)


def test_a_stop_while_another_attempt_is_awaited_costs_nothing_of_what_came(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = EndedClock(0.1)
    fetching = Fetching(tmp_path, clock)
    busy, *good = (fetching.add() for _ in range(3))
    fetching.fault(refuse(503, retry_after_seconds=100), busy)

    def tick() -> None:
        clock.ended = is_logged(caplog, "fetched and checked", 2)

    fetching.tick = tick
    with pytest.raises(TerminatedError):
        fetching.run()

    assert all(fetching.after[project].content for project in good)
    assert fetching.after[busy] in fetching.records
    fetching.assert_archive_tells_the_truth()


def test_what_there_is_no_time_to_copy_is_lost_and_the_log_says_how_much(
    tmp_path: Path, other_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = EndedClock(10.0)
    fetching = Fetching(tmp_path, clock)
    fetching.output = other_disk
    for _ in range(2):
        fetching.add(size=2 * MEBIBYTE)

    def tick() -> None:
        clock.ended = is_logged(caplog, "fetched and checked", 2)

    fetching.tick = tick
    with pytest.raises(TerminatedError):
        fetching.run()

    assert list(other_disk.iterdir()) == []
    assert list(fetching.after.values()) == fetching.records
    assert is_logged(caplog, "2 snapshots that came are lost", 1)


# The log


def test_the_log_has_a_line_for_each_and_nothing_of_what_is_in_a_snapshot(
    fetching: Fetching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    good, flaky, bad = fetching.add("Good"), fetching.add("Flaky"), fetching.add("Bad")
    fetching.simulated.break_download(flaky, "bad crc", times=1)
    fetching.simulated.break_download(bad, "other project")

    after = fetching.run()

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    content = after[good].content
    assert content is not None
    snapshot = after[good].snapshot_id
    size = size_text(content.size_bytes)
    fetched = f"neuro/Good ({good}): snapshot {snapshot}: fetched and checked, {size}"
    assert ("INFO", fetched) in lines
    repeats = [line for level, line in lines if level == "WARNING" and "again in" in line]
    assert [line.split(" ")[0] for line in repeats] == ["neuro/Flaky", "neuro/Bad", "neuro/Bad"]
    assert re.fullmatch(
        r"Fetched 2 snapshots \([\d.]+ KiB\) into snapshots.zip \([\d.]+ KiB\); "
        "1 could not be fetched",
        lines[-1][1],
    )
    text = "\n".join(line for _, line in lines)
    assert not re.search("subject|sub-001|image-01|Somebody else's|secret-key", text)


def test_one_snapshot_of_one_project_is_told_in_the_singular(
    fetching: Fetching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fetching.add()

    fetching.run()

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Fetching 1 snapshot of a batch of 1 project"
    assert lines[-1].startswith("Fetched 1 snapshot (")


# Memory

MEASURE = """
import json, sys, threading
from pathlib import Path
from fw_gear_sitewide_snapshot.download import downloader
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.clock import Clock, SystemClock
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from fw_gear_sitewide_snapshot.workers import ThreadWorkers

key, report, work, output = sys.argv[1:]
stop = threading.Event()
clock = SystemClock(stop)
after = list(downloader.fetch_all(
    csv_report.read(Path(report)),
    site=Site(SdkTransport(key), clock),
    workers=ThreadWorkers(stop, clock, 16),
    clock=clock,
    work=Path(work),
    output=Path(output),
))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"peak": int(status["VmHWM"].split()[0]) * 1024, "error": after[0].error}))
"""


def peak_memory(fetching: Fetching, folder: Path) -> int:
    """The most memory, in bytes, that a process has had which fetched the batch."""
    folder.mkdir()
    (folder / "work").mkdir()
    report = csv_report.write(fetching.records, folder)
    with SimulatorServer(fetching.simulated) as server:
        process = subprocess.run(
            [sys.executable, "-c", MEASURE, server.api_key(), report, folder / "work", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    measured = json.loads(process.stdout)
    assert measured["error"] == ""
    assert (folder / ARCHIVE_NAME).is_file()
    return int(measured["peak"])


@pytest.mark.parametrize("unpacked_on_the_way", [False, True])
def test_a_large_snapshot_costs_no_more_memory_than_a_small_one(
    tmp_path: Path, unpacked_on_the_way: bool
) -> None:
    """200 MiB: as many on the way, unpacked for it; or squeezed, and packed again as they come."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("there is no /proc to tell a process's peak")
    peaks = []
    for size in (0, 200 * MEBIBYTE):
        folder = tmp_path / str(size)
        folder.mkdir()
        fetching = Fetching(folder, FakeClock())
        fetching.simulated.behaviour.content_encoding = unpacked_on_the_way
        fetching.add(size=size, compressed=unpacked_on_the_way)
        peaks.append(peak_memory(fetching, folder / "measured"))

    small, large = peaks
    assert large - small < 100 * MEBIBYTE
