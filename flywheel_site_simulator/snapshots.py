"""The snapshots of the site: how they come into being, and what state each is in at a time.

A snapshot's whole course is decided when it is made; its state is then read off the clock. No
threads, no clock of its own, no HTTP.
"""

import heapq
import random
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .identifiers import Identifier, IdentifierFactory
from .population import Project
from .protocol import iso_time, utc_datetime

PENDING_SHARE = 0.1
"""The part of a build's time that it spends `pending` although nothing is in its way."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot and its course, all times by the site's clock in unix seconds.

    Attributes:
        starts: when it leaves `pending`.
        finishes: when it reaches its outcome.
        outcome: the state that it ends in, and stays in.
        requested: whether a request made it (and not a test, in somebody else's name).
        project: the project as it was then, or None where there was none.
    """

    id: Identifier
    project_id: str
    created: float
    starts: float
    finishes: float
    outcome: str
    project: Project | None
    requested: bool

    def status(self, now: float) -> str:
        """Say what state the snapshot is in."""
        if now < self.starts:
            return "pending"
        return "in_progress" if now < self.finishes else self.outcome

    def record(self, now: float) -> dict[str, Any]:
        """Write the record that the Snapshot service answers."""
        group = self.project.group if self.project is not None else None
        return {
            "_id": self.id,
            "created": iso_time(self.created),
            "status": self.status(now),
            "parents": {"group": group, "project": self.project_id},
            "type": "project",
        }

    def filter_fields(self, now: float) -> dict[str, Any]:
        """Write the record with the types that filters compare."""
        record = self.record(now)
        parents = {**record["parents"], "project": Identifier(self.project_id)}
        return {**record, "created": utc_datetime(self.created), "parents": parents}


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """A snapshot as it stands: what a test wants to know of it."""

    id: str
    project_id: str
    created: float
    status: str
    requested: bool
    finishes: float


class SnapshotStore:
    """All snapshots of the site, by id and by project."""

    def __init__(
        self,
        identifiers: IdentifierFactory,
        source: random.Random,
        build_seconds: tuple[float, float],
        build_slots: int | None,
    ) -> None:
        """Start empty.

        Args:
            identifiers: where ids come from.
            source: the seeded random that draws build times.
            build_seconds: shortest and longest build; drawn evenly, for each snapshot.
            build_slots: how many are built at a time, first come, first served; None: all.
        """
        self._identifiers = identifiers
        self._random = source
        self._build_seconds = build_seconds
        self._slots = [float("-inf")] * build_slots if build_slots is not None else None
        self._by_id: dict[str, Snapshot] = {}
        self._by_project: dict[str, dict[str, Snapshot]] = defaultdict(dict)
        self._outcomes: dict[str, deque[str]] = defaultdict(deque)
        self._reasons: dict[str, dict[str, str]] = defaultdict(dict)
        self._later: list[tuple[float, int, str, Project | None]] = []
        self._building: list[float] = []
        self._postponed = 0
        self.requested_by_project: Counter[str] = Counter()
        self.first_requested: float | None = None
        self.last_requested: float | None = None

    def plan_outcomes(self, project_id: str, statuses: tuple[str, ...]) -> None:
        """Say what the next snapshots of a project end as, after those planned before."""
        self._outcomes[project_id].extend(statuses)

    def give_reason(self, project_id: str, field: str, reason: str) -> None:
        """Say why the failed snapshots of a project failed, in a field of their records."""
        self._reasons[project_id][field] = reason

    def reasons(self, project_id: str) -> Mapping[str, str]:
        """Give the fields in which the records of a project's failed snapshots say why."""
        return self._reasons.get(project_id, {})

    def request(self, project_id: str, project: Project | None, now: float) -> Snapshot:
        """Make a snapshot because somebody asked for it."""
        outcomes = self._outcomes.get(project_id)
        outcome = outcomes.popleft() if outcomes else "complete"
        seconds = self._random.uniform(*self._build_seconds)
        starts = now + seconds * PENDING_SHARE
        work = seconds * (1.0 - PENDING_SHARE)
        if self._slots is not None:
            starts = max(starts, self._slots[0])
            heapq.heapreplace(self._slots, starts + work)
        snapshot = Snapshot(
            self._identifiers.make(now), project_id, now, starts, starts + work, outcome,
            project, requested=True,
        )  # fmt: skip
        self._keep(snapshot)
        self.requested_by_project[project_id] += 1
        self.first_requested = now if self.first_requested is None else self.first_requested
        self.last_requested = now
        return snapshot

    def request_later(self, project_id: str, project: Project | None, due: float) -> None:
        """Make a snapshot when the site's clock reaches a time."""
        self._postponed += 1
        heapq.heappush(self._later, (due, self._postponed, project_id, project))

    def advance(self, now: float) -> None:
        """Make what was postponed and is due; call it before anything is read."""
        while self._later and self._later[0][0] <= now:
            due, _, project_id, project = heapq.heappop(self._later)
            self.request(project_id, project, due)

    def add(
        self,
        project_id: str,
        project: Project | None,
        status: str,
        created: float,
        build_seconds: float,
    ) -> Snapshot:
        """Add a snapshot that nobody asked this site for."""
        finishes = created + build_seconds
        starts = created + build_seconds * PENDING_SHARE
        identifier = self._identifiers.make(created)
        snapshot = Snapshot(
            identifier, project_id, created, starts, finishes, status, project, requested=False
        )
        self._keep(snapshot)
        return snapshot

    def get(self, project_id: str, snapshot_id: str) -> Snapshot | None:
        """Find a snapshot of a project, or None."""
        snapshot = self._by_id.get(snapshot_id)
        return snapshot if snapshot is not None and snapshot.project_id == project_id else None

    def delete(self, project_id: str, snapshot_id: str) -> bool:
        """Delete a snapshot; its build slot stays taken. False if there is none."""
        if self.get(project_id, snapshot_id) is None:
            return False
        del self._by_id[snapshot_id]
        del self._by_project[project_id][snapshot_id]
        return True

    def of_project(self, project_id: str) -> list[Snapshot]:
        """List a project's snapshots by id, so oldest first."""
        return sorted(self._by_project.get(project_id, {}).values(), key=lambda item: item.id)

    def unfinished(self, now: float) -> int:
        """Count the snapshots that are being built, those that were deleted meanwhile too."""
        while self._building and self._building[0] <= now:
            heapq.heappop(self._building)
        return len(self._building)

    def statistics(self, now: float) -> Mapping[str, object]:
        """Sum up the snapshots that were requested and still exist."""
        requested = [item for item in self._by_id.values() if item.requested]
        finished = [item.finishes for item in requested if item.finishes <= now]
        return {
            "creates": self.requested_by_project.total(),
            "projects_with_several": sum(n > 1 for n in self.requested_by_project.values()),
            "first_create": self.first_requested,
            "last_create": self.last_requested,
            "last_build_finished": max(finished, default=None),
            "unfinished": len(requested) - len(finished),
            "snapshots": dict(Counter(item.status(now) for item in requested)),
        }

    def _keep(self, snapshot: Snapshot) -> None:
        self._by_id[snapshot.id] = snapshot
        self._by_project[snapshot.project_id][snapshot.id] = snapshot
        heapq.heappush(self._building, snapshot.finishes)
