"""The room on the disk: who writes next to others reserves it here first, and never waits.

A snapshot needs room three times, one after the other: for the file as it comes, to unpack it for
the check, and in the archive. Several at a time could each find room, and then fill the disk
together; so what one has reserved, no other gets. Knows nothing of snapshots.
"""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from ..text import size_text

_SPARE_BYTES = 1 << 24  # stays free for the report and the log, whatever comes
_STEP_BYTES = 1 << 24  # what is written beyond a reservation is reserved in steps of this
FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """Return how many bytes can be written where a folder is."""
    return shutil.disk_usage(folder).free


class NoRoomError(Exception):
    """The disk is too small; says by how much."""

    def __init__(self, missing: int, needed: int, purpose: str) -> None:
        super().__init__(f"no room {purpose}: {size_text(missing)} more would have to be free")
        self.needed = needed  # bytes at least, with what whoever asked has written so far
        self.purpose = purpose  # what for, as ``for it``


class DiskSpace:
    """The free space of one folder, shared out among those who write into it at the same time."""

    def __init__(self, folder: Path, free: FreeBytes = free_bytes) -> None:
        self.folder = folder
        self.free = free
        self.lock = threading.Lock()
        self.reservations: set[Reservation] = set()

    def check(self, size: int, purpose: str) -> None:
        """Raise NoRoomError where there is not so much; reserves nothing."""
        reservation = Reservation(self)
        reservation.reserve(size, purpose)
        reservation.release()


class Reservation:
    """The room that one writer may still fill."""

    def __init__(self, space: DiskSpace) -> None:
        self._space = space
        self.left = 0  # bytes
        self.used = 0  # bytes that it has written and not removed again

    def reserve(self, size: int, purpose: str, most: int = 0) -> None:
        """Reserve so many bytes, up to ``most``, instead of what is left; or raise NoRoomError."""
        with self._space.lock:
            others = sum(other.left for other in self._space.reservations - {self})
            available = self._space.free(self._space.folder) - _SPARE_BYTES - others
            if available < size:
                raise NoRoomError(size - available, self.used + size, purpose)
            self.left = max(size, min(available, most))
            self._space.reservations.add(self)

    def consume(self, size: int, purpose: str) -> None:
        """Say that so many bytes are written now; reserves more where need be, as above."""
        if size > self.left:
            self.reserve(size, purpose, most=_STEP_BYTES)
        self.left -= size
        self.used += size

    def release(self) -> None:
        """Give everything back."""
        with self._space.lock:
            self._space.reservations.discard(self)
        self.left = self.used = 0
