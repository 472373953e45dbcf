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

from .behaviour import Behaviour
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
        project: the project as it was then, or None where there was none.
    """

    id: Identifier
    project_id: str
    project: Project | None
    created: float
    starts: float
    finishes: float
    outcome: str

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

    def state(self, now: float) -> "SnapshotState":
        """Say what a test wants to know of the snapshot."""
        status = self.status(now)
        return SnapshotState(str(self.id), self.project_id, self.created, status, self.finishes)


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """A snapshot as it stands: what a test wants to know of it."""

    id: str
    project_id: str
    created: float
    status: str
    finishes: float


class SnapshotStore:
    """All snapshots of the site, by id and by project."""

    def __init__(
        self,
        identifiers: IdentifierFactory,
        source: random.Random,
        behaviour: Behaviour,
    ) -> None:
        """Start empty.

        Args:
            identifiers: where ids come from.
            source: the seeded random that draws build times.
            behaviour: how long builds take, and how many there are at a time.
        """
        self._identifiers = identifiers
        self._random = source
        self._behaviour = behaviour
        self._slots: list[float] = []
        self._by_project: dict[str, dict[str, Snapshot]] = defaultdict(dict)
        self._outcomes: dict[str, deque[str]] = defaultdict(deque)
        self._reasons: dict[str, dict[str, str]] = defaultdict(dict)
        self._later: list[tuple[float, int, str, Project | None]] = []
        self._building: list[float] = []
        self._postponed = 0
        self.requested_by_project: Counter[str] = Counter()

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
        seconds = self._random.uniform(*self._behaviour.build_seconds)
        starts = now + seconds * PENDING_SHARE
        work = seconds * (1.0 - PENDING_SHARE)
        if self._behaviour.build_slots is not None:
            if len(self._slots) >= self._behaviour.build_slots:
                starts = max(starts, heapq.heappop(self._slots))
            heapq.heappush(self._slots, starts + work)
        self.requested_by_project[project_id] += 1
        return self._keep(project_id, project, now, starts, starts + work, outcome)

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
        starts = created + build_seconds * PENDING_SHARE
        return self._keep(project_id, project, created, starts, created + build_seconds, status)

    def get(self, project_id: str, snapshot_id: str) -> Snapshot | None:
        """Find a snapshot of a project, or None."""
        return self._by_project[project_id].get(snapshot_id)

    def delete(self, project_id: str, snapshot_id: str) -> None:
        """Delete a snapshot, if there is one; its build slot stays taken."""
        self._by_project[project_id].pop(snapshot_id, None)

    def of_project(self, project_id: str) -> list[Snapshot]:
        """List a project's snapshots by id, so oldest first."""
        return sorted(self._by_project[project_id].values(), key=lambda item: item.id)

    def unfinished(self, now: float) -> int:
        """Count the snapshots that are being built, those that were deleted meanwhile too."""
        while self._building and self._building[0] <= now:
            heapq.heappop(self._building)
        return len(self._building)

    def _keep(
        self,
        project_id: str,
        project: Project | None,
        created: float,
        starts: float,
        finishes: float,
        outcome: str,
    ) -> Snapshot:
        snapshot = Snapshot(
            self._identifiers.make(created), project_id, project, created, starts, finishes, outcome
        )
        self._by_project[project_id][snapshot.id] = snapshot
        heapq.heappush(self._building, snapshot.finishes)
        return snapshot
