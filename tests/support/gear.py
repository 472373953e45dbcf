"""Runs the gear as the platform does: as a process, in a folder with config.json and input/.

Most of these processes are forked (``forked.py``); ``is_executed`` starts a Python for each.
"""

import csv
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flywheel_site_simulator import SimulatorServer, job

from .forked import ForkedJob
from .repository import ROOT

Name = TypeVar("Name")
Ended = TypeVar("Ended")

REPORT = "snapshot_report.csv"
PLATFORM_PATH = job.PLATFORM_PATH
CONTRACT_COLUMNS = [
    "group_label",
    "project_label",
    "project_id",
    "snapshot_id",
    "timestamp",
    "batch_label",
    "status",
    "error",
    "size_bytes",
    "sha256",
    "subjects",
    "sessions",
    "acquisitions",
    "files",
    "origin",
    "finished_at",
    "copied_to",
]
MakeGear = Callable[..., "GearFolder"]
Reported = dict[str, dict[str, str]]
"""The rows of a report by project id."""
RunHere = Callable[..., Reported]


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
        """Return the one row of a project."""
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
        """List the log's lines that hold all of these texts."""
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


class GearFolder(ForkedJob):
    """A job of this gear."""

    def __init__(
        self,
        path: Path,
        api_key: str | None,
        config: Mapping[str, Any] | None = None,
        job_id: str = "b" * 24,
    ) -> None:
        super().__init__(path, ROOT, api_key, config or {}, job_id)

    def prepare(
        self,
        retry_failed: Path | None = None,
        previous: Path | None = None,
        credentials: Path | None = None,
    ) -> None:
        files = {
            "retry failed": retry_failed,
            "previous-report": previous,
            "storage-credentials": credentials,
        }
        self.lay_out({name: file for name, file in files.items() if file is not None})

    def run(
        self,
        retry_failed: Path | None = None,
        *,
        previous: Path | None = None,
        credentials: Path | None = None,
        timeout_seconds: float = 120,
    ) -> GearRun:
        """Run the gear to its end."""
        self.prepare(retry_failed, previous, credentials)
        began = time.monotonic()
        with self.started() as process:
            log, _ = process.communicate(timeout=timeout_seconds)
        return GearRun(self.path, process.returncode, log, time.monotonic() - began)


def gear_maker(folder: Path, server: SimulatorServer) -> MakeGear:
    """Return what makes jobs for a served site, each in a folder of its own.

    That function takes the config by name, and ``api_key``: None for the site's own, "" for a job
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
    """Read a report's rows as plain CSV has them (cells not unescaped)."""
    with report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
