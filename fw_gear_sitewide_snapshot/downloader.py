"""Fetches complete snapshots, checks them and archives them: each by itself, a few at a time.

What goes wrong with one is the error of its row, whose status stays the site's: the snapshot is
complete all the same, and a retry fetches it again. Nothing of what a snapshot holds is logged.
"""

import contextlib
import errno
import logging
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import snapshot_file
from .archive import ARCHIVE_NAME, Archive, names_for
from .clock import Clock
from .errors import BusyError, OutputError, SiteError, UnclearError
from .models import SnapshotContent, SnapshotRecord, one_line
from .room import Claim, FreeBytes, NoRoomError, Room, free_bytes, size_text
from .site import Site, pause_seconds
from .snapshot_file import SnapshotFileError
from .workers import Workers

log = logging.getLogger(__name__)

AT_A_TIME = 4
FETCHES = 3
"""How often a snapshot is fetched, in all, that breaks off or fails its check."""

_ASKS = 6  # in all, while the site can't hand it out (429, 503, no connection): about a minute
_LATER = 2  # pauses begin as if so many attempts had gone before: at 8 s, then 16 s
_LONGEST_PAUSE_SECONDS = 600.0  # a site that asks for a longer one is left to another run
_TURN_SECONDS = 0.1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fetch_all(
    records: Sequence[SnapshotRecord],
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
    work: Path,
    output: Path,
    free: FreeBytes = free_bytes,
) -> list[SnapshotRecord]:
    """Fetch each complete snapshot that no run has fetched yet, and archive them all.

    Args:
        records: The batch. What is not complete, or has its content, is left as it is.
        site: The site to fetch them from.
        workers: Of which up to four fetch at a time.
        clock: The time that pauses are measured by; tells when the run is to end.
        work: An existing folder to work in; nothing is left in it.
        output: The folder that the archive goes into, if anything was fetched.
        free: Tells how many bytes can be written where a folder is.

    Returns:
        The batch in the same order: what is in the archive with its content, what could not be
        fetched with its error.

    Raises:
        TerminatedError: The run is to end; there is no archive.
    """
    wanted = [record for record in records if record.is_complete and record.content is None]
    if not wanted:
        return list(records)
    log.info("Fetching %d of the batch's %d snapshots", len(wanted), len(records))
    contents: dict[str, SnapshotContent] = {}
    problems: dict[str, str] = {}
    size = 0
    try:
        with _folder_in(work) as folder, Archive(folder / ARCHIVE_NAME, clock) as archive:
            fetch = _Fetch(wanted, archive, site=site, clock=clock, folder=folder, free=free)
            for record, came in workers.each(fetch, wanted):
                if isinstance(came, SnapshotContent):
                    contents[record.project.id] = came
                else:
                    problems[record.project.id] = came
            if contents:
                size = archive.finish(_replaced(records, contents, problems))
                archive.place(output, free)
    except (OSError, OutputError, NoRoomError) as error:
        problem = f"download failed: the archive can't be written: {_words(error)}"
        log.error("%s", problem)
        problems = {record.project.id: problem for record in wanted} | problems
        contents = {}
    log.info(
        "Fetched %d snapshots (%s)%s; %d could not be fetched",
        len(contents),
        size_text(sum(content.size_bytes for content in contents.values())),
        f" into {ARCHIVE_NAME} ({size_text(size)})" if contents else "",
        len(problems),
    )
    return _replaced(records, contents, problems)


@contextlib.contextmanager
def _folder_in(work: Path) -> Iterator[Path]:
    """Give a folder of our own, which goes even while a worker hangs in there."""
    with tempfile.TemporaryDirectory(
        prefix="snapshots-", dir=work, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _replaced(
    records: Sequence[SnapshotRecord],
    contents: Mapping[str, SnapshotContent],
    problems: Mapping[str, str],
) -> list[SnapshotRecord]:
    """The batch with what came of it."""
    after = []
    for record in records:
        content, problem = contents.get(record.project.id), problems.get(record.project.id)
        if content is not None:
            after.append(replace(record, content=content, error=""))
        else:
            after.append(record if problem is None else replace(record, error=problem))
    return after


class _Fetch:
    """Fetches one snapshot into the archive; called from many threads.

    Args:
        wanted: All that will be fetched.
        archive: Where they go.
    """

    def __init__(
        self,
        wanted: Sequence[SnapshotRecord],
        archive: Archive,
        *,
        site: Site,
        clock: Clock,
        folder: Path,
        free: FreeBytes,
    ) -> None:
        self._names = names_for(wanted)
        self._archive = archive
        self._site = site
        self._clock = clock
        self._folder = folder
        self._room = Room(folder, clock, free)
        self._turns = threading.Semaphore(AT_A_TIME)

    def __call__(self, record: SnapshotRecord) -> tuple[SnapshotRecord, SnapshotContent | str]:
        """Return the record, and its content or why it can't be fetched."""
        where = f"{record.project.path} ({record.project.id}): snapshot {record.snapshot_id}"
        try:
            content = self._patiently(record, where)
        except (SiteError, SnapshotFileError, NoRoomError, OSError) as error:
            problem = one_line(f"download failed: {_words(error)}")
            log.warning("%s: %s", where, problem)
            return record, problem
        log.info(
            "%s: fetched, %s: %d subjects, %d sessions, %d acquisitions, %d files",
            where,
            size_text(content.size_bytes),
            content.subjects,
            content.sessions,
            content.acquisitions,
            content.files,
        )
        return record, content

    def _patiently(self, record: SnapshotRecord, where: str) -> SnapshotContent:
        """Fetch it, again and again while that may help."""
        asks = fetches = 0
        while True:
            problem: SiteError | SnapshotFileError
            try:
                with self._turn():
                    return self._once(record)
            except NoRoomError as error:
                if not error.for_now:
                    raise
                log.info("%s: %s; waiting for the others", where, error)
                self._room.wait_until_unclaimed()
                continue
            except BusyError as error:
                asks += 1
                problem, last, pause = error, asks == _ASKS, pause_seconds(asks, error)
            except (UnclearError, SnapshotFileError) as error:
                fetches += 1
                problem, last = error, fetches == FETCHES
                pause = pause_seconds(fetches + _LATER, error)
            if last or pause > _LONGEST_PAUSE_SECONDS:
                raise problem
            log.warning("%s: %s; fetching it again in %.0f s", where, problem, pause)
            self._clock.sleep(pause)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        while not self._turns.acquire(timeout=_TURN_SECONDS):
            self._clock.sleep(0.0)
        try:
            yield
        finally:
            self._turns.release()

    def _once(self, record: SnapshotRecord) -> SnapshotContent:
        path = self._folder / f"{record.project.id}.gz"
        try:
            with self._room.claim() as claim:
                self._receive(record, path, claim)
                content = snapshot_file.check(
                    path, record.project.id, claim=claim, clock=self._clock
                )
                claim.need(content.size_bytes, "to archive it")
                name = self._names[record.project.id]
                self._archive.add(path, name, content.sha256, record.timestamp)
                return content
        finally:
            path.unlink(missing_ok=True)

    def _receive(self, record: SnapshotRecord, path: Path, claim: Claim) -> None:
        """Write what the site sends into a file, packed again if it was unpacked on the way.

        It is unpacked where the site, or its storage, takes the compression for the transfer's.
        """
        packer = None
        size = 0
        stream = self._site.download(record.project.id, record.snapshot_id)
        with contextlib.closing(stream), path.open("wb") as file:
            # Unpacked, it is at least as large again: never refuses what would have had room.
            claim.need(2 * (stream.size or 0), "for it")
            for received in stream.chunks:
                self._clock.sleep(0.0)
                if not size and received.startswith(snapshot_file.SQLITE_MAGIC):
                    packer = zlib.compressobj(wbits=snapshot_file.GZIP_WINDOW)
                chunk = packer.compress(received) if packer else received
                claim.take(len(chunk), "for it")
                file.write(chunk)
                size += len(received)
            if packer:
                file.write(packer.flush())


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
