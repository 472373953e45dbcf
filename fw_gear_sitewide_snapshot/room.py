"""The room on the disk: who writes next to others asks here first whether it is there.

A snapshot needs room three times, one after the other: for the file as it comes, to unpack it for
the check, and in the archive. Several at a time could each find room, and then fill the disk
together; so what one was promised, no other gets. Knows nothing of snapshots.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .clock import Clock
from .wording import size_text

_SPARE_BYTES = 1 << 24  # stays free for the report and the log, whatever comes
_STEP_BYTES = 1 << 24  # what is written beyond a claim is claimed in steps of this
_PATIENCE_SECONDS = 0.25  # how often one who waits for room looks again

FreeBytes = Callable[[Path], int]
"""Tells how many bytes can be written where a folder is."""


def free_bytes(folder: Path) -> int:
    """See FreeBytes."""
    return shutil.disk_usage(folder).free


class NoRoomError(Exception):
    """The disk is too small; says by how much.

    Attributes:
        for_now: Whether others hold room that they will give back.
    """

    def __init__(self, missing: int, purpose: str, *, for_now: bool = False) -> None:
        super().__init__(f"no room {purpose}: {size_text(missing)} more would have to be free")
        self.for_now = for_now


class Room:
    """The free space of one folder, shared out among those who write into it at the same time.

    Args:
        folder: The folder.
        clock: The time by which one waits until another has given room back.
        free: Tells how much there is.
    """

    def __init__(self, folder: Path, clock: Clock, free: FreeBytes = free_bytes) -> None:
        self._folder = folder
        self._clock = clock
        self._free = free
        self._lock = threading.Lock()
        self._claims: list[Claim] = []

    @contextlib.contextmanager
    def claim(self) -> Iterator["Claim"]:
        """Give a claim that holds nothing yet; what it holds at the end is given back."""
        claim = Claim(self)
        with self._lock:
            self._claims.append(claim)
        try:
            yield claim
        finally:
            with self._lock:
                self._claims.remove(claim)

    def wait_until_unclaimed(self) -> None:
        """Return when nobody holds a claim."""
        while self._claims:
            self._clock.sleep(_PATIENCE_SECONDS)

    def give(self, claim: "Claim", size: int, purpose: str) -> None:
        """See Claim.need."""
        while True:
            with self._lock:
                others = [other for other in self._claims if other is not claim]
                wanted = size + _SPARE_BYTES + sum(other.left for other in others)
                missing = wanted - self._free(self._folder)
                claim.left, claim.waiting = (size, False) if missing <= 0 else (0, True)
                if missing <= 0:
                    return
                if all(other.waiting for other in others):  # somebody has to give way
                    raise NoRoomError(missing, purpose, for_now=bool(others))
            self._clock.sleep(_PATIENCE_SECONDS)


class Claim:
    """The room that one writer may still fill.

    Attributes:
        left: In bytes.
        waiting: Whether it waits for more.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self.left = 0
        self.waiting = False

    def need(self, size: int, purpose: str) -> None:
        """Claim so many bytes from now on, instead of what is left.

        Waits while somebody else may give room back.

        Raises:
            NoRoomError: There is not so much.
            TerminatedError: The run is to end.
        """
        self._room.give(self, size, purpose)

    def take(self, size: int, purpose: str) -> None:
        """Say that so many bytes are written now; claims more where they were not claimed.

        Raises:
            NoRoomError: There is not so much.
            TerminatedError: The run is to end.
        """
        if size > self.left:
            self.need(max(size, _STEP_BYTES), purpose)
        self.left -= size

    def release(self) -> None:
        """Give back what is left."""
        self.left = 0
