"""``snapshots.zip``: made in the work folder, and moved into the output folder when it is whole.

Each snapshot is in it as it came (``group/project label/snapshot id.db.gz``), beside the report and
``SHA256SUMS``, which ``sha256sum -c`` takes once the archive is unpacked. Knows no site.

Nothing waits until it is on the disk itself (fsync): on a slow disk that takes minutes, in which
nobody could end the run, and helps only where the machine fails, and the job with it. A disk that
finds out late that it is full says so when the file is closed, which is before the move.
"""

import contextlib
import errno
import hashlib
import io
import threading
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from . import reporter
from .archive_names import SUMS_NAME
from .clock import Clock
from .models import SnapshotRecord
from .room import FreeBytes, Room

ARCHIVE_NAME = "snapshots.zip"

_CHUNK_BYTES = 1 << 20
_ROW_BYTES = 1 << 11  # of a project at the most: in the report, checksums, headers and directory
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)  # that a zip can tell
_LATEST = datetime(2107, 12, 31, tzinfo=UTC)


class Archive:
    """An archive in the making; only one that was placed is left behind.

    Args:
        path: Where to make it, in the work folder; it is removed with that.
        output: The folder that it is for.
        rows: How many projects its report will tell of.
        clock: Tells when the run is to end.
        free: Tells how many bytes can be written where a folder is.

    Raises:
        OSError: One of the folders can't be written to.
    """

    def __init__(
        self, path: Path, output: Path, *, rows: int, clock: Clock, free: FreeBytes
    ) -> None:
        self._path = path
        self._output = output
        self._part = output / f".{ARCHIVE_NAME}.part"
        self._ending_bytes = (rows + 1) * _ROW_BYTES
        self._clock = clock
        self._free = free
        self._is_copied = not _moves(path, self._part)
        self._lock = threading.Lock()
        self._file = _WholeWrites(path, "w+")
        self._zip = zipfile.ZipFile(self._file, "w")
        self._sums: dict[str, str] = {}

    def add(self, source: Path, name: str, sha256: str, when: datetime | None = None) -> None:
        """Take a file in, and remove it. What can't be taken in leaves the archive as it was.

        Args:
            source: The file.
            name: Its name in the archive.
            sha256: Its checksum.
            when: When what is in it was made.

        Raises:
            NoRoomError: The output folder has no room for the archive with the file.
            OSError: The disk is full, or can't be read or written.
            TerminatedError: The run is to end; the archive is of no use any more.
        """
        with self._lock:
            self.look_for_room(source.stat().st_size)
            self._take_in(source, name, sha256, when)

    def look_for_room(self, size: int) -> None:
        """See whether a file of so many bytes would leave the archive small enough to be placed.

        It always is where placing it takes no room of its own.

        Raises:
            NoRoomError: The output folder has no room for the archive with the file.
        """
        if self._is_copied:
            whole = self._zip.start_dir + size + self._ending_bytes
            self._need_in_output(whole, "for it in the output folder")

    def finish(self, records: Sequence[SnapshotRecord]) -> int:
        """Put the report and the checksums in; returns the archive's size.

        Raises:
            OSError: The disk is full, or can't be written.
            OutputError: Likewise.
        """
        report = reporter.write(records, self._path.parent)
        now = self._clock.now()
        sha256 = hashlib.sha256(report.read_bytes()).hexdigest()
        with self._lock:
            self._take_in(report, report.name, sha256, now)
            lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(self._sums.items()))
            self._zip.writestr(_entry(SUMS_NAME, 0, now), lines)
            self._zip.close()
            self._file.close()
        return self._path.stat().st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file, finished or not."""
        self._zip.fp = None  # else it would be finished, when nobody wants it any more
        with contextlib.suppress(OSError):  # where that counts, it is closed by now
            self._file.close()

    def place(self) -> Path:
        """Move the finished archive into the output folder in one step; returns where it is.

        Raises:
            NoRoomError: Meanwhile others have filled the output folder's disk.
            OSError: It can't be written to.
            TerminatedError: The run is to end; nothing is in the folder.
        """
        target = self._output / ARCHIVE_NAME
        if self._is_copied:
            size = self._path.stat().st_size
            self._need_in_output(size, "for the archive in the output folder")
            self._copy_to(target)
        else:
            self._path.replace(target)
        return target

    def _need_in_output(self, size: int, purpose: str) -> None:
        """Raise NoRoomError where there is not so much; nobody else writes there meanwhile."""
        with Room(self._output, self._clock, self._free).claim() as claim:
            claim.need(size, purpose)

    def _copy_to(self, target: Path) -> None:
        """Copy it to where it can't be moved; nobody sees it there before it is whole."""
        try:
            with self._path.open("rb") as source, self._part.open("wb") as file:
                self._copy(source, file)
            self._part.replace(target)
        finally:
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)

    def _take_in(self, source: Path, name: str, sha256: str, when: datetime | None) -> None:
        before = self._zip.start_dir
        try:
            self._copy_in(source, _entry(name, source.stat().st_size, when))
        except OSError:
            self._take_back(name, before)
            raise
        self._sums[name] = sha256
        source.unlink()

    def _copy_in(self, source: Path, entry: zipfile.ZipInfo) -> None:
        with source.open("rb") as file, self._zip.open(entry, "w") as target:
            self._copy(file, target)

    def _copy(self, source: Any, target: Any) -> None:
        while chunk := source.read(_CHUNK_BYTES):
            self._clock.sleep(0.0)
            target.write(chunk)

    def _take_back(self, name: str, before: int) -> None:
        """Forget the last entry, of which only a part could be written."""
        entry = self._zip.NameToInfo.pop(name, None)
        if entry is not None:
            self._zip.filelist.remove(entry)
        self._zip.start_dir = before
        self._file.truncate(before)


class _WholeWrites(io.FileIO):
    """A file that writes all or raises, at once: ZipFile doesn't look, and a buffer would wait."""

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            written += super().write(view[written:]) or 0
        return written


def _moves(path: Path, target: Path) -> bool:
    """Try whether a file gets from one path to the other in one step; leaves none behind.

    Between two disks it doesn't; nor between two mounts of one disk, which look like one.
    """
    path.touch()
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    target.unlink()
    return True


def _entry(name: str, size: int, when: datetime | None) -> zipfile.ZipInfo:
    moment = min(max((when or _OLDEST).astimezone(UTC), _OLDEST), _LATEST)
    entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
    entry.file_size = size  # decides whether it has to be ZIP64
    entry.external_attr = 0o644 << 16
    return entry
