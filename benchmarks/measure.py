"""Runs a client as a process against a simulated site, and measures it from outside."""

import csv
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flywheel_site_simulator import Job, SimulatedSite, SimulatorServer
from flywheel_site_simulator.example import add_projects

from .cases import Case

ROOT = Path(__file__).resolve().parents[1]
REPORT = "snapshot_report.csv"
LOG = "log.txt"


@dataclass(frozen=True)
class Measured:
    """What came of one run."""

    exit_status: int
    complete: int
    wall_seconds: float
    site_seconds: float
    calls: dict[str, int]
    most_in_flight: int
    most_calls_per_second: int
    peak_mib: float
    cpu_seconds: float
    saving_share: float


def measure_gear(case: Case, folder: Path) -> Measured:
    """Run the gear on a new site."""
    with _served(case) as server, _job_log(folder) as log:
        config = {"project filter": "ALL", "timeout minutes": case.timeout_minutes, "debug": True}
        job = Job(folder, ROOT, server.api_key(), config)
        job.lay_out()
        began = time.monotonic()
        with job.started(log) as process:
            return _measure(process, began, folder, server.site)


def measure_sequential(case: Case, folder: Path) -> Measured:
    """Run the sequential client on a new site."""
    with _served(case) as server, _job_log(folder) as log:
        report = folder / REPORT
        command = [sys.executable, "-m", "benchmarks.sequential", server.api_key(), str(report)]
        began = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True) as process:
            return _measure(process, began, folder, server.site)


def measure_start_up(folder: Path) -> float:
    """Measure the time from the gear's start to its first request at the site, in seconds."""
    with _served(Case(1, 0.0, (0.0, 0.0))) as server:
        job = Job(folder, ROOT, server.api_key(), {"project filter": "ALL"})
        job.lay_out()
        began = time.time()
        with job.started() as process:
            process.communicate()
        return server.site.requests[0].time - began


def _served(case: Case) -> SimulatorServer:
    """Make a server of a site as the case has it."""
    site = SimulatedSite(
        build_seconds=case.build_seconds,
        build_slots=case.build_slots,
        create_seconds=case.create_seconds,
        status_seconds=case.status_seconds,
        list_seconds=case.list_seconds,
        page_seconds=0.05,
    )
    add_projects(site, case.projects, groups=5)
    return SimulatorServer(site)


def _job_log(folder: Path) -> IO[str]:
    folder.mkdir(parents=True)
    return (folder / LOG).open("w", encoding="utf-8")


def _measure(
    process: subprocess.Popen[str], began: float, folder: Path, site: SimulatedSite
) -> Measured:
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    [report] = folder.rglob(REPORT)
    rows = _rows(report)
    finished = [snapshot.finishes for row in rows for snapshot in site.snapshots(row["project_id"])]
    first_create = next(request.time for request in site.requests if request.kind == "create")
    polls = Counter(int(request.time) for request in site.requests if request.kind == "detail")
    saving = re.search(r"reports took ([0-9.]+) s", (folder / LOG).read_text(encoding="utf-8"))
    return Measured(
        process.returncode,
        sum(row["status"] == "complete" for row in rows),
        wall,
        max(finished) - first_create,
        Counter(request.kind for request in site.requests),
        site.most_in_flight,
        max(polls.values(), default=0),
        usage.ru_maxrss / 1024,
        usage.ru_utime + usage.ru_stime,
        float(saving[1]) / wall if saving else 0.0,
    )


def _rows(report: Path) -> list[dict[str, str]]:
    with report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
