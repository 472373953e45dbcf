"""The states that a project begins in: at a run's beginning, and for another snapshot."""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from ..models import SnapshotOrder, SnapshotStatus
from .project_state import Call, ProjectState

NEW_SECONDS = 40.0  # one that was never seen may be answered with 404 so long after its create
# Where a run continues one that was cut off: a list that is read so long after its beginning, and
# shows no snapshot, proves that the other has started none.
CUT_OFF_SETTLE_SECONDS = 10.0


def start(order: SnapshotOrder, attempts: int, now: float, site_now: datetime) -> ProjectState:
    """Return the state of a project that is to have a snapshot, or whose snapshot is running."""
    record = order.record
    may_be_there = order.wanted_since or order.reuse_since
    first = Call.LOOK_UP if order.look_up else Call.LIST if may_be_there else Call.CREATE
    new_since = site_now - timedelta(seconds=NEW_SECONDS)
    is_new = record.is_running and record.timestamp is not None and record.timestamp >= new_since
    return ProjectState(
        record,
        Call.POLL if record.is_running else first,
        due=now,
        attempts_left=attempts,
        wanted_since=order.wanted_since,
        reuse_since=order.reuse_since,
        is_audit=order.is_audit,
        audited=order.audited,
        settled_at=now + CUT_OFF_SETTLE_SECONDS,
        known_failed=frozenset({order.failed_id} - {""}),
        new_until=now + NEW_SECONDS if is_new else -math.inf,
    )


def sending(state: ProjectState, now: float) -> ProjectState:
    """Return the state while its call is under way."""
    is_first_create = state.call == Call.CREATE and state.sent is None
    return replace(state, sent=now) if is_first_create else state


def starts_again(state: ProjectState) -> bool:
    """Say whether the project's snapshot has failed and another one is to be started."""
    has_failed = state.call is None and state.record.status == SnapshotStatus.FAILED
    return has_failed and bool(state.record.snapshot_id) and state.attempts_left > 0


def start_again(state: ProjectState, now: float, site_now: datetime) -> ProjectState:
    """Return the state of a project that gets another snapshot.

    Its record has to be on disk before the call: it says since when a later run is to look. That is
    now; or since when this run looks itself, as an earlier one may have started one already.
    """
    looks_since = min(site_now, state.wanted_since or site_now)
    is_pending = state.unknown_creates > 0 or state.is_accepted
    return ProjectState(
        state.record.reset_to_pending(looks_since),
        Call.LOOK_UP,
        due=now,
        attempts_left=state.attempts_left,
        wanted_since=state.wanted_since,
        known_failed=state.known_failed | {state.record.snapshot_id},
        problem=state.record.error,
        # The one that was taken from the list may be somebody else's: this run's may still come.
        sent=state.sent if is_pending else None,
        settled_at=state.settled_at,
        is_accepted=state.is_accepted,
        unknown_creates=min(1, state.unknown_creates),
    )
