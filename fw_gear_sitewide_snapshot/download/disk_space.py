"""Disk space, reserved before it is written to; whoever gets none is told so and never waits.

Several downloads at a time could each find enough space, and then fill the disk together; so what
one has reserved, no other gets. Knows nothing of snapshots.
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
        self.needed = needed  # bytes at least, with what the reservation has used so far
        self.purpose = purpose  # completes "no room", as "for it" does


class DiskSpace:
    """The free space of one folder, shared by those that write into it at the same time."""

    def __init__(self, folder: Path, free: FreeBytes = free_bytes) -> None:
        self.folder = folder
        self.free = free
        self.lock = threading.Lock()
        self.reservations: set[Reservation] = set()

    def check(self, size: int, purpose: str) -> None:
        """Raise NoRoomError where so much is not available; reserve nothing."""
        reservation = Reservation(self)
        reservation.reserve(size, purpose)
        reservation.release()


class Reservation:
    """The space that one writer may still use."""

    def __init__(self, space: DiskSpace) -> None:
        self._space = space
        self.left = 0  # bytes
        self.used = 0  # bytes that it has written and not removed again

    def reserve(self, size: int, purpose: str, most: int = 0) -> None:
        """Set what is left to so many bytes, up to ``most`` if free; or raise NoRoomError."""
        with self._space.lock:
            others = sum(other.left for other in self._space.reservations - {self})
            available = self._space.free(self._space.folder) - _SPARE_BYTES - others
            if available < size:
                raise NoRoomError(size - available, self.used + size, purpose)
            self.left = max(size, min(available, most))
            self._space.reservations.add(self)

    def consume(self, size: int, purpose: str) -> None:
        """Count so many bytes as written; reserve more if needed, or raise NoRoomError."""
        if size > self.left:
            self.reserve(size, purpose, most=_STEP_BYTES)
        self.left -= size
        self.used += size

    def release(self) -> None:
        """Give back what is left."""
        with self._space.lock:
            self._space.reservations.discard(self)
        self.left = self.used = 0
