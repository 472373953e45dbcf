"""What a row says when the time was not enough for its project: what is known, and no more."""

from datetime import datetime

from ..errors import SiteError
from ..models import Snapshot, SnapshotList, SnapshotRecord
from .audit import unknown
from .project_state import Call, CallValue, ProjectState


def was_asked(before: ProjectState, after: ProjectState, value: CallValue, asked: float) -> bool:
    """Say whether a project has been asked for, at last once a call for it has brought this.

    Any failure is an end of asking, and so is a list that still tells nothing at its time: it may
    never do. ``asked``: when the call was sent, monotonic.
    """
    is_in_vain = after.call == before.call == Call.LIST and asked >= after.settled_at
    has_ended = bool(after.record.snapshot_id) or after.call is None
    return isinstance(value, SiteError) or has_ended or is_in_vain


def tells_of(snapshot_id: str, value: CallValue) -> bool:
    """Say whether an answer tells where that snapshot stands."""
    told = value.snapshots if isinstance(value, SnapshotList) else [value]
    return any(isinstance(one, Snapshot) and one.id == snapshot_id for one in told)


def give_up(
    state: ProjectState, waited: str, site_now: datetime, *, was_told: bool, outage: str = ""
) -> SnapshotRecord:
    """Return the row of a project that the time was not enough for, after the final poll.

    ``was_told``: the final poll told where its snapshot stands. ``outage``: why nothing was asked.
    """
    record = state.record
    if state.call is None:
        return record.with_error(f"{record.error}; the time was up before it was started again")
    last = f" ({state.problem})" if state.problem else ""
    if record.snapshot_id:
        standing = "its state could not be asked" if state.problem else "it was not asked again"
        if was_told:
            standing = "the site is still at it"
        return record.with_error(
            f"not finished within {waited}: {standing}{last}, a retry waits for it"
        )
    if state.is_accepted:
        words = f"the site accepted the request, but no snapshot was seen within {waited}"
        return record.with_error(f"{words}{last}: a retry looks for it")
    if state.may_exist:
        words = f"not known within {waited} whether a snapshot was started"
        return record.with_error(f"{words}{last}: a retry looks for it")
    problem = state.problem or outage or "the time was up before the site was asked"
    if state.is_audit:
        words = f"not known within {waited} whether there is a snapshot: {problem}"
        return unknown(state, words, site_now)
    words = f"no snapshot was started within {waited}: {problem}"
    if record.started:
        words = f"{problem}; the time was up before it was started again"
    return record.failed(words, site_now)
