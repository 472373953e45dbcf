"""Fetches complete snapshots, and archives or copies them. How one is fetched is in ``fetch.py``.

One thread decides what is fetched next, and it alone writes the archive; up to four others fetch
and copy, each one snapshot. What goes wrong with one is the error of its row, whose status stays
the site's: the snapshot is complete all the same, and a retry fetches it again.
"""

import contextlib
import logging
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..clock import Clock
from ..errors import OutputError, StoreError, TerminatedError
from ..models import SnapshotContent, SnapshotRecord
from ..reporter import BatchReport
from ..site.client import Site
from ..text import counted, size_text
from ..workers import Workers
from .archive import ARCHIVE_NAME, Archive
from .batch_archive import archive_batch, problem
from .copies import Copies
from .disk_space import DiskSpace, FreeBytes, Reservation, free_bytes
from .fetch import Download, in_words
from .fetch_queue import MAX_CONCURRENT_DOWNLOADS, TICK_SECONDS, FetchQueue

log = logging.getLogger(__name__)


class Downloader:
    """The downloads of one run, which begin while other snapshots are still being built.

    The report is told what changed as soon as that is known: what can't be fetched or copied, with
    its error; what is copied, with its address; at the end what is in the archive, with its
    content, and what had no room there, with its error.

    Args:
        report: Of the whole batch.
        work: A folder on whose disk what is fetched has room; nothing is left in it.
        output: Where the archive goes, if anything was fetched for it.
        is_archived: Whether an archive is wanted.
        copies: Where each snapshot is to be copied to; None: nowhere.
    """

    calls = MAX_CONCURRENT_DOWNLOADS

    def __init__(
        self,
        report: BatchReport,
        *,
        site: Site,
        workers: Workers,
        clock: Clock,
        work: Path,
        output: Path,
        is_archived: bool = True,
        copies: Copies | None = None,
        free: FreeBytes = free_bytes,
    ) -> None:
        self._site = site
        self._clock = clock
        self._copies = copies
        self._is_archived = is_archived
        self._report = report
        self._downloads = FetchQueue(clock, workers.queue())
        self._wanted: dict[str, SnapshotRecord] = {}  # all of these four by project id
        self._failed: dict[str, SnapshotRecord] = {}  # not fetched, with the error
        self._copied: dict[str, SnapshotRecord] = {}  # or with the error why not
        self._archived: dict[str, SnapshotRecord] = {}  # likewise
        self._fetched: list[tuple[Download, SnapshotContent]] = []  # for the archive
        self._problem = ""
        self._undo = contextlib.ExitStack()
        # A thread may hang while it writes there.
        make_folder = partial(tempfile.TemporaryDirectory, ignore_cleanup_errors=True)
        tick, rows, space = report.save_if_due, len(report.records), DiskSpace(output, free)
        try:
            folder = Path(self._undo.enter_context(make_folder("", "snapshots-", work)))
            self._space = DiskSpace(folder, free)
            self._archive = Archive(folder, output, rows, clock, tick, space)
        except OSError as error:
            self._problem = f"the work folder can't be used: {in_words(error)}"

    def add(self, record: SnapshotRecord) -> None:
        """Have a row's snapshot fetched if it is complete, and lacks anything that is wanted."""
        copies = None if self._is_copied(record) else self._copies
        to_archive = self._is_archived and record.content is None
        if not record.is_complete or not (to_archive or copies):
            return
        self._wanted[record.project.id] = record
        if not self._problem:
            archive = self._archive if to_archive else None
            reservation = Reservation(self._space)
            folder = self._space.folder
            download = Download(
                record, folder, self._site, archive, copies, reservation, self._clock
            )
            self._downloads.new.append(download)

    def advance(self) -> None:
        """Begin what can be fetched now, and tell what has come of the rest; wait for nothing."""
        if self._downloads.left:
            self._collect(self._clock.monotonic())

    def finish(self) -> None:
        """Fetch what is left, then archive it.

        Raises:
            TerminatedError: The run is to end. What was fetched by then is in the archive, and was
                told before, unless archiving it took too long.
        """
        batch = self._report.records
        if not self._wanted:
            done = counted(sum(record.is_complete for record in batch), "complete snapshot")
            log.info("Nothing to fetch: what was to be done for %s is done", done)
            return
        if left := self._downloads.left:
            words = counted(left, "snapshot"), counted(len(batch), "project")
            log.info("Fetching %s of a batch of %s", *words)
        is_ended, size = self._fetch_rest(), 0
        try:
            if self._fetched:
                rows = {record.project.id: record for record in self._report.records}
                self._archived, size = archive_batch(self._archive, self._fetched, rows)
        except (OSError, OutputError) as error:
            self._problem = f"the archive can't be written: {in_words(error)}"
        except TerminatedError:
            is_ended = True
        if self._problem:
            self._give_up(f"download failed: {self._problem}")
        lost = sum(d.record.project.id not in self._archived for d, _ in self._fetched)
        self._log_results(size, lost)
        for record in self._archived.values():
            self._report.update(record)
        if is_ended or lost:
            raise TerminatedError

    def _fetch_rest(self) -> bool:
        """Wait for what is still to be fetched; return whether the run is to end before that."""
        try:
            while self._downloads.left:
                self._collect(self._clock.monotonic() + TICK_SECONDS)
                self._downloads.pause()
                self._report.save_if_due()
        except TerminatedError:
            return True
        finally:
            self._downloads.tasks.cancel_pending()
        return False

    def close(self) -> None:
        """Wait for nothing more, and remove what is in the work folder."""
        self._downloads.tasks.cancel_pending()
        self._undo.close()

    def _collect(self, until: float) -> None:
        """Tell what ends by then."""
        for download, outcome in self._downloads.results(until):
            key, record = download.record.project.id, download.record
            if download.content is None:
                assert isinstance(outcome, Exception)  # noqa: S101  as there is no content
                what = "copy failed" if isinstance(outcome, StoreError) else "download failed"
                self._failed[key] = replace(record, error=problem(download, outcome, what))
                self._report.update(self._failed[key])
                continue
            if download.copies:
                if isinstance(outcome, Exception):
                    record = replace(record, error=problem(download, outcome, "copy failed"))
                    if not download.archive:
                        download.path.unlink(missing_ok=True)
                else:
                    content = None if download.archive else download.content
                    record = replace(record, content=record.content or content, error="")
                    record = replace(record, copied_to=download.copied_to)
                self._copied[key] = record
                self._report.update(record)
            if download.archive:
                self._fetched.append((download, download.content))
                self._archive.awaited_bytes += download.content.size_bytes

    def _give_up(self, words: str) -> None:
        """Have each row whose snapshot is not in the archive say why."""
        log.error("%s", words)
        self._archived = {
            key: replace(self._copied.get(key, record), error=words)
            for key, record in self._wanted.items()
            if key not in self._failed and (self._is_archived or key not in self._copied)
        }

    def _log_results(self, size: int, lost: int) -> None:
        if lost:
            words = counted(lost, "snapshot")
            log.error("No time was left to finish the archive: %s that came are lost", words)
        archived = [record.content for record in self._archived.values() if record.content]
        copied = [r.content for r in self._copied.values() if self._is_copied(r) and r.content]
        copied += [c for d, c in self._fetched if d.copied_to]
        problems = [r for r in (self._failed | self._copied | self._archived).values() if r.error]
        if self._is_archived:
            log.info(
                "Fetched %s (%s)%s; %s could not be fetched",
                counted(len(archived), "snapshot"),
                size_text(sum(content.size_bytes for content in archived)),
                f" into {ARCHIVE_NAME} ({size_text(size)})" if archived else "",
                f"{len(self._failed) + len(self._archived) - len(archived):,}",
            )
        if self._copies:
            log.info(
                "Copied %s (%s) to %s; %s could not be copied",
                counted(len(copied), "snapshot"),
                size_text(sum(content.size_bytes for content in copied)),
                self._copies.url,
                f"{sum(not self._is_copied(r) for r in problems):,}",
            )

    def _is_copied(self, record: SnapshotRecord) -> bool:
        return self._copies is not None and record.is_copied_to(self._copies.url)
