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
from dataclasses import dataclass

from ..clock import Clock
from ..errors import (
    NotFoundError,
    OutcomeUnknownError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from ..models import SnapshotContent, SnapshotRecord
from ..site.client import Site
from ..site.http import Stream
from ..site.retry import backoff_seconds
from .archive import Archive
from .disk_space import NoRoomError, Reservation
from .snapshot_file import GZIP_MAGIC, SQLITE_MAGIC, SnapshotFileError, check

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
Outcome = SnapshotContent | Exception


@dataclass(eq=False)
class Download:
    """A snapshot to be fetched, into the archive's folder."""

    record: SnapshotRecord
    site: Site
    archive: Archive
    reservation: Reservation  # while it is fetched and archived
    clock: Clock
    lacked: NoRoomError | None = None  # what it had no room for at the last attempt

    def __post_init__(self) -> None:
        self.path = self.archive.folder / f"{self.record.project.id}.gz"
        self._failures: defaultdict[type, list[float]] = defaultdict(list)

    def pause(self, error: Exception) -> float | None:
        """Count a failure; returns the seconds to wait before the next attempt, None for none."""
        times = self._failures[type(error)]
        times.append(self.clock.monotonic())
        failures, seconds = len(times), times[-1] - times[0]
        pause = backoff_seconds(failures, error)
        match error:
            case NotFoundError() if (left := _MISSING_SECONDS - seconds) > 0:
                return min(pause, left)
            case ServiceUnavailableError():
                is_over = failures >= _OUTAGE_ATTEMPTS and seconds + pause > _OUTAGE_SECONDS
                return None if is_over or pause > _LONGEST_PAUSE_SECONDS else pause
            case OutcomeUnknownError() | SnapshotFileError() if failures < _FETCHES:
                return backoff_seconds(failures + _LATER)
        return None

    def attempt(self) -> tuple["Download", Outcome]:
        """Fetch it once, in any thread; return it with its content, or its error and no file."""
        ids = self.record.project.id, self.record.snapshot_id
        try:
            if self.lacked:
                self.reservation.reserve(self.lacked.needed, self.lacked.purpose)
            with contextlib.closing(self.site.download(*ids)) as stream:
                self._receive(stream)
            content = check(self.path, ids[0], self.reservation, self.clock)
            self.reservation.reserve(content.size_bytes, "to archive it")
        except BaseException as error:
            self.path.unlink(missing_ok=True)
            if isinstance(error, _EXPECTED):
                return self, error
            raise  # TerminatedError, too
        return self, content

    def _receive(self, stream: Stream) -> None:
        """Write what the site sends into the file, packed again if it was unpacked on the way."""
        # Unpacked, it is at least as large again: never refuses what would have had room.
        self.reservation.reserve(max(2 * (stream.size or 0), self.reservation.left), "for it")
        chunks = self._recognized(self._timed(stream.chunks))
        first = next(chunks)
        is_unpacked = first.startswith(SQLITE_MAGIC)  # its gzip was taken for the transfer's
        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if is_unpacked else None
        if not packer:  # it is archived as it comes
            self.archive.check_room(stream.size or 0)
        with self.path.open("wb") as file:
            for received in itertools.chain([first], chunks):
                chunk = packer.compress(received) if packer else received
                self.reservation.consume(len(chunk), "for it")
                file.write(chunk)
            if packer:
                file.write(packer.flush())

    def _timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, or raise OutcomeUnknownError where too little comes."""
        began, received = self.clock.monotonic(), 0
        for chunk in chunks:
            self.clock.sleep(0.0)
            received += len(chunk)
            seconds = self.clock.monotonic() - began
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
                kind = _KINDS.get(head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1], "something else")
                raise SnapshotFileError(f"unexpected response: {kind}, no gzip file")
        yield head
        yield from chunks


def in_words(error: Exception) -> str:
    """Say what went wrong, for the report: of the disk, neither number nor path."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
