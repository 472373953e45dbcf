"""What the loop knows of the work that goes on beside it."""

from typing import Protocol

from ..models import SnapshotRecord


class Beside(Protocol):
    """What goes on beside the waiting, with what is complete already."""

    calls: int  # to the site that it may have under way at a time

    def add(self, record: SnapshotRecord) -> None:
        """Take a row whose snapshot has become complete."""

    def advance(self) -> None:
        """Do what can be done at once; is called many times a second."""
