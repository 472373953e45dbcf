"""Fetches one snapshot once: receives it and checks it; and knows when to fetch it again.

Called from several threads, which share the room that there is. Nobody waits for room with a
stream open: the site would break it off. Nothing of what a snapshot holds is logged.
"""

import contextlib
import errno
import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterator

from . import snapshot_file
from .archive import Archive
from .calls import Stream
from .clock import Clock
from .errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from .models import SnapshotContent, SnapshotRecord
from .retry import backoff_seconds
from .room import DiskSpace, NoRoomError, Reservation
from .site import Site
from .snapshot_file import GZIP_MAGIC, SQLITE_MAGIC, SnapshotFileError

_FETCHES = 3  # in all, of a snapshot that breaks off or fails its check
_LATER = 3  # the pauses after those begin as if so many attempts had gone before: at 8 s
_OUTAGE_SECONDS = 60.0  # for so long, and so many attempts, a site is asked that can't answer
_OUTAGE_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 600.0  # a site that asks for a longer one is left to another run
_MISSING_SECONDS = 40.0  # a snapshot can be complete before its file is there
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_EXPECTED = (SiteError, SiteUnusableError, SnapshotFileError, NoRoomError, OSError)
_SLOW_SECONDS = 60.0
_SLOW_BYTES_A_SECOND = 1 << 10  # what brings less in that time will not come to an end
_KINDS = {b"<": "a page (HTML or XML)", b"{": "JSON", b"[": "JSON"}  # by their first byte


class Download:
    """A snapshot to be fetched.

    Args:
        record: Its record.
        site: The site to fetch it from.
        archive: What it is for; it is fetched into the archive's folder.
        space: The room in that folder.
        clock: The time that it is measured by; tells when the run is to end.

    Attributes:
        path: Where its file is once it is fetched.
        reservation: The room that it has while it is fetched and archived.
        lacked: What it had no room for at the last attempt.
    """

    def __init__(
        self, record: SnapshotRecord, site: Site, archive: Archive, space: DiskSpace, clock: Clock
    ) -> None:
        self.record = record
        self.path = archive.folder / f"{record.project.id}.gz"
        self.reservation = Reservation(space)
        self.lacked: NoRoomError | None = None
        self._site = site
        self._archive = archive
        self._clock = clock
        self._failures: defaultdict[type, list[float]] = defaultdict(list)

    def pause(self, error: Exception) -> float | None:
        """Count a failure; returns the seconds to wait before the next attempt, None for none."""
        times = self._failures[type(error)]
        times.append(self._clock.monotonic())
        failures, seconds = len(times), times[-1] - times[0]
        pause = backoff_seconds(failures, error)
        match error:
            case NotFoundError():
                left = _MISSING_SECONDS - seconds
                return min(pause, left) if left > 0 else None
            case ServiceUnavailableError():
                is_over = failures >= _OUTAGE_ATTEMPTS and seconds + pause > _OUTAGE_SECONDS
                return None if is_over or pause > _LONGEST_PAUSE_SECONDS else pause
            case RejectedError():
                return None
            case SiteError() | SnapshotFileError():
                return backoff_seconds(failures + _LATER) if failures < _FETCHES else None
        return None

    def attempt(self) -> tuple["Download", SnapshotContent | Exception]:
        """Fetch it once, in any thread; return it, and what was found in it or what went wrong.

        Its file is left only if it is whole and the right one. TerminatedError is raised.
        """
        ids = self.record.project.id, self.record.snapshot_id
        try:
            if self.lacked:
                self.reservation.reserve(self.lacked.needed, self.lacked.purpose)
            with contextlib.closing(self._site.download(*ids)) as stream:
                self._receive(stream)
            content = snapshot_file.check(self.path, ids[0], self.reservation, self._clock)
            self.reservation.reserve(content.size_bytes, "to archive it")
        except BaseException as error:
            self.path.unlink(missing_ok=True)
            if isinstance(error, _EXPECTED):
                return self, error
            raise
        return self, content

    def _receive(self, stream: Stream) -> None:
        """Write what the site sends into the file, packed again if it was unpacked on the way.

        It is unpacked where the site, or its storage, takes the compression for the transfer's.
        """
        # Unpacked, it is at least as large again: never refuses what would have had room.
        self.reservation.reserve(max(2 * (stream.size or 0), self.reservation.left), "for it")
        chunks = self._recognized(self._timed(stream.chunks))
        first = next(chunks, b"")
        is_unpacked = first.startswith(SQLITE_MAGIC)
        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if is_unpacked else None
        if not packer:  # it is archived as it comes
            self._archive.check_room(stream.size or 0)
        with self.path.open("wb") as file:
            for received in itertools.chain([first], chunks):
                chunk = packer.compress(received) if packer else received
                self.reservation.consume(len(chunk), "for it")
                file.write(chunk)
            if packer:
                file.write(packer.flush())

    def _timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, or raise OutcomeUnknownError where too little comes."""
        began, received = self._clock.monotonic(), 0
        for chunk in chunks:
            self._clock.sleep(0.0)
            received += len(chunk)
            seconds = self._clock.monotonic() - began
            if seconds >= _SLOW_SECONDS:
                if received < _SLOW_BYTES_A_SECOND * seconds:
                    raise OutcomeUnknownError("the download came to less than 1 KiB a second")
                began, received = began + seconds, 0
            yield chunk

    @staticmethod
    def _recognized(chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, the first ones as one; refuse what is neither gzip nor SQLite."""
        head = b""
        for chunk in chunks:
            head += chunk
            if head.startswith((GZIP_MAGIC, SQLITE_MAGIC)):
                break
            if not (GZIP_MAGIC.startswith(head) or SQLITE_MAGIC.startswith(head)):
                text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
                kind = _KINDS.get(text[:1], "something else")
                raise SnapshotFileError(f"unexpected response: {kind}, no gzip file")
        yield head
        yield from chunks


def in_words(error: Exception) -> str:
    """Say what went wrong, for the report: of the disk, neither number nor path."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
