"""A poller on a simulated site, in injected time, and what the site has seen of it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flywheel_site_simulator import Action, Fault, SimulatedSite
from fw_gear_sitewide_snapshot.models import Project, SnapshotOrder, SnapshotRecord
from fw_gear_sitewide_snapshot.poller.loop import Poller
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.reporter import BatchReport
from fw_gear_sitewide_snapshot.site import http
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.workers import Workers

from .direct import DirectTransport, InTurn
from .time import START, FakeClock

OFTEN_SECONDS = 5.0
"""The report on disk is never so far behind, or a hundred times what writing it takes."""


@dataclass(frozen=True)
class Carried:
    """A call that was carried to the site.

    Attributes:
        sent: Seconds since the test began.
        ended: Likewise, when its answer came or it failed.
        project_id: The project that it was about.
    """

    method: str
    sent: float
    ended: float
    project_id: str


class WatchedTransport:
    """A transport that remembers its calls, and says when each is sent."""

    def __init__(self, inner: DirectTransport, clock: FakeClock) -> None:
        self._inner = inner
        self._clock = clock
        self.carried: list[Carried] = []
        self.before: Callable[[http.Request], None] = lambda _: None

    def send(self, request: http.Request) -> http.Response:
        self.before(request)
        sent = self._clock.seconds
        try:
            return self._inner.send(request)
        finally:
            project = request.parameters.get("project", "")
            self.carried.append(Carried(request.method, sent, self._clock.seconds, project))

    def stream(self, request: http.Request) -> http.Stream:
        return self._inner.stream(request)


class TimedReport(BatchReport):
    """A report that knows how long writing it took at the most."""

    slowest = 0.0

    def save(self) -> Path:
        began = time.perf_counter()
        try:
            return super().save()
        finally:
            self.slowest = max(self.slowest, time.perf_counter() - began)


class Loop:
    """One run of the poller, whose projects and rows are set up before.

    Attributes:
        orders: The projects that are to have a snapshot.
        rows: The other rows of the batch.
        workers: What carries the calls.

    Args:
        knobs: Of the simulated site.
    """

    def __init__(self, clock: FakeClock, folder: Path, **knobs: Any) -> None:
        self.clock = clock
        self.folder = folder
        self.simulated = SimulatedSite(clock.unix, **knobs)
        self.transport = WatchedTransport(DirectTransport(self.simulated, clock), clock)
        self.site = Site(self.transport, clock)
        self.orders: list[SnapshotOrder] = []
        self.rows: list[SnapshotRecord] = []
        self.workers: Workers = InTurn(clock)
        self.report = TimedReport([], folder, clock)
        self.last: dict[str, SnapshotRecord] = {}

    # What there is

    def project(self, **order: Any) -> str:
        """Add a project that is to have a snapshot."""
        return self.order(self.simulated.add_project(), **order)

    def projects(self, count: int, **order: Any) -> list[str]:
        return [self.project(**order) for _ in range(count)]

    def order(self, project_id: str, *, since: float | None = None, **order: Any) -> str:
        """Have a snapshot of a project wanted; ``since``: one made since then will do."""
        wanted = None if since is None else self.at(since)
        named = Project(project_id, f"Study {len(self.orders)}", "neuro")
        record = SnapshotRecord(named).reset_to_pending(wanted or self.clock.now())
        self.orders.append(SnapshotOrder(record, wanted_since=wanted, **order))
        return project_id

    def running(self, ends_as: str = "complete", seconds: float = 20.0) -> SnapshotRecord:
        """Add a row whose snapshot is being built, and will be for so long."""
        project = self.simulated.add_project()
        made = self.simulated.add_snapshot(
            project, ends_as, self.simulated.now() - 100.0, build_seconds=100.0 + seconds
        )
        named = Project(project, f"Study {len(self.rows)}", "neuro")
        row = SnapshotRecord(named, made, self.at(-100.0), status="in_progress")
        self.rows.append(row)
        return row

    def fault(self, kind: str | Iterable[str] | None, action: Action, **how: Any) -> None:
        """Let requests of a kind fail; ``begin`` and ``end`` are in the test's seconds."""
        for name in {"begin", "end"} & how.keys():
            how[name] += START.timestamp()
        hit = kind if kind is None or isinstance(kind, str) else set(kind)
        self.simulated.fault(Fault(hit, action=action, **how))

    def lose_folder(self, begin: float, end: float) -> None:
        """Take the output folder away from one of the test's seconds to another."""
        gone = self.folder.with_name(f"{self.folder.name} is gone")

        def before(_: object) -> None:
            if begin < self.clock.seconds < end and self.folder.exists():
                self.folder.rename(gone)
            elif self.clock.seconds > end and gone.exists():
                gone.rename(self.folder)

        self.transport.before = before

    def at(self, seconds: float) -> datetime:
        """Return the site's time at so many of the test's seconds."""
        return START + timedelta(seconds=seconds)

    # The run

    def run(self, timeout_seconds: float = 600.0, attempts: int = 1) -> dict[str, SnapshotRecord]:
        """Run to the end; returns the last row of each project."""
        records = [order.record for order in self.orders] + self.rows
        self.report = TimedReport(records, self.folder, self.clock)
        self.report.save()
        self.site.check()  # the site has told its time, as in every run
        poller = Poller(
            self.site,
            self.workers,
            self.clock,
            self.report,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
        try:
            running = [SnapshotOrder(row) for row in self.rows if row.is_running]
            others = [row for row in self.rows if not row.is_running]
            poller.run([*self.orders, *running], others)
        finally:
            self.last = {record.project.id: record for record in self.report.records}
        return self.last

    # What came of it

    def times(self, *kinds: str, project_id: str = "") -> list[float]:
        """List when the site was asked for something, in the test's seconds; no kind: anything."""
        return [
            request.time - START.timestamp()
            for request in self.simulated.requests
            if (not kinds or request.kind in kinds)
            and request.kind != "auth"
            and project_id in {"", request.project_id}
        ]

    def creates(self, project_id: str = "") -> int:
        """Count the creates that were sent."""
        return len(self.times("create", project_id=project_id))

    @property
    def most_in_flight(self) -> int:
        """How many calls were under way at once."""
        ends = [(call.sent, 1) for call in self.transport.carried if call.ended > call.sent]
        ends += [(call.ended, -1) for call in self.transport.carried if call.ended > call.sent]
        flying = most = 0
        for _, change in sorted(ends):
            flying += change
            most = max(most, flying)
        return most

    @property
    def on_disk(self) -> dict[str, SnapshotRecord]:
        """The report's rows as they are on disk."""
        rows = csv_report.read(self.folder / csv_report.REPORT_NAME)
        return {row.project.id: row for row in rows}

    @property
    def allowed_lag(self) -> float:
        """How many seconds the report on disk may be behind."""
        return max(OFTEN_SECONDS, 100.0 * self.report.slowest + 1.0)


def most_in_a_second(times: Iterable[float]) -> int:
    """Return the most calls that were sent within any second (and not quite: answers take time)."""
    ordered = sorted(times)
    first = most = 0
    for place, at in enumerate(ordered):
        while at - ordered[first] > 0.99:
            first += 1
        most = max(most, place - first + 1)
    return most
