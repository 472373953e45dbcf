"""``python -m benchmarks.simulated CASE [PROJECTS]``: a whole run of the gear in injected time.

The gear's own story, without HTTP and its processes: the site answers in a process of its own, so
that this one's memory is the gear's. Waiting takes no time; writing the report takes what it takes,
in both times. Prints what was measured, as JSON.
"""

import json
import logging
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast
from unittest import mock

from flywheel_site_simulator import Request, Response, SimulatedSite
from fw_gear_sitewide_snapshot import main as gear
from fw_gear_sitewide_snapshot.clock import Clock
from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.parser import parse_config, read_json
from fw_gear_sitewide_snapshot.report import page
from fw_gear_sitewide_snapshot.reporter import BatchReport
from fw_gear_sitewide_snapshot.site import http
from fw_gear_sitewide_snapshot.site import transport as _  # noqa: F401  its memory is the gear's
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.direct import DirectTransport, InTurn
from tests.support.time import START, FakeClock

from .cases import CASES, Case
from .measure import ROOT, Measured, last_finish, make_site, peak_mib, rates

OFTEN_SECONDS = 5.0  # the report is never so far behind, or a hundred times what writing it takes


@dataclass(frozen=True)
class Simulated:
    """What is known of a run in injected time, beside what is of every run.

    Attributes:
        lag_seconds, allowed_lag_seconds: How far the report on disk was behind the run at the
            most, and may have been.
        save_seconds: How long writing the report took at the most.
        page_mib, page_seconds: How large the page was, and how long it took.
        process_seconds: How long the whole took in true time.
    """

    measured: Measured
    saves: int
    save_seconds: float
    lag_seconds: float
    allowed_lag_seconds: float
    page_mib: float
    page_seconds: float
    process_seconds: float


# ---------------------------------------------------------------------------------------- the site


def serve(case: Case, pipe: Connection) -> None:
    """Answer requests, each with its time, until None comes; then say what came of them."""
    now = START.timestamp()
    site = make_site(case, clock=lambda: now)
    pipe.send(None)  # it is ready
    while (asked := pipe.recv()) is not None:
        now, request = asked
        pipe.send(site.handle(request))
    creates = [request.time for request in site.requests if request.kind == "create"]
    rate, busiest = rates(site.requests)
    pipe.send(
        {
            "projects": len(creates),
            "calls": len(site.requests) / len(creates),
            "rate": rate,
            "most_calls_per_second": busiest,
            "site_seconds": last_finish(site) - creates[0],
        }
    )


class RemoteSite:
    """The site that is in another process."""

    def __init__(self, pipe: Connection, clock: FakeClock) -> None:
        self._pipe, self._clock = pipe, clock

    def handle(self, request: Request) -> Response:
        self._pipe.send((self._clock.unix(), request))
        response: Response = self._pipe.recv()
        return response


class WatchedTransport(DirectTransport):
    """Counts the calls that are under way at once, and those that ended in a time-out."""

    def __init__(self, pipe: Connection, clock: FakeClock) -> None:
        super().__init__(cast(SimulatedSite, RemoteSite(pipe, clock)), clock)
        self._time = clock
        self._ends: list[float] = []
        self.most_in_flight = self.timeouts = 0

    def send(self, request: http.Request) -> http.Response:
        sent = self._time.seconds
        try:
            return super().send(request)
        except OutcomeUnknownError:
            self.timeouts += 1
            raise
        finally:
            self._ends = [end for end in self._ends if end > sent] + [self._time.seconds]
            self.most_in_flight = max(self.most_in_flight, len(self._ends))


# ---------------------------------------------------------------------------------------- the gear


class SimulatedClock(FakeClock):
    """A clock that keeps no list of its sleeps, which would count as the gear's memory."""

    def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)


class WatchedReport(BatchReport):
    """Lets time pass while it is written, and knows how far behind the one on disk was."""

    def __init__(self, records: Iterable[SnapshotRecord], folder: Path, clock: Clock) -> None:
        super().__init__(records, folder, clock)
        self._time = cast(FakeClock, clock)
        self._behind_since: float | None = None
        self.saves = 0
        self.seconds = self.slowest = self.lag = self.saved = 0.0

    def update(self, record: SnapshotRecord) -> None:
        super().update(record)
        if self._behind_since is None:
            self._behind_since = self._time.seconds

    def save(self) -> Path:
        began = time.perf_counter()
        path = super().save()
        took = time.perf_counter() - began
        self._time.seconds += took
        self._due += took
        if self._behind_since is not None:
            self.lag = max(self.lag, self._time.seconds - self._behind_since)
            self._behind_since = None
        self.saves, self.saved = self.saves + 1, time.perf_counter()
        self.seconds += took
        if self.saves > 1:  # the first one loads pandas
            self.slowest = max(self.slowest, took)
        return path


def run(case: Case, pipe: Connection, folder: Path) -> Simulated:
    """Run the gear on the site at the other end of the pipe."""
    began = time.perf_counter()
    clock = SimulatedClock()
    transport = WatchedTransport(pipe, clock)
    job = {"config": {"project filter": "ALL", "timeout minutes": case.timeout_minutes}}
    reports: list[WatchedReport] = []

    def watched(records: Iterable[SnapshotRecord], folder: Path, clock: Clock) -> WatchedReport:
        reports.append(WatchedReport(records, folder, clock))
        return reports[-1]

    with mock.patch.object(gear, "BatchReport", watched):
        summary = gear.run(
            parse_config(job, read_json(ROOT / "manifest.json")),
            site=Site(transport, clock),
            workers=InTurn(clock),
            clock=clock,
            output=folder,
            work=folder,
            site_url="https://flywheel.example.org",
        )
    [report] = reports
    page_seconds = time.perf_counter() - report.saved
    peak = peak_mib("self")
    pipe.send(None)
    seen: dict[str, Any] = pipe.recv()
    measured = Measured(
        **seen,
        complete=summary.counts.get("complete", 0),
        wall_seconds=clock.seconds,
        most_in_flight=transport.most_in_flight,
        timeouts=transport.timeouts,
        peak_mib=peak,
        saving_share=report.seconds / clock.seconds,
    )
    return Simulated(
        measured,
        saves=report.saves,
        save_seconds=report.slowest,
        lag_seconds=report.lag,
        allowed_lag_seconds=max(OFTEN_SECONDS, 100 * report.slowest),
        page_mib=(folder / page.PAGE_NAME).stat().st_size / 2**20,
        page_seconds=page_seconds,
        process_seconds=time.perf_counter() - began,
    )


def simulate(case: Case) -> Simulated:
    """Run the gear on a site as the case has it, in a process of its own."""
    [name] = [n for n, other in CASES.items() if replace(other, projects=case.projects) == case]
    command = [sys.executable, "-m", "benchmarks.simulated", name, str(case.projects)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return Simulated(**{**told, "measured": Measured(**told["measured"])})


def main(case: Case) -> None:
    """Start the site, run the gear on it, and print what was measured."""
    logging.getLogger().addHandler(logging.NullHandler())
    ours, its = multiprocessing.Pipe()
    site = multiprocessing.get_context("spawn").Process(target=serve, args=(case, its), daemon=True)
    site.start()
    ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(run(case, ours, Path(folder)))))


if __name__ == "__main__":
    name, *projects = sys.argv[1:]
    main(replace(CASES[name], projects=int(projects[0])) if projects else CASES[name])
