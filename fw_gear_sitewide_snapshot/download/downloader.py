"""Fetches complete snapshots into one archive. How one is fetched is in ``fetch.py``.

One thread decides what is fetched next, and it alone writes the archive; up to four others fetch,
each one snapshot once. What goes wrong with one is the error of its row, whose status stays the
site's: the snapshot is complete all the same, and a retry fetches it again.
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
        Records that changed: what can't be fetched, with its error, as soon as that is known; what
        is in the archive, with its content, once that is in the output folder.

    Raises:
        TerminatedError: The run is to end. What was fetched by then is in the archive, and was
            yielded before, unless archiving it took too long.
    """
    wanted = {r.project.id: r for r in batch if r.is_complete and r.content is None}
    if not wanted:
        return
    of = counted(len(batch), "project")
    log.info("Fetching %s of a batch of %s", counted(len(wanted), "snapshot"), of)
    done: dict[str, SnapshotRecord] = {}
    size, is_ended = 0, False
    try:
        with (
            # A worker may still hang in there.
            tempfile.TemporaryDirectory("", "snapshots-", work, ignore_cleanup_errors=True) as tmp,
            Archive(Path(tmp), output, len(batch), clock, tick, DiskSpace(output, free)) as archive,
        ):
            here = DiskSpace(archive.folder, free)
            new = (Download(r, site, archive, Reservation(here), clock) for r in wanted.values())
            names = names_for(wanted.values(), (SUMS_NAME, csv_report.REPORT_NAME))
            try:
                for record in _Downloads(new, names, clock, workers.queue()).run(tick):
                    done[record.project.id] = record
                    if record.content is None:
                        yield record
            except TerminatedError:
                is_ended = True
            if any(record.content for record in done.values()):
                report = csv_report.write(
                    [done.get(r.project.id, r) for r in batch], archive.folder
                )
                sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
                archive.add(report, report.name, sha256, clock.now())
                size = archive.publish()
    except (OSError, OutputError, NoRoomError) as error:
        problem = f"download failed: the archive can't be written: {in_words(error)}"
        log.error("%s", problem)
        for project_id, record in wanted.items():
            if project_id not in done or done[project_id].content:
                done[project_id] = replace(record, error=problem)
                yield done[project_id]
    except TerminatedError:
        lost = counted(sum(record.content is not None for record in done.values()), "snapshot")
        log.error("No time was left to finish the archive: %s that came are lost", lost)
        raise
    fetched = [record for record in done.values() if record.content]
    log.info(
        "Fetched %s (%s)%s; %s could not be fetched",
        counted(len(fetched), "snapshot"),
        size_text(sum(record.content.size_bytes for record in fetched if record.content)),
        f" into {ARCHIVE_NAME} ({size_text(size)})" if fetched else "",
        f"{len(done) - len(fetched):,}",
    )
    yield from fetched
    if is_ended:
        raise TerminatedError


@dataclass
class _Downloads:
    """Decides what is fetched next, and archives what came.

    What lacked room comes next, and alone: there can't be more room than then. So whatever fits
    alone gets through, nothing is tried for ever, and nobody waits for somebody who waits.
    """

    new: Iterator[Download]
    names: dict[str, str]  # in the archive, by project id
    clock: Clock
    tasks: TaskQueue[tuple[Download, Outcome]]
    again: list[tuple[float, str, Download]] = field(default_factory=list)  # a heap: due, id, what
    is_one_alone: bool = False

    def run(self, tick: Tick) -> Iterator[SnapshotRecord]:
        """Yield each record with its content once it is in the archive, or with its error."""
        try:
            while True:
                self._submit()
                for outcome in self.tasks.results(self.clock.monotonic() + _TICK_SECONDS):
                    yield from self._apply(*outcome)
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

    def _apply(self, download: Download, outcome: Outcome) -> Iterator[SnapshotRecord]:
        """Archive what came, or decide when to fetch it again; yield its record at its end."""
        record = download.record
        where = f"{record.project.path} ({record.project.id}): snapshot {record.snapshot_id}"
        is_lacking = isinstance(outcome, NoRoomError) and not self.is_one_alone
        download.lacked = outcome if isinstance(outcome, NoRoomError) else None
        self.is_one_alone = False
        if isinstance(outcome, SnapshotContent):
            try:
                name = self.names[record.project.id]
                download.archive.add(download.path, name, outcome.sha256, record.timestamp)
            except (NoRoomError, OSError) as error:
                download.path.unlink(missing_ok=True)
                outcome = error
        download.reservation.release()
        if isinstance(outcome, SnapshotContent):
            log.info("%s: fetched and checked, %s", where, size_text(outcome.size_bytes))
            yield replace(record, content=outcome, error="")
        elif is_lacking:
            log.info("%s: %s; waiting for the others", where, outcome)
            heapq.heappush(self.again, (-math.inf, record.project.id, download))
        elif (pause := download.pause(outcome)) is not None:
            log.warning("%s: %s; fetching it again in %.0f s", where, outcome, pause)
            due = self.clock.monotonic() + pause
            heapq.heappush(self.again, (due, record.project.id, download))
        else:
            problem = one_line(f"download failed: {in_words(outcome)}")
            log.warning("%s: %s", where, problem)
            yield replace(record, error=problem)
