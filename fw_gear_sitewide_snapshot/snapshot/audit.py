"""What an audit says of a project: the snapshot that is new enough, or why there is none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ..models import Origin, Snapshot, SnapshotList, SnapshotRecord, SnapshotStatus
from ..text import age
from .project_state import ProjectState


def audited(
    state: ProjectState, usable: Sequence[Snapshot], listed: SnapshotList, now: datetime
) -> SnapshotRecord:
    """Return the row with the first of the usable snapshots, or with the age of the newest one.

    Usable is what is new enough and has not failed; ``now`` is the site's time. A row that was cut
    off keeps its time since when to look: one may still be on its way.
    """
    record = state.record
    if usable:
        found = replace(record.with_snapshot(usable[0], now), origin=Origin.REUSED)
        return found if found.is_complete else found.with_error("a snapshot is being built")
    complete = [s.created for s in listed.snapshots if s.status == SnapshotStatus.COMPLETE]
    newest = max(filter(None, complete), default=None)
    words = "no complete snapshot"
    if newest:
        words = f"the newest complete snapshot is {age((now - newest).total_seconds())} old"
    if not listed.is_readable:
        words += ", as far as the site's list can be read"
    status = record.status if state.wanted_since else SnapshotStatus.PLANNED
    return replace(record.with_error(words), status=status)
