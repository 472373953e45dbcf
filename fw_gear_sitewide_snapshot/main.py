"""The story of a run: find, start, wait, report."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import downloader, finder, page, reporter, snapshot
from .batch import BatchReport
from .clock import Clock
from .errors import OutputError, ReportLostError
from .finder import Batch
from .models import SnapshotRecord, SnapshotStatus, StartOrder, Summary
from .parser import GearConfig
from .poller import Poller
from .restarts import Restart
from .site import Site
from .wording import counted
from .workers import Workers

log = logging.getLogger(__name__)


def run(
    config: GearConfig,
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
    output: Path,
    work: Path,
    site_url: str = "",
) -> Summary:
    """Snapshot every project that the config names, and report on each.

    Whatever happens once the projects are known, the report in ``output`` speaks of all of them.

    Args:
        config: What to do.
        site: The site to do it on.
        workers: How many calls at a time.
        clock: The time to do it by.
        output: The folder that the report, the page and the archive go into.
        work: A folder for what is in the making; nothing is left in it.
        site_url: The site's root, for the page's links.

    Returns:
        What the batch has come to.

    Raises:
        GearError: The run can't be done; its text is for the person who reads the log.
        TerminatedError: The run was told to end; the report is written.
    """
    batch = next(workers.each(lambda site: _find(config, site), [site]))
    report = BatchReport(batch.records, output, clock)
    report.save()
    hidden = None
    try:
        if config.is_all:
            hidden = next(workers.each(partial(finder.hidden_from_all, site), [batch]))
        if config.dry_run:
            log.info("A dry run: nothing is started")
        else:
            _snapshot(config, batch, report, site=site, workers=workers, clock=clock)
        if config.download and not config.dry_run:
            for record in downloader.fetch_all(
                report.records, site=site, workers=workers, clock=clock, work=work, output=output
            ):
                report.update(record)
    finally:
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
    """The batch; the report is read in full before the site is asked for anything."""
    if config.retry_report is None:
        site.check()
        batch = finder.find_by_filter(site, config.project_filter, config.batch_label)
    else:
        rows = reporter.read(config.retry_report)
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
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
) -> None:
    """Start what is to be started, then wait for it; the report follows each step."""

    def prepare_restarts(failed: list[SnapshotRecord]) -> list[Restart]:
        """Another snapshot for each project that has not had all its attempts."""
        start_again = partial(snapshot.start_again, site=site, clock=clock)
        restarts = []
        for record in failed:
            if record.started < config.attempts:
                again = record.about_to_start(site.now())
                order = StartOrder(again, verify=True, known_id=record.snapshot_id)
                restarts.append(Restart(record, again, partial(start_again, order)))
        if not restarts:
            return []
        for restart in restarts:
            report.update(restart.record)
        try:
            report.save()  # a run that is killed now tells the next one since when to look
        except OutputError as error:
            log.warning("%s; so nothing is started again", error)
            for record in failed:
                report.update(record)
            return []
        return restarts

    for record in snapshot.start(batch.orders, site=site, workers=workers, clock=clock):
        report.update(record)
    poller = Poller(site, workers, clock, config.timeout_seconds, prepare_restarts)
    for record in poller.wait(report.records):
        report.update(record)
        if record.status == SnapshotStatus.FAILED and record.snapshot_id:
            log.info("%s: snapshot %s failed", record.project.path, record.snapshot_id)
    for record in report.records:
        if config.attempts > 1 and record.started and not record.is_complete:
            started = counted(record.started, "snapshot")
            report.update(replace(record, error=f"{record.error} ({started} started in this run)"))


def _finish(report: BatchReport, summary: Summary) -> None:
    """Write the last report and say in the log what the batch has come to.

    Raises:
        ReportLostError: It can't be written; every row is in the log instead.
    """
    try:
        path = report.save()
    except OutputError as error:
        for record in report.records:
            log.error(
                "%s (%s): snapshot %s: %s",
                record.project.path,
                record.project.id,
                record.snapshot_id or "none",
                record.status,
            )
        raise ReportLostError(f"{error}; what was started is in the lines above") from None
    _log_summary(summary, path)
    log.debug("%s", report.effort)


def _log_summary(summary: Summary, path: Path) -> None:
    """The log's last block: counts by status, and why each project is not complete."""
    counts = ", ".join(f"{count} {status}" for status, count in summary.counts.items())
    log.info("%s: %s; report: %s", counted(summary.total, "project"), counts, path.name)
    for record in summary.incomplete:
        if record.status != SnapshotStatus.PLANNED:
            unknown = "was fetched" if record.is_complete else "was known how this ends"
            log.warning(
                "%s (%s): %s: %s",
                record.project.path,
                record.project.id,
                record.status,
                record.error or f"the run ended before it {unknown}",
            )
