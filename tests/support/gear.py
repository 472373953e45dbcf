"""Runs the gear as the platform does: as a process, in a folder with config.json and input/."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from flywheel_site_simulator import SimulatorServer

from .repository import ROOT, read_manifest

Name = TypeVar("Name")
Ended = TypeVar("Ended")

REPORT = "snapshot_report.csv"
CONTRACT_COLUMNS = [
    "group_label",
    "project_label",
    "project_id",
    "snapshot_id",
    "timestamp",
    "batch_label",
    "status",
    "error",
]
MakeGear = Callable[..., "GearFolder"]
Reported = dict[str, dict[str, str]]
"""The rows of a report by project id."""
RunHere = Callable[..., Reported]
PLATFORM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class GearRun:
    """A run that has ended."""

    folder: Path
    exit_status: int
    log: str
    seconds: float

    @property
    def report(self) -> Path:
        return self.folder / "output" / REPORT

    @property
    def rows(self) -> list[dict[str, str]]:
        """The report's rows as plain CSV has them (cells not unescaped)."""
        return rows_of(self.report)

    def row(self, project_id: str) -> dict[str, str]:
        """The one row of a project."""
        (row,) = [row for row in self.rows if row["project_id"] == project_id]
        return row

    @property
    def statuses(self) -> dict[str, str]:
        """Status by project id."""
        return {row["project_id"]: row["status"] for row in self.rows}

    @property
    def errors(self) -> list[str]:
        """The log's lines at ERROR."""
        return self.lines(" ERROR ")

    def lines(self, *parts: str) -> list[str]:
        """The log's lines that hold all of these texts."""
        return [line for line in self.log.splitlines() if all(part in line for part in parts)]

    @property
    def last_block(self) -> list[str]:
        """The log's lines from the one that counts the batch by status, to the end."""
        lines = self.log.splitlines()
        counts = [
            n for n, line in enumerate(lines) if re.search(r" INFO +[\d,]+ projects?: ", line)
        ]
        return lines[counts[-1] :] if counts else []

    @property
    def files(self) -> set[str]:
        """The names of what is in output/, hidden files and folders too."""
        return {path.name for path in (self.folder / "output").iterdir()}


@dataclass
class GearFolder:
    """A folder as the platform lays it out for one job."""

    path: Path
    api_key: str | None
    config: dict[str, Any] = field(default_factory=dict)

    def prepare(self, retry_failed: Path | None = None) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "output").mkdir(exist_ok=True)
        shutil.copy(ROOT / "manifest.json", self.path / "manifest.json")
        inputs: dict[str, Any] = {}
        if self.api_key is not None:
            inputs["api-key"] = {"base": "api-key", "key": self.api_key}
        if retry_failed is not None:
            place = self.path / "input" / "retry failed" / retry_failed.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(retry_failed, place)
            inputs["retry failed"] = {
                "base": "file",
                "hierarchy": {"type": "project", "id": "a" * 24},
                "location": {"name": place.name, "path": str(place)},
                "object": {"type": "tabular data", "size": place.stat().st_size},
            }
        document = {
            "config": self.config,
            "inputs": inputs,
            "destination": {"type": "project", "id": "a" * 24},
            "job": {"id": "b" * 24},
        }
        (self.path / "config.json").write_text(json.dumps(document))

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """Start the gear; the caller waits for it or ends it."""
        # The platform's bare environment; what measures coverage comes along.
        environment = {k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}
        environment |= {"PATH": PLATFORM_PATH, "PYTHONUNBUFFERED": "1"}
        environment |= read_manifest()["environment"]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py")],
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run(self, retry_failed: Path | None = None, *, timeout_seconds: float = 120) -> GearRun:
        """Run the gear to its end."""
        self.prepare(retry_failed)
        began = time.monotonic()
        with self.started() as process:
            log, _ = process.communicate(timeout=timeout_seconds)
            status = process.returncode
        return GearRun(self.path, status, log, time.monotonic() - began)


def gear_maker(folder: Path, server: SimulatorServer) -> MakeGear:
    """What makes jobs for a served site, each in a folder of its own.

    The function takes the config by name, and ``api_key``: None for the site's own, "" for a job
    without one.
    """
    made = 0

    def make(api_key: str | None = None, **config: Any) -> GearFolder:
        nonlocal made
        made += 1
        key = server.api_key() if api_key is None else (api_key or None)
        return GearFolder(folder / f"job{made}", key, config)

    return make


def run_together(runs: Mapping[Name, Callable[[], Ended]]) -> dict[Name, Ended]:
    """Run gears at the same time, as much of a run is waiting; gives what came of them by name.

    They run in threads, and pytest's fixtures are not made for these: make folders beforehand.
    """
    with ThreadPoolExecutor(max_workers=6) as pool:
        begun = {name: pool.submit(run) for name, run in runs.items()}
        return {name: run.result() for name, run in begun.items()}


def rows_of(report: Path) -> list[dict[str, str]]:
    """A report's rows as plain CSV has them (cells not unescaped)."""
    with report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
