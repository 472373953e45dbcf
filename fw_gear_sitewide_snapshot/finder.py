"""Finds what the batch consists of: the projects that a filter names, or an earlier run's rows.

Decides for each what is to be done; does none of it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .errors import NothingFoundError
from .models import Project, SnapshotOrder, SnapshotRecord, SnapshotStatus, report_order
from .site.client import Site
from .text import counted, one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """The projects of a run, and what is to be done for them."""

    records: tuple[SnapshotRecord, ...]  # every project of the batch, each once
    orders: tuple[SnapshotOrder, ...]  # for which one is to be started, or looked for first

    def planned(self) -> "Batch":
        """Return the batch as a dry run reports it: what would be started is ``planned``.

        A row that was cut off stays as it is: it says since when to look for what may be there.
        """
        planned = {o.record.project.id for o in self.orders if o.wanted_since is None}
        records = tuple(
            replace(r, status=SnapshotStatus.PLANNED) if r.project.id in planned else r
            for r in self.records
        )
        return replace(self, records=records, orders=())


def find_by_filter(site: Site, project_filter: str | None, batch_label: str) -> Batch:
    """Resolve a filter (None: all that the user can see) into a batch; each is to be started.

    Raises:
        NothingFoundError: No project matches.
        SiteUnusableError: The site refuses the filter, or can't answer.
    """
    projects = {project.id: project for project in site.find_projects(project_filter)}
    asked = "ALL" if project_filter is None else project_filter
    if not projects:
        raise NothingFoundError(f"project filter: no project that you can see matches {asked}")
    log.info("%s matched by the project filter %s", counted(len(projects), "project"), asked)
    now = site.now()
    blank = (SnapshotRecord(project, batch_label=batch_label) for project in projects.values())
    records = sorted((record.reset_to_pending(now) for record in blank), key=report_order)
    return Batch(tuple(records), tuple(SnapshotOrder(record) for record in records))


def hidden_from_all(site: Site, batch: Batch) -> tuple[Project, ...] | None:
    """Return the projects that ``ALL`` leaves out, for a site administrator; None: not known."""
    visible = {record.project.id for record in batch.records}
    if len(visible) == 1:
        log.info("ALL is one project: a job that a gear rule starts sees its own project only")
    hidden = site.hidden_projects(visible)
    if hidden:
        groups = sorted({project.group for project in hidden})
        log.warning(
            "%s of the site not visible to you, and not in this batch; in %s: %s",
            counted(len(hidden), "project"),
            counted(len(groups), "group"),
            one_line(", ".join(groups)),
        )
    return None if hidden is None else tuple(hidden)


def find_by_report(site: Site, rows: Iterable[SnapshotRecord], batch_label: str) -> Batch:
    """Take an earlier run's rows as the batch, and decide what each of them needs.

    The label is for the rows that have none of their own; of the site, only its clock is read.
    """
    now = site.now()
    records: list[SnapshotRecord] = []
    orders: list[SnapshotOrder] = []
    for row in sorted(rows, key=report_order):
        record = replace(row, batch_label=row.batch_label or batch_label)
        if record.status in {SnapshotStatus.FAILED, SnapshotStatus.PLANNED}:
            record = record.reset_to_pending(now)
            orders.append(SnapshotOrder(record, look_up=True, failed_id=row.snapshot_id))
        elif not record.is_complete and not record.is_running:
            # The run was cut off: its create may or may not have reached the site.
            orders.append(SnapshotOrder(record, look_up=True, wanted_since=record.timestamp))
        records.append(record)
    running = sum(record.is_running for record in records)
    complete = len(records) - running - len(orders)
    words = "%s in the report: %d complete, %d still running, %d to start"
    log.info(words, counted(len(records), "project"), complete, running, len(orders))
    return Batch(tuple(records), tuple(orders))
