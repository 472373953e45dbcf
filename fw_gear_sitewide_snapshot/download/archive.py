"""``snapshots.zip``: written at the end, from files that were fetched and verified.

Each snapshot is in it as it came (``group/project label/snapshot id.db.gz``), beside the report and
``SHA256SUMS``, which ``sha256sum -c`` takes once the archive is unpacked. It is written into the
output folder under another name, and renamed once it is whole. Knows no site, and no threads.

There is no fsync: on a slow disk it takes minutes, in which nobody could end the run, and it helps
only where the machine fails, and the job with it. A disk that finds out late that it is full says
so when the file is closed, which is before it is renamed.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from ..clock import Clock
from ..errors import TerminatedError
from .disk_space import DiskSpace

ARCHIVE_NAME = "snapshots.zip"
SUMS_NAME = "SHA256SUMS"
_CHUNK_BYTES = 1 << 20
_GRACE_SECONDS = 1.0  # once the run is to end: begins no other file after so long,
_LAST_SECONDS = 2.0  # and breaks off in one that is being written after so long
_ROW_BYTES = 1 << 11  # of a project at the most: in the report, checksums, headers and directory
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)  # that a zip can tell
_LATEST = datetime(2107, 12, 31, tzinfo=UTC)
_PURPOSE = "for it in the output folder"
Tick = Callable[[], None]


@dataclass
class Archive:
    """An archive of the files of one folder; only one that was published is left behind.

    Raises:
        OSError: One of the folders can't be used.
    """

    folder: Path  # with the files to add
    output: Path
    rows: int  # of the report that is added, too
    clock: Clock
    tick: Tick
    space: DiskSpace  # of the output folder
    awaited_bytes: int = 0  # of the files that are there to be added

    def __post_init__(self) -> None:
        self._part = self.output / f".{ARCHIVE_NAME}.part"
        self._is_on_one_disk = self.folder.stat().st_dev == self.output.stat().st_dev
        self._ending_bytes = (self.rows + 1) * _ROW_BYTES
        self._terminated = math.inf  # when the run was told to end
        self._sums: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Begin to write it."""
        self._file = self._part.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not published."""
        with contextlib.suppress(OSError), contextlib.closing(self._file):
            self._zip.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def check_space(self, size: int) -> None:
        """Raise NoRoomError where there is no room for so large a file beside those awaited."""
        if not self._is_on_one_disk:  # else it takes the room of the files that it is made of
            self.space.check(self.awaited_bytes + size + self._ending_bytes, _PURPOSE)

    def has_time(self) -> bool:
        """Return whether another file may be begun."""
        return self._overtime() < _GRACE_SECONDS

    def reserve(self, size: int) -> None:
        """Allocate the disk space of so large a file, and of what ends the archive.

        So a full disk costs that file, and does not leave half of it in the archive.

        Raises:
            NoRoomError: The output folder's disk is too small.
            OSError: It is full all the same, by a quota for example.
        """
        allocated = os.fstat(self._file.fileno()).st_size
        missing = self._file.tell() + size + self._ending_bytes - allocated
        self.space.check(missing, _PURPOSE)
        try:
            os.posix_fallocate(self._file.fileno(), allocated, missing)
        except OSError:
            self._file.truncate(allocated)  # some of it may be allocated
            raise

    def add(self, source: Path, name: str, sha256: str, when: datetime | None = None) -> None:
        """Copy a file into the archive, and remove it.

        Raises:
            OSError: The file can't be read, or the archive not be written: it is lost then.
            TerminatedError: No time is left to copy the file: the archive is lost, too.
        """
        entry = _entry(name, source.stat().st_size, when)
        with source.open("rb") as file, self._zip.open(entry, "w") as target:
            while chunk := file.read(_CHUNK_BYTES):
                target.write(chunk)
                if self._overtime() >= _LAST_SECONDS:
                    raise TerminatedError
        self._sums[name] = sha256
        source.unlink()

    def publish(self) -> int:
        """Add the checksums, and give the archive its name; return its size in bytes."""
        sums = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(self._sums.items()))
        self._zip.writestr(_entry(SUMS_NAME, 0, self.clock.now()), sums)
        self._zip.close()
        size = self._file.truncate()  # frees what was allocated and not needed
        self._file.close()
        self._part.replace(self.output / ARCHIVE_NAME)
        return size

    def _overtime(self) -> float:
        """Call the tick; return the seconds since the run was told to end, negative before."""
        try:
            self.clock.raise_if_terminated()
            self.tick()
        except TerminatedError:
            self._terminated = min(self._terminated, self.clock.monotonic())
        return self.clock.monotonic() - self._terminated


def _entry(name: str, size: int, when: datetime | None) -> zipfile.ZipInfo:
    moment = min(max((when or _OLDEST).astimezone(UTC), _OLDEST), _LATEST)
    entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
    entry.file_size = size  # decides whether it has to be ZIP64
    entry.external_attr = 0o644 << 16
    return entry
