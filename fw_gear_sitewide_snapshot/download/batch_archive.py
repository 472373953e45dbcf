"""Writes a run's archive: what was fetched, and the report of the batch."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace

from ..models import SnapshotContent, SnapshotRecord
from ..report import csv_report
from ..text import one_line
from .archive import SUMS_NAME, Archive
from .archive_names import names_for
from .disk_space import NoRoomError
from .fetch import Download, in_words

log = logging.getLogger(__name__)


def archive_batch(
    archive: Archive,
    fetched: Sequence[tuple[Download, SnapshotContent]],
    rows: dict[str, SnapshotRecord],
) -> tuple[dict[str, SnapshotRecord], int]:
    """Write and publish the archive, with a report of the batch's ``rows`` in it.

    Returns:
        By project id, the records of what is in it or had no room, without those that no time was
        left for; and the archive's size in bytes, 0 for none.
    """
    archived = {}
    names = names_for((d.record for d, _ in fetched), (SUMS_NAME, csv_report.REPORT_NAME))
    with archive:
        for download, content in fetched:
            if not archive.has_time():
                break
            key = download.record.project.id
            record = rows[key]
            try:
                archive.reserve(content.size_bytes)
            except (NoRoomError, OSError) as lack:
                download.path.unlink()
                archived[key] = replace(record, error=problem(download, lack))
            else:
                archive.add(download.path, names[key], content.sha256, record.timestamp)
                is_left = download.copies and not download.copied_to  # why is in the row already
                error = record.error if is_left else ""
                archived[key] = replace(record, content=content, error=error)
        if not any(record.content for record in archived.values()):
            return archived, 0
        report = csv_report.write((rows | archived).values(), archive.folder)
        sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
        archive.add(report, report.name, sha256, archive.clock.now())
        return archived, archive.publish()


def problem(download: Download, error: Exception, what: str = "download failed") -> str:
    """Log what went wrong with a snapshot for good; return it for its row."""
    words = one_line(f"{what}: {in_words(error)}")
    log.warning("%s: %s", download.title, words)
    return words
