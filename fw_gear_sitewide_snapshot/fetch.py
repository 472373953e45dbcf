"""Fetches one snapshot once: receives it and checks it; and knows when to fetch it again.

Called from several threads, which share the room that there is. Nobody waits for room with a
stream open: the site would break it off. Nothing of what a snapshot holds is logged.
"""

import contextlib
import errno
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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
from .room import NoRoomError, Reservation
from .site import Site
from .snapshot_file import GZIP_MAGIC, SQLITE_MAGIC, SnapshotFileError

_FETCHES = 3  # in all, of a snapshot that breaks off or fails its check
_LATER = 3  # the pauses after those begin as if so many attempts had gone before: at 8 s
_OUTAGE_SECONDS = 60.0  # for so long, and so many attempts, a site is asked that can't answer
_OUTAGE_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 600.0  # a site that asks for a longer one is left to another run
_MISSING_SECONDS = 40.0  # a snapshot can be complete before its file is there
_EXPIRED = {
    400,
    403,
}  # what storages say of a signed URL that has expired; the site gives a new one

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_EXPECTED = (SiteError, SiteUnusableError, SnapshotFileError, NoRoomError, OSError)
_SLOW_SECONDS = 60.0
_SLOW_BYTES = 60 << 10  # what brings less in that time will not come to an end


class Download:
    """A snapshot to be fetched, and what has gone wrong with it so far.

    Args:
        record: Its record.
        clock: The time that what goes wrong is measured by.
        reservation: The room that it has while it is fetched and archived.

    Attributes:
        lacked: What it had no room for at the last attempt.
    """

    def __init__(self, record: SnapshotRecord, clock: Clock, reservation: Reservation) -> None:
        self.record = record
        self.reservation = reservation
        self.lacked: NoRoomError | None = None
        self._clock = clock
        self._failures: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    def pause(self, error: Exception) -> float | None:
        """Count a failure; returns the seconds to wait before the next attempt, None for none."""
        if isinstance(error, NotFoundError):
            failures, seconds = self._count("missing")
            left = _MISSING_SECONDS - seconds
            return min(backoff_seconds(failures), left) if left > 0 else None
        if isinstance(error, ServiceUnavailableError):
            failures, seconds = self._count("unavailable")
            pause = backoff_seconds(failures, error)
            is_over = failures >= _OUTAGE_ATTEMPTS and seconds + pause > _OUTAGE_SECONDS
            return None if is_over or pause > _LONGEST_PAUSE_SECONDS else pause
        if isinstance(error, RejectedError) and error.status not in _EXPIRED:
            return None
        if isinstance(error, SiteError | SnapshotFileError):
            failures, _ = self._count("broken")
            return backoff_seconds(failures + _LATER) if failures < _FETCHES else None
        return None

    def _count(self, kind: str) -> tuple[int, float]:
        """Return how often that has gone wrong, and for how many seconds."""
        now = self._clock.monotonic()
        self._failures[kind] += 1
        return self._failures[kind], now - self._since.setdefault(kind, now)


class Fetch:
    """Fetches a snapshot once at each call, in any thread.

    Args:
        site: The site to fetch from.
        clock: The time that a stream is measured by; tells when the run is to end.
        archive: What it is for; files are fetched into its folder.
    """

    def __init__(self, site: Site, clock: Clock, archive: Archive) -> None:
        self._site = site
        self._clock = clock
        self._archive = archive

    def path(self, record: SnapshotRecord) -> Path:
        """Return where the record's file is once it is fetched."""
        return self._archive.folder / f"{record.project.id}.gz"

    def __call__(self, download: Download) -> tuple[Download, SnapshotContent | Exception]:
        """Fetch the snapshot; its file is left only if it is whole and the right one.

        Returns:
            The download, and what was found in the snapshot or what went wrong.

        Raises:
            TerminatedError: The run is to end.
        """
        record, reservation = download.record, download.reservation
        path = self.path(record)
        try:
            if download.lacked:
                reservation.reserve(download.lacked.needed, download.lacked.purpose)
            with contextlib.closing(
                self._site.download(record.project.id, record.snapshot_id)
            ) as stream:
                self._receive(stream, path, reservation)
            content = snapshot_file.check(
                path, record.project.id, reservation=reservation, clock=self._clock
            )
            reservation.reserve(content.size_bytes, "to archive it")
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, _EXPECTED):
                return download, error
            raise
        return download, content

    def _receive(self, stream: Stream, path: Path, reservation: Reservation) -> None:
        """Write what the site sends into a file, packed again if it was unpacked on the way.

        It is unpacked where the site, or its storage, takes the compression for the transfer's.
        """
        # Unpacked, it is at least as large again: never refuses what would have had room.
        reservation.reserve(max(2 * (stream.size or 0), reservation.left), "for it")
        chunks = self._looked_at(stream.chunks)
        first = next(chunks, b"")
        is_unpacked = first.startswith(SQLITE_MAGIC)
        packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if is_unpacked else None
        if not packer:  # it is archived as it comes
            self._archive.check_room(stream.size or 0)
        with path.open("wb") as file:
            while first:
                chunk = packer.compress(first) if packer else first
                reservation.consume(len(chunk), "for it")
                file.write(chunk)
                first = next(chunks, b"")
            if packer:
                file.write(packer.flush())

    def _looked_at(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks, the first ones as one that tells what it is; refuses other files.

        Raises:
            SnapshotFileError: It begins neither as gzip nor as SQLite.
            OutcomeUnknownError: Too little comes.
        """
        head = b""
        is_known = False
        began, received = self._clock.monotonic(), 0
        for chunk in chunks:
            self._clock.sleep(0.0)
            now = self._clock.monotonic()
            received += len(chunk)
            if now - began >= _SLOW_SECONDS:
                if received < _SLOW_BYTES * (now - began) / _SLOW_SECONDS:
                    raise OutcomeUnknownError("the download came to less than 1 KiB a second")
                began, received = now, 0
            if is_known:
                yield chunk
                continue
            head += chunk
            if is_known := head.startswith((GZIP_MAGIC, SQLITE_MAGIC)):
                yield head
            elif not (GZIP_MAGIC.startswith(head) or SQLITE_MAGIC.startswith(head)):
                raise SnapshotFileError(f"unexpected response: {_kind(head)}, no gzip file")
        if not is_known:
            yield head


def _kind(head: bytes) -> str:
    """Say what a body is by how it begins, without a word of it."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    kinds = {b"<": "a page (HTML or XML)", b"{": "JSON", b"[": "JSON"}
    return kinds.get(text[:1], "something else")


def in_words(error: Exception) -> str:
    """Say what went wrong, for the report: of the disk, neither number nor path."""
    if isinstance(error, OSError):
        return "the disk is full" if error.errno in _FULL else error.strerror or "the disk fails"
    return str(error)
