"""The story of a run: find, start, wait, report."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import finder
from .clock import Clock
from .download import downloader
from .errors import OutputError, ReportLostError
from .finder import Batch
from .models import Project, SnapshotStatus
from .parser import GearConfig
from .poller.loop import Poller
from .report import csv_report, page
from .report.summary import Summary
from .reporter import BatchReport
from .site.client import Site
from .text import counted
from .workers import TaskQueue, Workers

log = logging.getLogger(__name__)

_HIDDEN_SECONDS = 10.0  # once all is done, nobody waits longer to learn what ALL leaves out


def run(
    config: GearConfig,
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
    output: Path,  # for the report, the page and the archive
    work: Path,  # for what is in the making; nothing is left in it
    site_url: str = "",  # the site's root, for the page's links
) -> Summary:
    """Snapshot every project that the config names, and report on each.

    Whatever happens once the projects are known, the report in ``output`` speaks of all of them.

    Raises:
        GearError: The run can't be done; its text is for the person who reads the log.
        TerminatedError: The run was told to end; the report is written.
    """
    batch = _find(config, site)
    report = BatchReport(batch.records, output, clock)
    report.save()
    hidden: tuple[Project, ...] | None = None
    asked: TaskQueue[tuple[Project, ...] | None] = workers.queue()
    try:
        if config.is_all:  # beside the work: what it takes delays no snapshot
            asked.submit(partial(finder.hidden_from_all, site, batch))
        if config.dry_run:
            log.info("A dry run: nothing is started")
        else:
            _snapshot(config, batch, report, site, workers, clock)
        if config.download and not config.dry_run:
            for record in downloader.fetch_all(
                report.records,
                site=site,
                workers=workers,
                clock=clock,
                work=work,
                output=output,
                tick=report.save_if_due,
            ):
                report.update(record)
        for found in asked.results(clock.monotonic() + _HIDDEN_SECONDS):
            hidden = found
    finally:
        asked.cancel_pending()
        to_fetch = config.download and not config.dry_run
        summary = Summary.of(report.records, to_fetch=to_fetch, hidden=hidden)
        _finish(report, summary)
    try:
        page.write(report.records, summary, output, site_url=site_url, written_at=site.now())
    except OutputError as error:
        log.warning("%s", error)
    except Exception:  # the report is what counts, and is written
        log.exception(
            "The page could not be made, which is a defect of the gear; the report is whole"
        )
    return summary


def _find(config: GearConfig, site: Site) -> Batch:
    """Find the batch; the report is read in full before the site is asked for anything."""
    if config.retry_report is None:
        site.check()
        batch = finder.find_by_filter(site, config.project_filter, config.batch_label)
    else:
        rows = csv_report.read(config.retry_report)
        site.check()
        log.info("Retrying what the report %s names", config.retry_report.name)
        if config.project_filter != "":
            log.info("The report wins: the project filter is not used")
        batch = finder.find_by_report(site, rows, config.batch_label)
    return batch.planned() if config.dry_run else batch


def _snapshot(
    config: GearConfig,
    batch: Batch,
    report: BatchReport,
    site: Site,
    workers: Workers,
    clock: Clock,
) -> None:
    """Bring each project to its snapshot; the report follows each step."""
    ordered = {order.record.project.id for order in batch.orders}
    others = (record for record in batch.records if record.project.id not in ordered)
    timeout, attempts = config.timeout_seconds, config.attempts
    poller = Poller(site, workers, clock, report, timeout_seconds=timeout, attempts=attempts)
    poller.run(batch.orders, others)
    for record in report.records:
        if config.attempts > 1 and record.started and not record.is_complete:
            started = counted(record.started, "snapshot")
            report.update(replace(record, error=f"{record.error} ({started} started in this run)"))


def _finish(report: BatchReport, summary: Summary) -> None:
    """Write the last report, and in the log what the batch has come to; if need be, every row."""
    try:
        path = report.save()
    except OutputError as error:
        for record in report.records:
            snapshot_id = record.snapshot_id or "none"
            log.error("%s: snapshot %s: %s", record.described, snapshot_id, record.status)
        raise ReportLostError(f"{error}; what was started is in the lines above") from None
    counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items())
    log.info("%s: %s; report: %s", counted(summary.total, "project"), counts, path.name)
    for record in summary.incomplete:
        if record.status != SnapshotStatus.PLANNED:
            why = record.reason or "the run ended before it was fetched"
            log.warning("%s: %s: %s", record.described, record.status, why)
    log.debug("%s", report.effort)
