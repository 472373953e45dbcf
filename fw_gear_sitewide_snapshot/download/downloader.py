"""Fetches complete snapshots, then archives them. How one is fetched is in ``fetch.py``.

One thread decides what is fetched next, and it alone writes the archive; up to four others fetch,
each one snapshot. What goes wrong with one is the error of its row, whose status stays the site's:
the snapshot is complete all the same, and a retry fetches it again.
"""

import hashlib
import heapq
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..clock import Clock
from ..errors import OutputError, TerminatedError
from ..models import SnapshotContent, SnapshotRecord
from ..report import csv_report
from ..site.client import Site
from ..text import counted, one_line, size_text
from ..workers import TaskQueue, Workers
from .archive import ARCHIVE_NAME, SUMS_NAME, Archive, Tick
from .archive_names import names_for
from .disk_space import DiskSpace, FreeBytes, NoRoomError, Reservation, free_bytes
from .fetch import Download, Outcome, in_words

log = logging.getLogger(__name__)
MAX_CONCURRENT_DOWNLOADS = 4
_TICK_SECONDS = 1.0


def fetch_all(
    batch: Sequence[SnapshotRecord],
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
    work: Path,
    output: Path,
    tick: Tick = lambda: None,
    free: FreeBytes = free_bytes,
) -> Iterator[SnapshotRecord]:
    """Fetch each complete snapshot that no run has fetched yet, and archive them all.

    The archive goes into the output folder, if anything was fetched; in the work folder nothing is
    left. ``tick`` is called about once a second, in the caller's thread.

    Yields:
        Records that changed: what can't be fetched, with its error, as soon as that is known; then
        what is in the archive, with its content, and what had no room there, with its error.

    Raises:
        TerminatedError: The run is to end. What was fetched by then is in the archive, and was
            yielded before, unless archiving it took too long.
    """
    wanted = [record for record in batch if record.is_complete and record.content is None]
    if not wanted:
        log.info("Nothing to fetch, so there is no archive: %s", _why_nothing(batch))
        return
    log.info(
        "Fetching %s of a batch of %s",
        counted(len(wanted), "snapshot"),
        counted(len(batch), "project"),
    )
    names = names_for(wanted, (SUMS_NAME, csv_report.REPORT_NAME))
    fetched: list[tuple[Download, SnapshotContent]] = []
    failed: dict[str, SnapshotRecord] = {}  # by project id
    archived: dict[str, SnapshotRecord] = {}  # or with the error why not
    size, is_ended = 0, False
    try:
        # A thread may hang while it writes there.
        with tempfile.TemporaryDirectory("", "snapshots-", work, ignore_cleanup_errors=True) as tmp:
            archive = Archive(Path(tmp), output, len(batch), clock, tick, DiskSpace(output, free))
            space = DiskSpace(archive.folder, free)
            new = (
                Download(r, names[r.project.id], site, archive, Reservation(space), clock)
                for r in wanted
            )
            try:
                for download, outcome in _Downloads(new, clock, workers.queue()).run(tick):
                    if isinstance(outcome, SnapshotContent):
                        fetched.append((download, outcome))
                        archive.awaited_bytes += outcome.size_bytes
                    else:
                        record = failed[download.record.project.id] = _failed(download, outcome)
                        yield record
            except TerminatedError:
                is_ended = True
            if fetched:
                archived, size = _archive(
                    archive, fetched, {record.project.id: record for record in batch} | failed
                )
    except (OSError, OutputError) as error:
        problem = f"download failed: the archive can't be written: {in_words(error)}"
        log.error("%s", problem)
        archived = {
            record.project.id: replace(record, error=problem)
            for record in wanted
            if record.project.id not in failed
        }
    except TerminatedError:
        is_ended = True
    if lost := sum(download.record.project.id not in archived for download, _ in fetched):
        log.error(
            "No time was left to finish the archive: %s that came are lost",
            counted(lost, "snapshot"),
        )
    contents = [record.content for record in archived.values() if record.content]
    log.info(
        "Fetched %s (%s)%s; %s could not be fetched",
        counted(len(contents), "snapshot"),
        size_text(sum(content.size_bytes for content in contents)),
        f" into {ARCHIVE_NAME} ({size_text(size)})" if contents else "",
        f"{len(failed) + len(archived) - len(contents):,}",
    )
    yield from archived.values()
    if is_ended or lost:
        raise TerminatedError


def _why_nothing(batch: Sequence[SnapshotRecord]) -> str:
    before = sum(record.is_complete for record in batch)
    return f"{before:,} were fetched by earlier runs, {len(batch) - before:,} are not complete"


def _archive(
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
    with archive:
        for download, content in fetched:
            if not archive.has_time():
                break
            record, key = download.record, download.record.project.id
            try:
                archive.reserve(content.size_bytes)
            except (NoRoomError, OSError) as error:
                download.path.unlink()
                archived[key] = _failed(download, error)
            else:
                archive.add(download.path, download.name, content.sha256, record.timestamp)
                archived[key] = replace(record, content=content, error="")
        if not any(record.content for record in archived.values()):
            return archived, 0
        report = csv_report.write((rows | archived).values(), archive.folder)
        sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
        archive.add(report, report.name, sha256, archive.clock.now())
        return archived, archive.publish()


def _failed(download: Download, error: Exception) -> SnapshotRecord:
    problem = one_line(f"download failed: {in_words(error)}")
    log.warning("%s: %s", download.title, problem)
    return replace(download.record, error=problem)


@dataclass
class _Downloads:
    """Decides what is fetched next.

    What lacked room comes next, and alone: there can't be more room than then. So whatever fits
    alone gets through, nothing is tried for ever, and no download waits for one that waits.
    """

    new: Iterator[Download]
    clock: Clock
    tasks: TaskQueue[tuple[Download, Outcome]]
    again: list[tuple[float, str, Download]] = field(default_factory=list)  # a heap: due, id, what
    is_one_alone: bool = False

    def run(self, tick: Tick) -> Iterator[tuple[Download, Outcome]]:
        """Yield each download with its content, or with the error that is its last."""
        try:
            while True:
                self._submit()
                for download, outcome in self.tasks.results(self.clock.monotonic() + _TICK_SECONDS):
                    if self._is_final(download, outcome):
                        yield download, outcome
                    self._submit()
                if not self.tasks.in_flight:
                    if not self.again:
                        break
                    self.clock.sleep(min(_TICK_SECONDS, self.again[0][0] - self.clock.monotonic()))
                tick()
        finally:
            self.tasks.cancel_pending()

    def _submit(self) -> None:
        """Begin to fetch what can be fetched now."""
        while self.tasks.in_flight < MAX_CONCURRENT_DOWNLOADS and not self.is_one_alone:
            is_due = self.again and self.again[0][0] <= self.clock.monotonic()
            download = self.again[0][2] if is_due else next(self.new, None)
            if not download or (download.lacked and self.tasks.in_flight):
                break
            if is_due:
                heapq.heappop(self.again)
            self.is_one_alone = download.lacked is not None
            self.tasks.submit(download.attempt)

    def _is_final(self, download: Download, outcome: Outcome) -> bool:
        """Return whether a download is over; else decide when to fetch it again."""
        was_alone, self.is_one_alone = self.is_one_alone, False
        download.lacked = outcome if isinstance(outcome, NoRoomError) else None
        download.reservation.release()
        if isinstance(outcome, SnapshotContent):
            size = size_text(outcome.size_bytes)
            log.info("%s: fetched and checked, %s", download.title, size)
            return True
        if download.lacked and not was_alone:
            log.info("%s: %s; waiting for the others", download.title, outcome)
            due = -math.inf
        elif (backoff := download.backoff(outcome)) is not None:
            log.warning("%s: %s; fetching it again in %.0f s", download.title, outcome, backoff)
            due = self.clock.monotonic() + backoff
        else:
            return True
        heapq.heappush(self.again, (due, download.record.project.id, download))
        return False
