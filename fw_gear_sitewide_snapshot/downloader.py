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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import reporter
from .archive import ARCHIVE_NAME, SUMS_NAME, Archive, Tick
from .archive_names import names_for
from .clock import Clock
from .errors import OutputError, TerminatedError
from .fetch import Download, in_words
from .models import SnapshotContent, SnapshotRecord, one_line
from .room import DiskSpace, FreeBytes, NoRoomError, free_bytes
from .site import Site
from .wording import counted, size_text
from .workers import TaskQueue, Workers

log = logging.getLogger(__name__)

MAX_CONCURRENT_DOWNLOADS = 4

_TICK_SECONDS = 1.0


def fetch_all(
    records: Sequence[SnapshotRecord],
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

    Args:
        records: The batch. What is not complete, or has its content, is left as it is.
        site: The site to fetch them from.
        workers: Of which up to four fetch at a time.
        clock: The time that pauses are measured by; tells when the run is to end.
        work: An existing folder to work in; nothing is left in it.
        output: The folder that the archive goes into, if anything was fetched.
        tick: Called about once a second, in the caller's thread.
        free: Tells how many bytes can be written where a folder is.

    Yields:
        Records that changed: what can't be fetched, with its error, as soon as that is known; what
        is in the archive, with its content, once that is in the output folder.

    Raises:
        TerminatedError: The run is to end. What was fetched by then is in the archive, and was
            yielded before, unless archiving it took too long.
    """
    wanted = {r.project.id: r for r in records if r.is_complete and r.content is None}
    if not wanted:
        return
    log.info(
        "Fetching %s of a batch of %s",
        counted(len(wanted), "snapshot"),
        counted(len(records), "project"),
    )
    after: dict[str, SnapshotRecord] = {}
    size = 0
    is_ended = False
    try:
        with (
            # A worker may still hang in there.
            tempfile.TemporaryDirectory("", "snapshots-", work, ignore_cleanup_errors=True) as name,
            Archive(
                Path(name), output, len(records), clock, tick, DiskSpace(output, free)
            ) as archive,
        ):
            space = DiskSpace(archive.folder, free)
            download = partial(Download, site=site, archive=archive, space=space, clock=clock)
            try:
                downloads = _Downloads(wanted.values(), archive, clock, download)
                for record in downloads.run(workers, tick):
                    after[record.project.id] = record
                    if record.content is None:
                        yield record
            except TerminatedError:
                is_ended = True
            if any(record.content for record in after.values()):
                batch = [after.get(record.project.id, record) for record in records]
                report = reporter.write(batch, archive.folder)
                sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
                archive.add(report, report.name, sha256, clock.now())
                size = archive.publish()
    except (OSError, OutputError, NoRoomError) as error:
        problem = f"download failed: the archive can't be written: {in_words(error)}"
        log.error("%s", problem)
        for project_id, record in wanted.items():
            if project_id not in after or after[project_id].content:
                after[project_id] = replace(record, error=problem)
                yield after[project_id]
    except TerminatedError:
        lost = counted(sum(record.content is not None for record in after.values()), "snapshot")
        log.error("No time was left to finish the archive: %s that came are lost", lost)
        raise
    fetched = [record for record in after.values() if record.content]
    log.info(
        "Fetched %s (%s)%s; %s could not be fetched",
        counted(len(fetched), "snapshot"),
        size_text(sum(record.content.size_bytes for record in fetched if record.content)),
        f" into {ARCHIVE_NAME} ({size_text(size)})" if fetched else "",
        f"{len(after) - len(fetched):,}",
    )
    yield from fetched
    if is_ended:
        raise TerminatedError


class _Downloads:
    """Decides what is fetched next, and archives what came.

    What lacked room comes next, and alone: there can't be more room than then. So whatever fits
    alone gets through, nothing is tried for ever, and nobody waits for somebody who waits.
    """

    def __init__(
        self,
        wanted: Collection[SnapshotRecord],
        archive: Archive,
        clock: Clock,
        download: Callable[[SnapshotRecord], Download],
    ) -> None:
        self._names = names_for(wanted, (SUMS_NAME, reporter.REPORT_NAME))
        self._archive = archive
        self._clock = clock
        self._new = map(download, wanted)
        self._again: list[tuple[float, str, Download]] = []  # a heap: monotonic time when due
        self._is_one_alone = False

    def run(self, workers: Workers, tick: Tick) -> Iterator[SnapshotRecord]:
        """Yield each record with its content once it is in the archive, or with its error."""
        tasks: TaskQueue[tuple[Download, SnapshotContent | Exception]] = workers.queue()
        try:
            while True:
                self._submit(tasks)
                for download, outcome in tasks.results(self._clock.monotonic() + _TICK_SECONDS):
                    yield from self._apply(download, outcome)
                    self._submit(tasks)
                if not tasks.in_flight:
                    if not self._again:
                        break
                    due = self._again[0][0] - self._clock.monotonic()
                    self._clock.sleep(min(_TICK_SECONDS, due))
                tick()
        finally:
            tasks.cancel_pending()

    def _submit(self, tasks: TaskQueue[tuple[Download, SnapshotContent | Exception]]) -> None:
        """Begin to fetch what can be fetched now."""
        while tasks.in_flight < MAX_CONCURRENT_DOWNLOADS and not self._is_one_alone:
            if self._again and self._again[0][0] <= self._clock.monotonic():
                if self._again[0][2].lacked:
                    if tasks.in_flight:
                        break
                    self._is_one_alone = True
                download = heapq.heappop(self._again)[2]
            elif (new := next(self._new, None)) is not None:
                download = new
            else:
                break
            tasks.submit(download.attempt)

    def _apply(
        self, download: Download, outcome: SnapshotContent | Exception
    ) -> Iterator[SnapshotRecord]:
        """Archive what came, or decide when to fetch it again; yield its record at its end."""
        record = download.record
        where = f"{record.project.path} ({record.project.id}): snapshot {record.snapshot_id}"
        is_lacking = isinstance(outcome, NoRoomError) and not self._is_one_alone
        download.lacked = outcome if isinstance(outcome, NoRoomError) else None
        self._is_one_alone = False
        if isinstance(outcome, SnapshotContent):
            try:
                name = self._names[record.project.id]
                self._archive.add(download.path, name, outcome.sha256, record.timestamp)
            except (NoRoomError, OSError) as error:
                download.path.unlink(missing_ok=True)
                outcome = error
        download.reservation.release()
        if isinstance(outcome, SnapshotContent):
            log.info("%s: fetched and checked, %s", where, size_text(outcome.size_bytes))
            yield replace(record, content=outcome, error="")
        elif is_lacking:
            log.info("%s: %s; waiting for the others", where, outcome)
            heapq.heappush(self._again, (-math.inf, record.project.id, download))
        elif (pause := download.pause(outcome)) is not None:
            log.warning("%s: %s; fetching it again in %.0f s", where, outcome, pause)
            due = self._clock.monotonic() + pause
            heapq.heappush(self._again, (due, record.project.id, download))
        else:
            problem = one_line(f"download failed: {in_words(outcome)}")
            log.warning("%s: %s", where, problem)
            yield replace(record, error=problem)
