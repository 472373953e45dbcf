"""What is known of a project on its way to the snapshot that is wanted. Values only."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .errors import SiteError
from .models import Project, Snapshot, SnapshotList, SnapshotRecord


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
    """A project on its way to the snapshot that is wanted.

    Attributes:
        record: Its row.
        call: What is to be asked next; None: nothing more, by this run.
        due: Monotonic time before which it is not asked.
        attempts_left: How many more snapshots may be started, this one included.
        wanted_since: The site's time since which one may have been made that is to be taken.
        settled_at: Monotonic time from which a list that shows none shows that there is none.
        known_failed: Ids of snapshots that are known to have failed: never taken.
        sent: Monotonic time at which the first create of this attempt was sent.
        unknown_creates: How many of this attempt's creates had an unknown outcome.
        is_accepted: Whether one was accepted: none is sent again then.
        refusal: Why no create is to be sent; a list is still to show that there is nothing.
        failures: How many calls in a row have told nothing.
        looks: How many lists in a row have shown none.
        new_until: Monotonic time until which a 404 doesn't count; the first sight ends that.
        heeds_site: Whether the site itself has asked for the pause until ``due``.
        missed_since: Monotonic time since which the list lacks a snapshot that was there.
        problem: Why the last call told nothing.
    """

    record: SnapshotRecord
    call: Call | None
    due: float = 0.0
    attempts_left: int = 1
    wanted_since: datetime | None = None
    settled_at: float = 0.0
    known_failed: frozenset[str] = frozenset()
    sent: float | None = None
    unknown_creates: int = 0
    is_accepted: bool = False
    refusal: str = ""
    failures: int = 0
    looks: int = 0
    new_until: float = -math.inf
    heeds_site: bool = False
    missed_since: float | None = None
    problem: str = ""

    @property
    def may_exist(self) -> bool:
        """Whether a snapshot may be there that the row doesn't name."""
        return self.wanted_since is not None or self.unknown_creates > 0 or self.is_accepted

    @property
    def is_missing(self) -> bool:
        """Whether it is being found out if a snapshot that was there is gone."""
        return bool(self.record.snapshot_id) and (
            self.call == Call.LIST or self.missed_since is not None
        )

    @property
    def was_seen(self) -> bool:
        """Whether the snapshot was seen to be there, and not only told by its create's answer."""
        return math.isinf(self.new_until)


@dataclass(frozen=True, slots=True)
class Now:
    """When an answer came.

    Attributes:
        seconds: Monotonic time.
        site: The site's time.
        sent: The site's time when the first create of the attempt was sent, as known by now.
        backoff: Seconds to wait if the call has told nothing.
        asked: Monotonic time at which the call was sent: a list may be no newer; None: just now.
    """

    seconds: float
    site: datetime
    sent: datetime
    backoff: float = 1.0
    asked: float | None = None
