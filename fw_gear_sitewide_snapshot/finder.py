"""Finds what the batch consists of: the projects that a filter names, or an earlier run's rows.

Decides for each what is to be done; does none of it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from .errors import NothingFoundError
from .models import (
    Project,
    SnapshotOrder,
    SnapshotRecord,
    SnapshotStatus,
    report_order,
    whole_seconds,
)
from .site.client import Site
from .site.filters import hints_for
from .text import counted, one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """Since when a snapshot is wanted of each project, by the site's clock."""

    begin: datetime  # of the batch: what was made since then is its own
    is_resumed: bool = False  # whether an earlier attempt may have started some of them
    reuse_since: datetime | None = None  # what was made since then will do; None: only its own
    is_audit: bool = False  # whether nothing is to be started

    def order(
        self, record: SnapshotRecord, *, look_up: bool = False, failed_id: str = ""
    ) -> SnapshotOrder:
        """Return the order for a project, of which an earlier attempt may have started one."""
        return SnapshotOrder(
            record,
            look_up=look_up,
            wanted_since=self.begin if self.is_resumed else None,
            reuse_since=self.reuse_since,
            is_audit=self.is_audit,
            failed_id=failed_id,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """The projects of a run, and what is to be done for them."""

    records: tuple[SnapshotRecord, ...]  # every project of the batch, each once
    orders: tuple[SnapshotOrder, ...]  # what is to be started, looked for, or waited for

    def planned(self) -> "Batch":
        """Return the batch as a dry run reports it: what would be started is ``planned``.

        A row that was cut off stays as it is: it says since when to look for what may be there.
        """
        started = (o.record for o in self.orders if o.wanted_since is None)
        planned = {record.project.id for record in started if not record.is_running}
        records = tuple(
            replace(r, status=SnapshotStatus.PLANNED) if r.project.id in planned else r
            for r in self.records
        )
        return replace(self, records=records, orders=())


def find_by_filter(
    site: Site, project_filter: str | None, batch_label: str, moment: Moment
) -> Batch:
    """Resolve a filter into a batch; each project is to be started.

    Without a filter it is every project that the user is a member of.

    Raises:
        NothingFoundError: No project matches.
        SiteUnusableError: The site refuses the filter, or can't answer.
    """
    projects = {project.id: project for project in site.find_projects(project_filter)}
    asked = "ALL" if project_filter is None else project_filter
    if not projects:
        raise NothingFoundError(
            f"project filter: no project that you are a member of matches {asked}{hints_for(asked)}"
        )
    log.info("%s matched by the project filter %s", counted(len(projects), "project"), asked)
    blank = (SnapshotRecord(project, batch_label=batch_label) for project in projects.values())
    pending = (record.reset_to_pending(moment.begin) for record in blank)
    records = tuple(sorted(pending, key=report_order))
    return Batch(records, tuple(map(moment.order, records)))


def hidden_from_all(site: Site, batch: Batch) -> tuple[Project, ...] | None:
    """Return the projects that ``ALL`` leaves out, for a site administrator; None: not known."""
    visible = {record.project.id for record in batch.records}
    if len(visible) == 1:
        log.info("ALL is one project: a job that a gear rule starts sees its own project only")
    hidden = site.hidden_projects(visible)
    if hidden:
        groups = sorted({project.group for project in hidden})
        log.warning(
            "You are not a member of %s of the site, which are not in this batch; in %s: %s",
            counted(len(hidden), "project"),
            counted(len(groups), "group"),
            one_line(", ".join(groups)),
        )
    return None if hidden is None else tuple(hidden)


def find_by_report(rows: Iterable[SnapshotRecord], batch_label: str, moment: Moment) -> Batch:
    """Take an earlier run's rows as the batch, and decide what each of them needs.

    The label is for the rows that have none of their own.
    """
    records: list[SnapshotRecord] = []
    orders: list[SnapshotOrder] = []
    for row in sorted(rows, key=report_order):
        record = replace(row, batch_label=row.batch_label or batch_label)
        if moment.is_audit and row.snapshot_id:
            # Also of what is complete: it may be too old.
            order = moment.order(record.reset_to_pending(moment.begin))
            has_failed = record.status == SnapshotStatus.FAILED
            orders.append(replace(order, audited=None if has_failed else record))
        elif record.status in {SnapshotStatus.FAILED, SnapshotStatus.PLANNED}:
            record = record.reset_to_pending(moment.begin)
            orders.append(moment.order(record, look_up=True, failed_id=row.snapshot_id))
        elif not record.is_complete:
            # The run was cut off: its create may or may not have reached the site. And where the
            # running one has failed, a run whose report was lost may have started another.
            # A time that is ahead of the site's clock would hide what this run itself starts.
            since = record.timestamp and min(record.timestamp, whole_seconds(moment.begin))
            if not record.is_running:
                record = replace(record, timestamp=since)
            order = moment.order(record, look_up=not record.is_running)
            orders.append(replace(order, wanted_since=since or order.wanted_since))
        records.append(record)
    running = sum(record.is_running for record in records)
    complete = sum(record.is_complete for record in records)
    rest = len(records) - complete - running
    words = f"{complete:,} complete, {running:,} still running, {rest:,} to start"
    if moment.is_audit:
        words = "all are looked at, nothing is started"
    log.info("%s in the report: %s", counted(len(records), "project"), words)
    return Batch(tuple(records), tuple(orders))
