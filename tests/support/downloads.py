"""Batches of complete snapshots to fetch from a simulated site, and ways to be served by it."""

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer
from flywheel_site_simulator.content import counts
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.clock import Clock
from fw_gear_sitewide_snapshot.download import downloader
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME, SUMS_NAME
from fw_gear_sitewide_snapshot.download.disk_space import FreeBytes, free_bytes
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.reporter import BatchReport
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.http import Request, Response, Stream, Transport
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from fw_gear_sitewide_snapshot.workers import ThreadWorkers, Workers
from tests.support.direct import DirectTransport, InTurn
from tests.support.disk import SmallDisk
from tests.support.time import FakeClock

MEBIBYTE = 1 << 20
SUBJECTS, SESSIONS_PER_SUBJECT = 3, 2
HELD = counts(SUBJECTS, SESSIONS_PER_SUBJECT)  # what a person counts in each snapshot
LONG_SECONDS = 30.0  # of what happens at once on a machine that is not stuck


class Report(BatchReport):
    """A batch's report that is not written, and knows which records have changed."""

    def __init__(
        self,
        batch: Sequence[SnapshotRecord],
        tick: Callable[[], None],
        told: dict[str, SnapshotRecord],
    ) -> None:
        super().__init__(batch, Path(), FakeClock())
        self.save_if_due = tick  # type: ignore[method-assign]
        self.told = told

    def update(self, record: SnapshotRecord) -> None:
        before = {before.project.id: before for before in self.records}[record.project.id]
        assert record.status == before.status
        assert record != before  # what is known is not told twice
        super().update(record)
        self.told[record.project.id] = record


def fetch_all(
    batch: Sequence[SnapshotRecord],
    *,
    tick: Callable[[], None] = lambda: None,
    told: dict[str, SnapshotRecord] | None = None,
    **what: Any,
) -> list[SnapshotRecord]:
    """Fetch a whole batch, as a run does once all of it is complete; return what has changed."""
    told = {} if told is None else told
    fetcher = downloader.Downloader(Report(batch, tick, told), **what)
    try:
        for record in batch:
            fetcher.add(record)
        fetcher.finish()
    finally:
        fetcher.close()
    return list(told.values())


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
        project = self.simulated.add_project(
            label=name, subjects=SUBJECTS, sessions_per_subject=SESSIONS_PER_SUBJECT
        )
        if size:
            self.simulated.download_size(project, size, compressed=compressed)
        snapshot = self.simulated.add_snapshot(project)
        self.records.append(
            SnapshotRecord(
                Project(project, name, "neuro"), snapshot, status="complete", origin="started"
            )
        )
        return project

    def run(self) -> dict[str, SnapshotRecord]:
        """The batch afterwards, by project."""
        self.after = {record.project.id: record for record in self.records}
        try:
            fetch_all(
                self.records,
                told=self.after,
                site=Site(self.transport, self.clock),
                workers=self.workers,
                clock=self.clock,
                work=self.work,
                output=self.output,
                tick=self.tick,
                free=self.free,
            )
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


def is_logged(caplog: pytest.LogCaptureFixture, words: str, times: int) -> bool:
    return sum(words in record.getMessage() for record in caplog.records) >= times


def on_disks(fetching: Fetching, output: Path, size: int) -> SmallDisk:
    """Let the output folder be on a disk of its own, of a size, beside a large one to work on."""
    disk = SmallDisk(size, output)
    fetching.output = output
    fetching.free = lambda folder: disk(folder) if folder == output else 1 << 40
    return disk
