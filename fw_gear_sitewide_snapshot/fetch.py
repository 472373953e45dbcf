"""Fetches one snapshot: receives it, checks it, archives it; again while that may help.

Called from many threads, of which a few fetch at a time and share the room that there is. Nothing
of what a snapshot holds is logged.
"""

import contextlib
import errno
import logging
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import snapshot_file
from .archive import Archive
from .archive_names import names_for
from .clock import Clock
from .errors import OutcomeUnknownError, ServiceUnavailableError, SiteError
from .models import SnapshotContent, SnapshotRecord, one_line
from .patience import ATTEMPTS, pause_seconds
from .room import Claim, FreeBytes, NoRoomError, Room
from .site import Site
from .snapshot_file import SnapshotFileError
from .wording import size_text

log = logging.getLogger(__name__)

AT_A_TIME = 4

_FETCHES = 3  # in all, of a snapshot that breaks off or fails its check
_LATER = 2  # pauses begin as if so many attempts had gone before: at 8 s, then 16 s
_LONGEST_PAUSE_SECONDS = 600.0  # a site that asks for a longer one is left to another run
_TURN_SECONDS = 0.1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Fetch:
    """Fetches one snapshot at each call.

    Args:
        wanted: All that will be fetched.
        archive: Where they go.
        site: The site to fetch them from.
        clock: The time that pauses are measured by; tells when the run is to end.
        folder: An existing folder to work in; what is fetched is gone from it afterwards.
        free: Tells how many bytes can be written where a folder is.
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
        """Return the record, and its content or why it can't be fetched.

        Raises:
            TerminatedError: The run is to end.
        """
        where = f"{record.project.path} ({record.project.id}): snapshot {record.snapshot_id}"
        try:
            content = self._patiently(record, where)
        except (SiteError, SnapshotFileError, NoRoomError, OSError) as error:
            problem = one_line(f"download failed: {in_words(error)}")
            log.warning("%s: %s", where, problem)
            return record, problem
        log.info("%s: fetched and checked, %s", where, size_text(content.size_bytes))
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
            except ServiceUnavailableError as error:
                asks += 1
                problem, last, pause = error, asks == ATTEMPTS, pause_seconds(asks, error)
            except (OutcomeUnknownError, SnapshotFileError) as error:
                fetches += 1
                problem, last = error, fetches == _FETCHES
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
                elif not size:  # it is archived as it comes
                    self._archive.look_for_room(stream.size or 0)
                chunk = packer.compress(received) if packer else received
                claim.take(len(chunk), "for it")
                file.write(chunk)
                size += len(received)
            if packer:
                file.write(packer.flush())


def in_words(error: Exception) -> str:
    """What went wrong, for the report: of the disk, neither number nor path."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
