"""The story of a run: find, start, wait, report."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import finder, import_beside
from .clock import Clock
from .download import copying
from .errors import TerminatedError
from .finder import Batch, Moment
from .models import Project, whole_seconds
from .parser import PREVIOUS_INPUT, GearConfig
from .poller.loop import Poller
from .report import csv_report
from .report.changes import compare
from .report.summary import Summary
from .reporter import BatchReport, write_last, write_page
from .site.client import Site
from .site.filters import check_filter
from .text import counted
from .workers import TaskQueue, Workers

if TYPE_CHECKING:
    from .download.copies import Copies
    from .download.downloader import Downloader

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
    copies: "Copies | None" = None,  # the place for copies; None: none are wanted
    site_url: str = "",  # the site's root, for the page's links
    job_id: str = "",  # empty: the site tells it, if it is a job's key
) -> Summary:
    """Snapshot every project that the config names, and report on each.

    Whatever happens once the projects are known, the report in ``output`` speaks of all of them.

    Raises:
        GearError: The run can't be done; its text is for the person who reads the log.
        TerminatedError: The run was told to end; the report is written.
    """
    began = clock.monotonic()
    previous = config.previous_report and csv_report.read(config.previous_report, PREVIOUS_INPUT)
    if copies:
        copying.try_out(copies, workers, clock)
    batch, begin = _find(config, site, job_id)
    report = BatchReport(batch.records, output, clock)
    report.save()
    downloader = None
    if config.is_fetched:
        from .download.downloader import Downloader  # noqa: PLC0415  not sooner: few runs need it

        downloader = Downloader(
            report,
            site=site,
            workers=workers,
            clock=clock,
            work=work,
            output=output,
            is_archived=config.download,
            copies=copies,
        )
    hidden: tuple[Project, ...] | None = None
    asked: TaskQueue[tuple[Project, ...] | None] = workers.queue()
    try:
        if config.is_all:  # beside the work: what it takes delays no snapshot
            asked.submit(partial(finder.hidden_from_all, site, batch))
        if config.is_plan:
            log.info("A dry run: nothing is started")
        else:
            _snapshot(config, batch, report, site, workers, clock, downloader)
        for found in asked.results(clock.monotonic() + _HIDDEN_SECONDS):
            hidden = found
    finally:
        asked.cancel_pending()
        if downloader:
            downloader.close()
        summary = Summary.of(
            report.records,
            to_fetch=config.is_fetched and config.download,
            copy_to=copies.url if copies else "",
            hidden=hidden,
            changes=compare(previous, report.records) if previous else None,
            audit_hours=config.reuse_hours if config.is_audit else 0.0,
        )
        write_last(report, summary, clock.monotonic() - began)
    seconds = clock.monotonic() - began
    make_page = partial(write_page, report, seconds=seconds, site_url=site_url, job_id=job_id)
    make_page(summary, config, site)
    if copies and not copying.copy_batch(copies, report, begin, workers, clock):
        summary = replace(summary, is_batch_copied=False)
        make_page(summary, config, site)
    return summary


def _find(config: GearConfig, site: Site, job_id: str) -> tuple[Batch, datetime]:
    """Find the batch, and when it began; the report is read before the site is asked."""
    report, label = config.retry_report, config.batch_label
    rows = csv_report.read(report) if report else []
    if report is None:
        check_filter(config.filter_text)
    site.check()
    # For the outputs; what the report needs comes first.
    import_beside("pandas", "jinja2", f"{__package__}.report.page", "flywheel_gear_toolkit")
    moment = _moment(config, site, job_id or site.job_id)
    if report is None:
        batch = finder.find_by_filter(site, config.project_filter, label, moment)
    else:
        log.info("Retrying what the report %s names", report.name)
        if config.project_filter != "":
            log.info("The report wins: the project filter is not used")
        if label and all(row.batch_label for row in rows):
            log.info("The report names the batch: the config's snapshot batch name is not used")
        batch = finder.find_by_report(rows, label, moment)
    return batch.planned() if config.is_plan else batch, moment.begin


def _moment(config: GearConfig, site: Site, job_id: str) -> Moment:
    """Find out since when snapshots are wanted; the job's id is empty where nobody tells it."""
    first = None if config.dry_run else site.find_first_attempt(job_id)
    begin = site.now()
    if first and first.began:
        begin = min(begin, whole_seconds(first.began))
    reuse_since = None
    if config.reuse_hours:
        reuse_since = begin - timedelta(hours=config.reuse_hours)
        log.info("A snapshot that was made since %s will do", reuse_since.isoformat(" ", "seconds"))
    return Moment(begin, first is not None, reuse_since, config.is_audit)


def _snapshot(
    config: GearConfig,
    batch: Batch,
    report: BatchReport,
    site: Site,
    workers: Workers,
    clock: Clock,
    downloader: "Downloader | None",
) -> None:
    """Bring each project to its snapshot, and fetch those; the report follows each step."""
    ordered = {order.record.project.id for order in batch.orders}
    others = [record for record in batch.records if record.project.id not in ordered]
    if config.is_audit:
        log.info("An audit: nothing is started")
    if downloader:
        for record in others:
            downloader.add(record)
    poller = Poller(
        site,
        workers,
        clock,
        report,
        timeout_seconds=config.timeout_seconds,
        attempts=config.attempts,
        beside=downloader,
    )
    try:
        poller.run(batch.orders, others)
    except TerminatedError:
        if downloader:  # what it has is archived, as far as there is time
            downloader.finish()
        raise
    for record in report.records:
        if config.attempts > 1 and record.started and not record.is_complete:
            started = counted(record.started, "snapshot")
            report.update(replace(record, error=f"{record.error} ({started} started in this run)"))
    if downloader:
        downloader.finish()
