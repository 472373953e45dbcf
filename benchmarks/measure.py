"""Runs a client as a process against a simulated site, and measures it from outside."""

import csv
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flywheel_site_simulator import Job, LoggedRequest, SimulatedSite, SimulatorServer
from flywheel_site_simulator.example import add_projects

from .cases import Case

ROOT = Path(__file__).resolve().parents[1]
REPORT = "snapshot_report.csv"
LOG = "log.txt"
_LOOK_SECONDS = 0.02  # how often a process is asked for its memory


@dataclass(frozen=True)
class Measured:
    """What came of one run.

    Attributes:
        site_seconds: What the site itself needed: from the first create to its last build's end.
        rate: How many calls a second came while creates did.
        timeouts: How many calls the client gave up before the site answered.
        saving_share: The part of the time in which the gear wrote reports.
    """

    projects: int
    complete: int
    wall_seconds: float
    site_seconds: float
    calls: float
    rate: float
    most_in_flight: int
    most_calls_per_second: int
    timeouts: int
    peak_mib: float
    saving_share: float | None = None


def measure_gear(case: Case, folder: Path) -> Measured:
    """Run the gear on a new site."""
    with served(case) as server, _job_log(folder) as log:
        config = {"project filter": "ALL", "timeout minutes": case.timeout_minutes, "debug": True}
        job = Job(folder, ROOT, server.api_key(), config)
        job.lay_out()
        began = time.monotonic()
        with job.started(log) as process:
            return _measure(process, began, folder, server.site)


def measure_client(case: Case, folder: Path, module: str, *arguments: object) -> Measured:
    """Run one of the clients beside ours on a new site."""
    with served(case) as server, _job_log(folder) as log:
        told = [server.api_key(), str(folder / REPORT), *map(str, arguments)]
        command = [sys.executable, "-m", f"benchmarks.{module}", *told]
        began = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True) as process:
            return _measure(process, began, folder, server.site)


def measure_start_up(folder: Path) -> float:
    """Measure the time from the gear's start to its first request at the site, in seconds."""
    with served(Case(1, 0.0, (0.0, 0.0))) as server:
        job = Job(folder, ROOT, server.api_key(), {"project filter": "ALL"})
        job.lay_out()
        began = time.time()
        with job.started(subprocess.DEVNULL) as process:
            process.wait()
        return server.site.requests[0].time - began


def served(case: Case) -> SimulatorServer:
    """Make a server of a site as the case has it."""
    return SimulatorServer(make_site(case))


def make_site(case: Case, **more: Any) -> SimulatedSite:
    """Make a site as the case has it."""
    site = SimulatedSite(
        **more,
        build_seconds=case.build_seconds,
        build_slots=case.build_slots,
        create_seconds=case.create_seconds,
        status_seconds=case.status_seconds,
        list_seconds=case.status_seconds,
        page_seconds=0.05,
        slows_down_at=case.slows_down_at,
    )
    add_projects(site, case.projects, groups=5)
    return site


def peak_mib(process: int | str) -> float:
    """Return how much memory a process has used at the most; 0 where it has ended.

    Not what ``wait4`` says: that counts what this process has, too.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def rates(requests: Sequence[LoggedRequest]) -> tuple[float, int]:
    """Return how many calls a second came while creates did, and in the busiest second."""
    creates = [request.time for request in requests if request.kind == "create"]
    between = sum(creates[0] <= request.time <= creates[-1] for request in requests)
    seconds = creates[-1] - creates[0]
    rate = between / seconds if seconds else 0.0
    return rate, max(Counter(int(request.time) for request in requests).values())


def last_finish(site: SimulatedSite) -> float:
    """Return when the last snapshot was built, in unix seconds."""
    created = {request.project_id for request in site.requests if request.kind == "create"}
    return max(snapshot.finishes for project in created for snapshot in site.snapshots(project))


def _job_log(folder: Path) -> IO[str]:
    folder.mkdir(parents=True)
    return (folder / LOG).open("w", encoding="utf-8")


def _measure(
    process: subprocess.Popen[str], began: float, folder: Path, site: SimulatedSite
) -> Measured:
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_mib(process.pid))
        time.sleep(_LOOK_SECONDS)
    wall = time.monotonic() - began
    log = (folder / LOG).read_text(encoding="utf-8")
    found = list(folder.rglob(REPORT))
    if process.returncode != 0 or not found:
        sys.exit(f"exit status {process.returncode}:\n{log[-2000:]}")
    with found[0].open(encoding="utf-8", newline="") as file:
        complete = sum(row["status"] == "complete" for row in csv.DictReader(file))
    creates = [request.time for request in site.requests if request.kind == "create"]
    rate, busiest = rates(site.requests)
    saving = re.search(r"reports took ([0-9.]+) s", log)
    return Measured(
        projects=len(creates),
        complete=complete,
        wall_seconds=wall,
        site_seconds=last_finish(site) - creates[0],
        calls=len(site.requests) / len(creates),
        rate=rate,
        most_in_flight=site.most_in_flight,
        most_calls_per_second=busiest,
        timeouts=site.traffic.given_up,
        peak_mib=peak,
        saving_share=float(saving[1]) / wall if saving else None,
    )
