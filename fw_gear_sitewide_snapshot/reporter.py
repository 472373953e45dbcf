"""Keeps the report on disk nearly up to date during a run; writes it and the page at the end."""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from .clock import Clock
from .errors import ConfigError, OutputError, ReportLostError
from .models import SnapshotRecord, report_order
from .parser import GearConfig
from .report import csv_report
from .report.log_summary import log_summary
from .report.summary import Summary
from .site.client import Site

log = logging.getLogger(__name__)

# What is on disk is never more than five seconds behind, or a hundred times what writing it takes.
# A change can come when a save has just begun: it waits for that, then for the rest and for the
# second in which nothing is looked after, and for the next save.
_SAVE_SECONDS = 4.0  # from one save to the next, at the least
_REST = 97.0  # times what writing has taken
LOOK_SECONDS = 1.0  # who waits calls ``save_if_due`` at least so often


class BatchReport:
    """The records of a run by project, each once, and their report in the output folder."""

    def __init__(self, records: Iterable[SnapshotRecord], folder: Path, clock: Clock) -> None:
        self._records = {record.project.id: record for record in records}
        self.folder = folder
        self._clock = clock
        self._due = 0.0
        self._is_behind = True
        self._saves = 0
        self._saving_seconds = 0.0

    @property
    def records(self) -> list[SnapshotRecord]:
        """The batch's records in the report's order."""
        return sorted(self._records.values(), key=report_order)

    @property
    def effort(self) -> str:
        """How often the report was written, and how long that took in all."""
        return f"{self._saves} reports took {self._saving_seconds:.2f} s"

    def update(self, record: SnapshotRecord) -> None:
        """Replace a project's record; the report on disk follows when it is due."""
        self._records[record.project.id] = record
        self._is_behind = True

    def save_if_due(self) -> None:
        """Save the report if the one on disk is behind, and old enough."""
        if not self._is_behind or self._clock.monotonic() < self._due:
            return
        try:
            self.save()
        except OutputError as error:  # the run goes on; a last save that fails ends it
            log.warning("%s", error)
            self._due = self._clock.monotonic() + _SAVE_SECONDS

    def save(self) -> Path:
        """Write the report now, or raise an OutputError; return its path."""
        began = time.perf_counter()
        path = csv_report.write(self._records.values(), self.folder)
        took = time.perf_counter() - began
        self._is_behind = False
        self._saves += 1
        self._saving_seconds += took
        # The first one loads pandas: its time says nothing of the next one's.
        rest = _REST * took - LOOK_SECONDS if self._due else 0.0
        self._due = self._clock.monotonic() + max(_SAVE_SECONDS, rest)
        return path


def write_last(report: BatchReport, summary: Summary, seconds: float) -> None:
    """Write the last report, and in the log what the batch has come to; if need be, every row.

    Raises:
        ReportLostError: It can't be written.
    """
    try:
        path = report.save()
    except OutputError as error:
        for record in report.records:
            snapshot_id = record.snapshot_id or "none"
            log.error("%s: snapshot %s: %s", record.described, snapshot_id, record.status)
        raise ReportLostError(f"{error}; what was started is in the lines above") from None
    log_summary(summary, path.name, seconds)
    log.debug("%s", report.effort)


def write_page(
    report: BatchReport,
    summary: Summary,
    config: GearConfig,
    site: Site,
    *,
    seconds: float,
    site_url: str,
    job_id: str,
) -> None:
    """Write the page of a run that took so many seconds; whatever goes wrong is logged."""
    try:
        from .report import page  # noqa: PLC0415  not sooner: nothing before the end needs it

        ended, retried = site.now(), config.retry_report
        facts = page.Run(
            ended=ended,
            began=ended - timedelta(seconds=seconds),
            site_url=site_url,
            asked_for=f"the report {retried.name}" if retried else config.filter_text,
            is_all=config.is_all,
            options=config.described(),
            user=site.user,
            job_id=job_id or site.job_id,
            attempt=site.attempt,
        )
        page.write(report.records, summary, report.folder, facts)
    except (ConfigError, OutputError) as error:
        log.warning("The page is not made: %s", error)
    except Exception:  # the report is what counts, and is written
        log.exception(
            "The page could not be made, which is a defect of the gear; the report is whole"
        )
