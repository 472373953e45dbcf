"""Runs a client against a simulated site, both as processes, and measures from outside."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cases import Case

ROOT = Path(__file__).resolve().parents[1]
REPORT = "snapshot_report.csv"
_START_SECONDS = 60


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
    with _site(case, folder) as key:
        _prepare(folder, key, case)
        return _measure([sys.executable, str(ROOT / "run.py")], folder, key)


def measure_sequential(case: Case, folder: Path) -> Measured:
    """Run the sequential client on a new site."""
    with _site(case, folder) as key:
        (folder / "output").mkdir()
        report = folder / "output" / REPORT
        command = [sys.executable, "-m", "benchmarks.sequential", key, str(report)]
        return _measure(command, folder, key)


def measure_start_up(folder: Path) -> float:
    """How long it takes from the gear's start to its first request at the site, in seconds."""
    case = Case(1, 0.0, (0.0, 0.0))
    with _site(case, folder) as key:
        _prepare(folder, key, case)
        began = time.time()
        subprocess.run(
            [sys.executable, str(ROOT / "run.py")], cwd=folder, check=True, capture_output=True
        )
        return float(_statistics(key)["first_request"]) - began


def _measure(command: list[str], folder: Path, key: str) -> Measured:
    began = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    site = _statistics(key)
    saving = re.search(r"reports took ([0-9.]+) s", (folder / "log.txt").read_text())
    return Measured(
        process.returncode,
        _complete(folder / "output" / REPORT),
        wall,
        site["last_build_finished"] - site["first_create"],
        site["by_kind"],
        site["most_in_flight"],
        site["most_status_calls_per_second"],
        usage.ru_maxrss / 1024,
        usage.ru_utime + usage.ru_stime,
        float(saving[1]) / wall if saving else 0.0,
    )


def _complete(report: Path) -> int:
    with report.open(encoding="utf-8", newline="") as file:
        return sum(row["status"] == "complete" for row in csv.DictReader(file))


@contextmanager
def _site(case: Case, folder: Path) -> Iterator[str]:
    """Serve a site as the case has it; gives the API key to use."""
    folder.mkdir(parents=True)
    place = folder / "key.txt"
    shortest, longest = case.build_seconds
    options = {
        "projects": case.projects,
        "build-seconds": f"{shortest}:{longest}",
        "create-seconds": case.create_seconds,
        "status-seconds": case.status_seconds,
        "list-seconds": case.list_seconds,
        "port-file": place,
    }
    if case.build_slots is not None:
        options["build-slots"] = case.build_slots
    command = [sys.executable, "-m", "flywheel_site_simulator", "--port", "0"]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + _START_SECONDS
            while not (place.exists() and place.read_text().strip()):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("the simulated site did not start")
                time.sleep(0.05)
            yield place.read_text().strip()
        finally:
            process.terminate()


def _prepare(folder: Path, key: str, case: Case) -> None:
    shutil.copy(ROOT / "manifest.json", folder)
    (folder / "output").mkdir()
    config = {"project filter": "ALL", "timeout minutes": case.timeout_minutes, "debug": True}
    inputs = {"api-key": {"base": "api-key", "key": key}}
    destination = {"type": "project", "id": "a" * 24}
    document = {"config": config, "inputs": inputs, "destination": destination, "job": {"id": "1"}}
    (folder / "config.json").write_text(json.dumps(document))


def _statistics(key: str) -> dict[str, float | dict[str, int]]:
    host, port, *_ = key.split(":")
    url = f"http://{host}:{port}/simulator/statistics"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)
