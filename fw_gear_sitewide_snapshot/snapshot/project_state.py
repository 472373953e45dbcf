"""What is known of a project on its way to the snapshot that is wanted. Values only."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..errors import SiteError
from ..models import Project, Snapshot, SnapshotList, SnapshotRecord


class Call(StrEnum):
    """What can be asked of the site for a project."""

    LOOK_UP = "look up"
    LIST = "list"
    CREATE = "create"
    POLL = "poll"


CallValue = Project | SnapshotList | Snapshot | SiteError
"""What a call can bring: LOOK_UP a Project, LIST a SnapshotList, CREATE and POLL a Snapshot."""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """A project on its way to the snapshot that is wanted. Times are monotonic."""

    record: SnapshotRecord
    call: Call | None  # what is to be asked next; None: nothing more, by this run
    due: float = 0.0  # not asked before
    attempts_left: int = 1  # how many more snapshots may be started, this one included
    wanted_since: datetime | None = None  # site's time: this batch may have one made since then
    reuse_since: datetime | None = None  # site's time: one made since then will do, whosever it is
    is_audit: bool = False  # whether only to see if there is one that will do
    audited: SnapshotRecord | None = None  # the row as it was before the audit, if it names one
    settled_at: float = 0.0  # from then on a list that shows none shows that there is none
    known_failed: frozenset[str] = frozenset()  # ids of snapshots: never taken
    sent: float | None = None  # when the first create of this attempt was sent
    unknown_creates: int = 0  # this attempt's creates whose outcome is unknown
    is_accepted: bool = False  # whether a create was accepted: none is sent again then
    refusal: str = ""  # why no create is to be sent; a list is still to show that there is nothing
    failures: int = 0  # calls in a row that have told nothing
    looks: int = 0  # lists in a row that have shown none
    new_until: float = -math.inf  # until then a 404 doesn't count; the first sight ends that
    heeds_site: bool = False  # whether the site itself has asked for the pause until ``due``
    missed_since: float | None = None  # since then the list lacks a snapshot that was there
    problem: str = ""  # why the last call told nothing

    @property
    def may_exist(self) -> bool:
        """Whether a snapshot may be there that the row doesn't name."""
        return self.wanted_since is not None or self.unknown_creates > 0 or self.is_accepted

    @property
    def is_missing(self) -> bool:
        """Whether it is being found out if a snapshot that was there is gone."""
        is_doubtful = self.call == Call.LIST or self.missed_since is not None
        return bool(self.record.snapshot_id) and is_doubtful


@dataclass(frozen=True, slots=True)
class Now:
    """When an answer came."""

    seconds: float  # monotonic
    site: datetime  # the site's time
    sent: datetime  # likewise, when the attempt's first create was sent, as known by now
    asked: float  # monotonic, when the call was sent, less a cache's age: a list may be no newer
    backoff: float = 1.0  # seconds to wait if the call has told nothing
