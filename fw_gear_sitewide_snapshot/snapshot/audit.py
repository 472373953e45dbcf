"""What an audit says of a project: the snapshot that is new enough, or why there is none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ..models import Origin, Snapshot, SnapshotList, SnapshotRecord, SnapshotStatus
from ..text import age
from .project_state import ProjectState


def unknown(state: ProjectState, words: str, now: datetime) -> SnapshotRecord:
    """Return the row of a project of which the audit was not told what there is.

    A snapshot that the row named stays in it: a retry asks for that one, and starts no other.
    """
    if state.audited:
        return replace(state.audited, status=SnapshotStatus.PENDING).with_error(words)
    return state.record.failed(words, now)


def audited(
    state: ProjectState, usable: Sequence[Snapshot], listed: SnapshotList, now: datetime
) -> SnapshotRecord:
    """Return the row with the first of the usable snapshots, or with the age of the newest one.

    Usable is what is new enough and has not failed; ``now`` is the site's time. A row that was cut
    off keeps its time since when to look: one may still be on its way.
    """
    record, earlier = state.record, state.audited
    complete = [s for s in listed.snapshots if s.status == SnapshotStatus.COMPLETE]
    if earlier and earlier.is_complete and any(s.id == earlier.snapshot_id for s in usable):
        return earlier
    if usable:
        found = replace(record.with_snapshot(usable[0], now), origin=Origin.REUSED)
        return found if found.is_complete else found.with_error("a snapshot is being built")
    newest = max(filter(None, (snapshot.created for snapshot in complete)), default=None)
    words = "no complete snapshot"
    if newest:
        words = f"the newest complete snapshot is {age((now - newest).total_seconds())} old"
    if not listed.is_readable:
        words += ", as far as the site's list can be read"
    status = record.status if state.wanted_since else SnapshotStatus.PLANNED
    return replace(record.with_error(words), status=status)
