"""What a project needs next, and what an answer means: the whole of "never twice, never lost".

A create can't be told from its repetition by the site: it has no body and no idempotency key. So it
is sent again only when the site has certainly not done it, or when the site's own list of the
project's snapshots shows for long enough (half a minute, mostly) that there is none.

Pure functions over values: times come in as arguments, monotonic in seconds, or as the site's own.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from .. import errors
from ..models import (
    FINAL,
    Origin,
    Project,
    Snapshot,
    SnapshotList,
    SnapshotRecord,
    SnapshotStatus,
    whole_seconds,
)
from ..text import counted
from .audit import audited, unknown
from .begin import CUT_OFF_SETTLE_SECONDS, NEW_SECONDS
from .project_state import Call, CallValue, Now, ProjectState

# A list that shows no snapshot so long after a create whose answer was lost shows that none was
# made: what a site has begun may take that long to be seen.
SETTLE_SECONDS = 30.0
GONE_SECONDS = 5.0  # a snapshot that two readings of the list, so far apart, lack is gone
MAX_UNKNOWN_CREATES = 3  # in a row, of which none was seen to have been done
# A create's answer that names a snapshot so much older speaks of another one: no clocks differ so.
OLDER = timedelta(hours=1)

_EVER = datetime.min.replace(tzinfo=UTC, second=1)
_LOOK_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)


def apply(state: ProjectState, value: CallValue, now: Now) -> ProjectState:
    """Return the state after its call has brought this."""
    if isinstance(value, errors.SiteError):
        heeds = isinstance(value, errors.ServiceUnavailableError) and value.retry_after is not None
        failures = state.failures + 1
        state = replace(state, failures=failures, problem=str(value), heeds_site=heeds)
        assert state.call is not None  # noqa: S101  the caller's promise
        return _FAILED[state.call](state, value, now)
    if isinstance(value, SnapshotList):
        looked_for = _looked_for_missing if state.record.snapshot_id else _looked_for_new
        return looked_for(state, value, now)
    if isinstance(value, Project):
        record = state.record.with_project(value)
        following = Call.LIST if state.may_exist or state.reuse_since else Call.CREATE
        return replace(state, record=record, failures=0, call=following, due=now.seconds)
    if state.call == Call.CREATE:
        is_older = value.created is not None and value.created < now.sent - OLDER
        if is_older or value.id in state.known_failed:
            words = "accepted, but the response names an earlier snapshot"
            return apply(state, errors.AcceptedError(words), now)
        return _adopted(replace(state, new_until=now.seconds + NEW_SECONDS), value, now)
    return _seen(replace(state, failures=0, problem="", new_until=-math.inf), value, now)


# What follows from each end of a call


def _look_up_failed(state: ProjectState, error: errors.SiteError, now: Now) -> ProjectState:
    if not isinstance(error, errors.RejectedError):
        return replace(state, due=now.seconds + now.backoff)
    gone = isinstance(error, errors.NotFoundError)
    words = f"there is no such project, or you can't see it: {error}" if gone else str(error)
    if state.may_exist:
        return replace(state, refusal=words, call=Call.LIST, due=now.seconds)
    return _ended(state, state.record.failed(words, now.site))


def _create_failed(state: ProjectState, error: errors.SiteError, now: Now) -> ProjectState:
    if isinstance(error, errors.OutcomeUnknownError | errors.AcceptedError):
        is_accepted = isinstance(error, errors.AcceptedError)
        return replace(
            state,
            unknown_creates=state.unknown_creates + (not is_accepted),
            is_accepted=state.is_accepted or is_accepted,
            settled_at=now.seconds + SETTLE_SECONDS,
            call=Call.LIST,
            due=now.seconds,
            looks=0,
        )
    if isinstance(error, errors.RejectedError):
        if state.unknown_creates:  # it may refuse because there is one
            return replace(state, refusal=str(error), call=Call.LIST, due=now.seconds)
        return _ended(state, state.record.failed(str(error), now.site))
    following = Call.LIST if state.unknown_creates else Call.CREATE
    return replace(state, call=following, due=now.seconds + now.backoff)


def _list_failed(state: ProjectState, error: errors.SiteError, now: Now) -> ProjectState:
    if state.record.snapshot_id:  # it was asked whether that is gone: the next poll may tell
        return replace(state, call=Call.POLL, missed_since=None, due=now.seconds + now.backoff)
    if isinstance(error, errors.RejectedError) and not state.is_accepted:
        if state.is_audit:
            return _ended(state, unknown(state, str(error), now.site))
        if not state.may_exist:
            return _to_create(state, now)
        words = f"not known whether a snapshot was started, a retry looks for it: {error}"
        return _ended(state, state.record.with_error(words))
    return replace(state, due=now.seconds + now.backoff)


def _poll_failed(state: ProjectState, error: errors.SiteError, now: Now) -> ProjectState:
    is_forbidden = error.status in {401, 403}  # then the list may hide it, too
    is_refused = isinstance(error, errors.RejectedError) and not is_forbidden
    if is_refused and now.seconds >= state.new_until:
        return replace(state, call=Call.LIST, due=now.seconds)
    return replace(state, missed_since=None, due=now.seconds + now.backoff)


_FAILED: dict[Call, Callable[[ProjectState, errors.SiteError, Now], ProjectState]] = {
    Call.LOOK_UP: _look_up_failed,
    Call.CREATE: _create_failed,
    Call.LIST: _list_failed,
    Call.POLL: _poll_failed,
}


def _looked_for_missing(state: ProjectState, listed: SnapshotList, now: Now) -> ProjectState:
    """Tell whether a snapshot whose poll was refused is gone, or only can't be polled."""
    record = state.record
    found = next((s for s in listed.snapshots if s.id == record.snapshot_id), None)
    problem = state.problem if found is None else f"{state.problem}, but lists it"
    again = replace(state, call=Call.POLL, problem=problem, due=now.seconds + now.backoff)
    if found is not None:
        return replace(_seen(again, found, now), due=again.due)
    ids = {*(other.id for other in listed.snapshots), *(other.id for other in listed.unreadable)}
    others = ids - {record.snapshot_id, ""}
    if not listed.shows_all_since(record.timestamp or _EVER, others):
        return again
    missed_since = now.seconds if state.missed_since is None else state.missed_since
    if now.seconds < missed_since + GONE_SECONDS:
        return replace(again, missed_since=missed_since, due=missed_since + GONE_SECONDS)
    gone = record.failed("the snapshot is gone: the site does not list it any more", None)
    return _ended(state, gone)


def _looked_for_new(state: ProjectState, listed: SnapshotList, now: Now) -> ProjectState:
    """Take the snapshot that the list shows, or decide whether there is none."""
    wanted_since = _wanted_since(state, now)
    since = min(wanted_since, state.reuse_since or wanted_since)
    if state.is_audit and state.reuse_since:
        since = state.reuse_since  # however long ago the row was cut off
    made = [s for s in listed.made_since(since) if s.id not in state.known_failed]
    usable = [s for s in made if s.status != SnapshotStatus.FAILED]
    if state.reuse_since:  # the batch's own before any other, of which the newest
        own = [s for s in usable if state.may_exist and s.created and s.created >= wanted_since]
        usable = own + [snapshot for snapshot in reversed(usable) if snapshot not in own]
    usable.sort(key=lambda snapshot: snapshot.status != SnapshotStatus.COMPLETE)  # stable
    if state.is_audit:
        return _ended(state, audited(state, usable, listed, now.site))
    if usable:
        return _adopted(state, usable[0], now)
    if state.may_exist:
        return _none_shown(state, listed, made, now)
    is_old = now.asked + CUT_OFF_SETTLE_SECONDS < state.settled_at  # a cache's, from before the run
    may_hide = is_old or not listed.shows_all_since(since)
    if may_hide and state.looks < len(_LOOK_PAUSES_SECONDS):
        looks = state.looks + 1  # one that would do may be in the next list
        return replace(state, call=Call.LIST, due=now.seconds + _pause(looks), looks=looks)
    return _to_create(state, now, made)


def _none_shown(
    state: ProjectState, listed: SnapshotList, made: Sequence[Snapshot], now: Now
) -> ProjectState:
    """Decide whether there is none, but ``made`` ones that have failed, or to look again."""
    state = replace(state, looks=state.looks + 1)
    again = replace(state, call=Call.LIST, due=now.seconds + _pause(state.looks))
    if state.is_accepted and not made:
        return again
    if now.asked < state.settled_at:
        is_old = now.seconds >= state.settled_at  # a cache's: another look may find a newer one
        return again if is_old else replace(again, due=min(again.due, state.settled_at))
    if not listed.shows_all_since(_wanted_since(state, now), state.known_failed):
        return replace(again, problem="the site's list of snapshots can't be read in full")
    if made and state.sent is not None:  # this attempt's own has failed
        return _adopted(state, made[0], now)
    if state.refusal:
        return _ended(state, state.record.failed(state.refusal, now.site))
    if state.unknown_creates >= MAX_UNKNOWN_CREATES:
        words = state.problem or "the site did not say what became of the request"
        words += f" ({counted(state.unknown_creates, 'attempt')}, none of which was done)"
        return _ended(state, state.record.failed(words, now.site))
    return _to_create(state, now, made)


def _pause(looks: int) -> float:
    return _LOOK_PAUSES_SECONDS[min(looks, len(_LOOK_PAUSES_SECONDS)) - 1]


def _wanted_since(state: ProjectState, now: Now) -> datetime:
    # Whole seconds: a site may write no finer ``created``, and so earlier than the create was sent.
    return state.wanted_since or whole_seconds(now.sent)


def _to_create(state: ProjectState, now: Now, failed: Iterable[Snapshot] = ()) -> ProjectState:
    """Return the state of a project that has none that would do, only ``failed`` ones."""
    known_failed = state.known_failed | {snapshot.id for snapshot in failed}
    state = replace(state, reuse_since=None, known_failed=known_failed)
    return replace(state, call=Call.CREATE, due=now.seconds, looks=0)


def _adopted(state: ProjectState, snapshot: Snapshot, now: Now) -> ProjectState:
    """Return the state with the snapshot that was answered, or found."""
    started = int(state.sent is not None)  # else an earlier run, or somebody else, has started it
    made, since = snapshot.created, state.record.timestamp
    is_reused = state.call == Call.LIST and made is not None and since is not None and made < since
    origin = Origin.REUSED if is_reused else Origin.STARTED
    record = replace(state.record, started=state.record.started + started, origin=origin)
    state = replace(state, record=record, attempts_left=state.attempts_left - started)
    return _seen(replace(state, failures=0, problem=""), snapshot, now)


def _seen(state: ProjectState, snapshot: Snapshot, now: Now) -> ProjectState:
    """Return the state after the site said where the project's snapshot stands."""
    record = state.record.with_snapshot(snapshot, now.site)
    if snapshot.status in FINAL:
        return _ended(state, record)
    return replace(state, record=record, call=Call.POLL, due=now.seconds, missed_since=None)


def _ended(state: ProjectState, record: SnapshotRecord) -> ProjectState:
    return replace(state, record=record, call=None)
