"""Disks that are small, or refuse to be written to, as full ones do."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the disk refuse what is written beyond a size, as a full one does: EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A disk of a size: what is in a folder takes from it."""

    def __init__(self, size: int, *folders: Path) -> None:
        self.size = size
        self.folders = folders
        self.least = size

    def __call__(self, _: Path) -> int:
        free = self.size - sum(self._used(folder) for folder in self.folders)
        self.least = min(self.least, free)
        return free

    def _used(self, folder: Path) -> int:
        used = 0
        for directory, _, names in os.walk(folder):
            for name in names:
                try:
                    used += (Path(directory) / name).stat().st_size
                except FileNotFoundError:  # a worker has just removed it
                    continue
        return used
