"""A project in each of the states that it can be in, for tests of what follows. Values only."""

from dataclasses import replace
from datetime import datetime, timedelta

from fw_gear_sitewide_snapshot.errors import (
    AcceptedError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
)
from fw_gear_sitewide_snapshot.models import (
    Project,
    Snapshot,
    SnapshotList,
    SnapshotOrder,
    SnapshotRecord,
    UnreadableSnapshot,
)
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, Now, ProjectState
from fw_gear_sitewide_snapshot.snapshot.transitions import SETTLE_SECONDS

from .time import START

PROJECT = Project("a" * 24, "Study", "neuro")
ID, OTHER_ID, FAILED_ID = "5" * 24, "6" * 24, "7" * 24
BACKOFF = 3.0
SENT, NOW = 100.0, 101.0

NOT_DONE = ServiceUnavailableError("the site says 503", 503)
UNKNOWN = OutcomeUnknownError("the site says 502", 502)
ACCEPTED = AcceptedError("accepted, but an answer without a snapshot")
REFUSED = RejectedError("the site says 409: not now", 409)
FORBIDDEN = RejectedError("the site says 403: not yours", 403)
NOT_FOUND = NotFoundError("the site says 404: Project not found", 404)


def at(seconds: float) -> datetime:
    """Return the site's time at a monotonic moment."""
    return START + timedelta(seconds=seconds)


def now(seconds: float = NOW, sent: float = SENT, asked: float | None = None) -> Now:
    return Now(seconds, at(seconds), at(sent), seconds if asked is None else asked, BACKOFF)


def made(status: str = "pending", created: float | None = SENT, snapshot_id: str = ID) -> Snapshot:
    return Snapshot(snapshot_id, status, None if created is None else at(created))


def listed(*snapshots: Snapshot, unreadable: tuple[datetime | None, ...] = ()) -> SnapshotList:
    return SnapshotList(snapshots, tuple(map(UnreadableSnapshot, unreadable)))


def fresh(**order: object) -> ProjectState:
    """Make a project that is to have a snapshot."""
    record = SnapshotRecord(PROJECT).reset_to_pending(START)
    return begin.start(SnapshotOrder(record, **order), 1, 0.0, START)  # type: ignore[arg-type]


def creating(**order: object) -> ProjectState:
    """Make a project whose create is under way."""
    return begin.sending(replace(fresh(**order), call=Call.CREATE), SENT)


def looking() -> ProjectState:
    """Make a project whose create had an unknown outcome."""
    return transitions.apply(creating(), UNKNOWN, now())


def accepted() -> ProjectState:
    return transitions.apply(creating(), ACCEPTED, now())


def looking_for_cut_off() -> ProjectState:
    """Make a project of which a run that was cut off may have started a snapshot."""
    return fresh(wanted_since=at(-60))


def polling() -> ProjectState:
    """Make a project whose snapshot was seen to be running."""
    return transitions.apply(just_created(), made("in_progress"), now())


def just_created() -> ProjectState:
    return transitions.apply(creating(), made(), now())


def missed() -> ProjectState:
    """Make a project whose snapshot was seen before, and that a poll can't find."""
    return transitions.apply(polling(), NOT_FOUND, now())


def looking_up() -> ProjectState:
    return fresh(look_up=True)


def looking_up_cut_off() -> ProjectState:
    return fresh(look_up=True, wanted_since=at(-60))


def refused_after_unknown() -> ProjectState:
    """Make a project whose create had an unknown outcome, and whose second one was refused."""
    second = replace(looking(), call=Call.CREATE)
    return transitions.apply(second, REFUSED, now(NOW + SETTLE_SECONDS))


def lists_none(state: ProjectState, seconds: float) -> ProjectState:
    return transitions.apply(state, listed(), now(seconds))
