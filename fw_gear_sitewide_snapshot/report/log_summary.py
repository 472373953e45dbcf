"""Writes the log's last lines: what the batch has come to, and what a person is to do about it."""

import logging

from ..models import SnapshotStatus
from ..text import counted, duration, listed
from .advice import group_by_reason
from .log_changes import log_changes
from .summary import Summary

log = logging.getLogger(__name__)


def log_summary(summary: Summary, report_name: str, seconds: float) -> None:
    """Write the counts by status, what is not covered or has changed, and a line for each reason.

    ``seconds``: how long the run took.
    """
    words = {status: f"{count:,} {status}" for status, count in summary.counts.items()}
    if summary.reused and not summary.audit_hours:
        words[SnapshotStatus.COMPLETE] += f" ({summary.reused:,} reused)"
    projects, counts = counted(summary.total, "project"), ", ".join(words.values())
    took = duration(seconds)
    log.info("%s: %s; report: %s; the run took %s", projects, counts, report_name, took)
    if summary.hidden:
        hidden, site_total = len(summary.hidden), summary.total + len(summary.hidden)
        site = counted(site_total, "project")
        log.warning(
            "This is not the whole site: you are not a member of %s of its %s", hidden, site
        )
    if summary.changes:
        log_changes(summary.changes)
    is_told = (
        record
        for record in summary.incomplete
        if record.status != SnapshotStatus.PLANNED or summary.audit_hours
    )
    for group in group_by_reason(is_told, summary):
        names = listed([record.described for record in group.records])
        advice = f". {group.advice}" if group.advice else ""
        log.warning("%s: %s: %s%s", names, group.status, group.text, advice)
