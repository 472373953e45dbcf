"""``snapshots.zip``: made in the work folder, and moved into the output folder when it is whole.

Each snapshot is in it as it came (``group/project label/snapshot id.db.gz``), beside the report and
``SHA256SUMS``, which ``sha256sum -c`` takes once the archive is unpacked. Knows no site, and no
threads: one alone adds to it, as the snapshots come, so that little is left to do at the end.

Nothing waits until it is on the disk itself (fsync): on a slow disk that takes minutes, in which
nobody could end the run, and helps only where the machine fails, and the job with it. A disk that
finds out late that it is full says so when the file is closed, which is before the move.
"""

import contextlib
import errno
import io
import math
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..clock import Clock
from ..errors import TerminatedError
from .disk_space import DiskSpace

ARCHIVE_NAME = "snapshots.zip"
SUMS_NAME = "SHA256SUMS"
_CHUNK_BYTES = 1 << 20
_GRACE_SECONDS = 1.0
_ROW_BYTES = 1 << 11  # of a project at the most: in the report, checksums, headers and directory
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)  # that a zip can tell
_LATEST = datetime(2107, 12, 31, tzinfo=UTC)
Tick = Callable[[], None]


class Archive(contextlib.AbstractContextManager["Archive"]):
    """An archive in the making; only one that was published is left behind.

    It is made in a folder of its own, for the output folder, in which ``space`` is the room; its
    report will tell of so many rows. OSError is raised where a disk is full, or can't be read or
    written; by what adds or publishes, also NoRoomError where the output folder's disk is too
    small, and TerminatedError where the run is to end and copying takes too long.
    """

    def __init__(
        self, folder: Path, output: Path, rows: int, clock: Clock, tick: Tick, space: DiskSpace
    ) -> None:
        self.folder = folder
        self._path = folder / ARCHIVE_NAME
        self._output = output
        self._part = output / f".{ARCHIVE_NAME}.part"
        self._ending_bytes = (rows + 1) * _ROW_BYTES
        self._clock = clock
        self._tick = tick
        self._space = space
        self._path.touch()
        try:  # nothing moves to another disk, nor to another mount of the same one
            self._path.replace(self._part)
            self._part.unlink()
            self._is_copied = False
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._is_copied = True
        self._file = _WholeWrites(self._path, "w+")
        self._zip = zipfile.ZipFile(self._file, "w")
        self._sums: dict[str, str] = {}

    def add(self, source: Path, name: str, sha256: str, when: datetime | None = None) -> None:
        """Take a file in, and remove it. What can't be taken in leaves the archive as it was."""
        before = self._zip.start_dir
        entry = _entry(name, source.stat().st_size, when)
        self.check_room(entry.file_size)
        try:
            with source.open("rb") as file, self._zip.open(entry, "w") as target:
                self._copy(file, target)
        except BaseException:  # zipfile has no way to take back what is half written
            if self._zip.NameToInfo.pop(name, None):
                self._zip.filelist.pop()
            self._zip.start_dir = before
            self._file.truncate(before)
            raise
        self._sums[name] = sha256
        source.unlink()

    def check_room(self, size: int) -> None:
        """Raise NoRoomError where the archive could not be published with so large a file more."""
        if self._is_copied:  # else that takes no room
            whole = self._zip.start_dir + size + self._ending_bytes
            self._space.check(whole, "for it in the output folder")

    def publish(self) -> int:
        """Put the checksums in, move the whole archive into the output folder; returns its size."""
        sums = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(self._sums.items()))
        self._zip.writestr(_entry(SUMS_NAME, 0, self._clock.now()), sums)
        self._zip.close()
        self._file.close()
        whole, size = self._path, self._path.stat().st_size
        try:
            if self._is_copied:
                self._space.check(size, "for the archive in the output folder")
                with whole.open("rb") as source, self._part.open("wb") as file:
                    self._copy(source, file)
                whole = self._part
            whole.replace(self._output / ARCHIVE_NAME)
        finally:
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
        return size

    def __exit__(self, *_: object) -> None:
        """Let go of the file, published or not; where an error counts, it is closed by now."""
        with contextlib.suppress(OSError), contextlib.closing(self._file):
            self._zip.close()

    def _copy(self, source: Any, target: Any) -> None:
        end = math.inf  # once the run is to end: until when there is time for the rest
        while chunk := source.read(_CHUNK_BYTES):
            target.write(chunk)
            try:
                self._clock.sleep(0.0)
                self._tick()
            except TerminatedError:
                end = min(end, self._clock.monotonic() + _GRACE_SECONDS)
                if self._clock.monotonic() >= end:
                    raise


class _WholeWrites(io.FileIO):
    """A file that writes all or raises, at once: ZipFile doesn't look, and a buffer would wait."""

    def write(self, data: Any) -> int:
        rest = whole = memoryview(data).cast("B")
        while rest:
            rest = rest[super().write(rest) or 0 :]
        return len(whole)


def _entry(name: str, size: int, when: datetime | None) -> zipfile.ZipInfo:
    moment = min(max((when or _OLDEST).astimezone(UTC), _OLDEST), _LATEST)
    entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
    entry.file_size = size  # decides whether it has to be ZIP64
    entry.external_attr = 0o644 << 16
    return entry
