"""Fetches one snapshot: receives it, checks it, copies it, and decides when to try again.

Called from several threads, which share the disk space. None waits for space while its stream is
open: the site would break it off. Nothing of what a snapshot holds is logged.
"""

import contextlib
import errno
import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..clock import Clock
from ..errors import (
    NotFoundError,
    OutcomeUnknownError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
    StoreError,
)
from ..models import SnapshotContent, SnapshotRecord
from ..site.client import Site
from ..site.http import Stream
from ..site.retry import backoff_seconds
from .archive import Archive
from .copies import MOST_FAILURES, Copies
from .disk_space import NoRoomError, Reservation
from .snapshot_file import GZIP_MAGIC, SQLITE_MAGIC, SnapshotFileError, check

_BACKOFFS = (8.0, 32.0)  # between fetches that break off, fail their check or get an unclear answer
_OUTAGE_SECONDS = 60.0  # for so long, and so many attempts, a site is asked that can't answer
_OUTAGE_ATTEMPTS = 6
_LONGEST_BACKOFF_SECONDS = 600.0  # a site that asks for a longer one is left to another run
_MISSING_SECONDS = 40.0  # a snapshot can be complete before its file is there
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_COPIES = 5  # attempts at the least, where what went wrong may pass; and a store's outage as above
_EXPECTED = (SiteError, SiteUnusableError, SnapshotFileError, StoreError, NoRoomError, OSError)
_SLOW_SECONDS = 60.0
_SLOW_BYTES_A_SECOND = 1 << 10  # what brings less in that time will not come to an end
_KINDS = {b"<": "a page (HTML or XML)", b"{": "JSON", b"[": "JSON"}  # by their first byte
Outcome = SnapshotContent | Exception


@dataclass(eq=False)
class Download:
    """A snapshot to be fetched into a folder, for the archive, to be copied, or both."""

    record: SnapshotRecord
    folder: Path
    site: Site
    archive: Archive | None
    copies: Copies | None
    reservation: Reservation  # while it is fetched and checked
    clock: Clock
    lacked: NoRoomError | None = None  # the last attempt's error, if that is what it was
    content: SnapshotContent | None = None  # once it is fetched and checked, or its copy found
    is_found: bool = False  # whether an earlier run has copied it: then it was not fetched
    copied_to: str = ""  # once it is copied

    def __post_init__(self) -> None:
        record = self.record
        self.path = self.folder / f"{record.project.id}.gz"
        self.title = f"{record.described}: snapshot {record.snapshot_id}"  # for the log
        # When each kind of them came: before there was a content (True), and after that.
        self._failures: defaultdict[tuple[type, bool], list[float]] = defaultdict(list)

    def backoff(self, error: Exception) -> float | None:
        """Count a failure; return the seconds until the next attempt, or None if there is none."""
        times = self._failures[type(error), self.content is None]
        times.append(self.clock.monotonic())
        failures, seconds = len(times), times[-1] - times[0]
        backoff = backoff_seconds(failures, error)
        match error:
            case NotFoundError() if (left := _MISSING_SECONDS - seconds) > 0:
                return min(backoff, left)
            case ServiceUnavailableError():
                is_over = failures >= _OUTAGE_ATTEMPTS and seconds + backoff > _OUTAGE_SECONDS
                return None if is_over or backoff > _LONGEST_BACKOFF_SECONDS else backoff
            case StoreError() if error.may_pass and self.copies:
                self.copies.failures += 1
                is_over = failures >= _COPIES and seconds + backoff > _OUTAGE_SECONDS
                return None if is_over or self.copies.failures > MOST_FAILURES else backoff
            case SnapshotFileError() if failures <= len(_BACKOFFS):
                self._failures.clear()  # an outage from now on is another one
                self._failures[SnapshotFileError, True] = times
                return _BACKOFFS[failures - 1]
            case OutcomeUnknownError() if failures <= len(_BACKOFFS):
                return _BACKOFFS[failures - 1]
        return None

    def attempt(self) -> tuple["Download", Outcome]:
        """Do once what is still to be done, in any thread; return its content, or its error.

        A file is left where it was fetched and is to be archived, or to be copied by a later
        attempt.
        """
        try:
            content = self.content = self.content or self._find_or_fetch()
            if self.copies and not self.copied_to:
                self.copied_to = self.copies.copy(self.path, self.record, content)
        except BaseException as error:
            is_needed = isinstance(error, StoreError) or self.archive is not None
            if self.content is None or not is_needed:
                self.path.unlink(missing_ok=True)
            if isinstance(error, _EXPECTED):
                return self, error
            raise  # TerminatedError, too
        if not self.archive:
            self.path.unlink(missing_ok=True)
        return self, content

    def _find_or_fetch(self) -> SnapshotContent:
        """Return what is in it: by an earlier run's copy, or else by fetching it."""
        ids = self.record.project.id, self.record.snapshot_id
        if self.copies and not self.archive and (content := self.copies.find(self.record)):
            self.is_found, self.copied_to = True, self.copies.address(self.record)
            return content
        if self.lacked:
            self.reservation.reserve(self.lacked.needed, self.lacked.purpose)
        with contextlib.closing(self.site.download(*ids)) as stream:
            try:
                self._receive(stream)
            except OutcomeUnknownError as error:  # an outage no more: the site has answered
                raise SnapshotFileError(str(error)) from None
        return check(self.path, ids[0], self.reservation, self.clock)

    def _receive(self, stream: Stream) -> None:
        """Write the stream into the file, packed again if it was unpacked on the way."""
        # Twice its size: unpacked for the check, it is at least as large again.
        self.reservation.reserve(max(2 * (stream.size or 0), self.reservation.left), "for it")
        chunks = self._recognized(self._timed(stream.chunks))
        first = next(chunks)
        is_unpacked = first.startswith(SQLITE_MAGIC)  # its gzip was taken for the transfer's
        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if is_unpacked else None
        if self.archive and not packer:  # it is archived as it comes
            self.archive.check_space(stream.size or 0)
        with self.path.open("wb") as file:
            for received in itertools.chain([first], chunks):
                chunk = packer.compress(received) if packer else received
                self.reservation.consume(len(chunk), "for it")
                file.write(chunk)
            if packer:
                file.write(packer.flush())

    def _timed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks; raise OutcomeUnknownError where too little comes."""
        began, received = self.clock.monotonic(), 0
        for chunk in chunks:
            self.clock.raise_if_terminated()
            received += len(chunk)
            seconds = self.clock.monotonic() - began
            if seconds >= _SLOW_SECONDS:
                if received < _SLOW_BYTES_A_SECOND * seconds:
                    raise OutcomeUnknownError("the download came to less than 1 KiB a second")
                began, received = began + seconds, 0
            yield chunk

    @staticmethod
    def _recognized(chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, the first ones as one; raise where they are neither gzip nor SQLite."""
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
    """Describe an error for the report; one of the disk without its number and path."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
