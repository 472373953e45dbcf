"""The simulated site: a Flywheel site in memory that takes requests and gives responses.

A state machine: no sockets, no sleeping. Whatever takes time on a site is read off the clock that
it was given. Safe to use from several threads.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from .api import Api
from .behaviour import Behaviour
from .dispatcher import Dispatcher
from .downloads import Breakage, Downloads
from .faults import Fault
from .files import FileStore
from .identifiers import Identifier, IdentifierFactory, is_identifier
from .jobs import JobStore
from .population import DEFAULT_KEY, DEFAULT_USER, Population, Project, User
from .protocol import Request, Response, SiteError
from .snapshots import SnapshotState, SnapshotStore

log = logging.getLogger(__name__)


class SimulatedSite:
    """A Flywheel site in memory: arrange it, let it answer requests, look at what came.

    Attributes:
        behaviour: the knobs that may also be turned later.
        clock_offset_seconds: how far the site's clock is ahead of the one it was given.
        traffic: what passed through; the HTTP face counts there what is in flight.
        requests: every request that came, oldest first, but for those to the storage's address.
        storage_requests: what reached the storage's address, oldest first.
        jobs, files: the site's jobs, which run because somebody says so, and its projects' files.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        *,
        clock_offset_seconds: float = 0.0,
        **behaviour: Any,
    ) -> None:
        """Make a site with one user and no projects.

        Args:
            clock: gives unix seconds.
            seed: decides every id and build time.
            clock_offset_seconds: how far the site's clock is ahead of `clock`.
            behaviour: the knobs of `Behaviour`, by their names.
        """
        self.behaviour = Behaviour(**behaviour)
        self.clock_offset_seconds = clock_offset_seconds
        self._clock = clock
        self._lock = threading.RLock()
        source = random.Random(seed)
        self._identifiers = IdentifierFactory(source)
        self._population = Population()
        self._downloads = Downloads(source, self.behaviour)
        self._snapshots = SnapshotStore(self._identifiers, source, self.behaviour)
        shared = self._identifiers, self.behaviour, self.now, self._lock
        self.files = FileStore(*shared)
        self.jobs = JobStore(self._population, self.files, *shared)
        stores = self._population, self._snapshots, self._downloads, self.files, self.jobs
        api = Api(*stores, self._identifiers, self.behaviour)
        self._dispatcher = Dispatcher(self._population, api, self.behaviour)
        self.traffic = self._dispatcher.traffic
        self.requests = self.traffic.requests
        self.storage_requests = self.traffic.storage_requests
        self._population.add_user(User(DEFAULT_USER, DEFAULT_KEY, ("user",)))

    def now(self) -> float:
        """Read the site's own clock, in unix seconds."""
        return self._clock() + self.clock_offset_seconds

    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises; a bug in here is a 500 that says so."""
        with self._lock:
            came = self._clock()
            now = came + self.clock_offset_seconds
            try:
                self._snapshots.advance(now)
                return self._dispatcher.answer(request, came, now)
            except Exception:
                log.exception("The simulator failed at %s %s", request.method, request.path)
                return SiteError(500, "A bug in the simulator: see its log").response()

    def handle_storage(self, request: Request) -> Response:
        """Answer a request to the storage's address. Never raises."""
        with self._lock:
            return self._dispatcher.answer_storage(request, self.now())

    # Who and what is there

    def add_user(
        self, key: str = DEFAULT_KEY, roles: Iterable[str] = ("user",), email: str = DEFAULT_USER
    ) -> str:
        """Add a user, or replace the one who has the key (by default the first one); give the id.

        Args:
            key: the user's API key.
            roles: the user's roles; `site_admin` may see everything.
            email: the user's id.
        """
        with self._lock:
            self._population.add_user(User(email, key, tuple(roles)))
            return email

    def remove_key(self, key: str = DEFAULT_KEY) -> None:
        """Let a key die, as a job's key does when the job ends."""
        with self._lock:
            self._population.remove_key(key)

    def add_project(
        self,
        group: str = "neuro",
        label: str = "Study",
        project_id: str | None = None,
        *,
        members: Iterable[str] | None = None,
        **details: Any,
    ) -> str:
        """Add a project, and give its id.

        Args:
            group: the id of its group.
            label: its label; need not be unique.
            project_id: its id, 24 hex digits; None: the next one.
            members: the ids of the users with access; None: everybody.
            details: the further attributes of `Project`, by their names.

        Raises:
            ValueError: `project_id` is not 24 hex digits.
        """
        if project_id is not None and not is_identifier(project_id):
            raise ValueError(f"not 24 hex digits: {project_id!r}")
        with self._lock:
            now = self.now()
            identifier = Identifier(project_id or self._identifiers.make(now))
            allowed = None if members is None else frozenset(members)
            project = Project(identifier, group, label, now, allowed, **details)
            self._population.add_project(project)
            return str(identifier)

    def remove_project(self, project_id: str) -> None:
        """Remove a project, as if somebody deleted it; its snapshots stay."""
        with self._lock:
            self._population.remove_project(project_id)

    def add_snapshot(
        self,
        project_id: str,
        status: str = "complete",
        created: float | None = None,
        *,
        build_seconds: float = 0.0,
    ) -> str:
        """Add a snapshot that somebody else made, and give its id.

        Args:
            project_id: the project's id.
            status: the state that it has for good; with `build_seconds`, that it ends in.
            created: when it was made, in unix seconds by the site's clock; None: now.
            build_seconds: how long it is built, from `created` on.
        """
        with self._lock:
            project = self._population.project(project_id)
            moment = self.now() if created is None else created
            return str(self._snapshots.add(project_id, project, status, moment, build_seconds).id)

    def delete_snapshot(self, project_id: str, snapshot_id: str) -> None:
        """Delete a snapshot, as anybody with rights on the project can."""
        with self._lock:
            self._snapshots.delete(project_id, snapshot_id)

    # What goes wrong

    def outcome(self, project_id: str, *statuses: str) -> None:
        """Say what the project's next snapshots end as, in order; those after: `complete`.

        Any word will do: one that nobody knows is where the snapshot then stays.
        """
        with self._lock:
            self._snapshots.plan_outcomes(project_id, statuses)

    def failure_reason(self, project_id: str, reason: str, field: str = "error") -> None:
        """Say why the project's failed snapshots failed, in one more field of their records."""
        with self._lock:
            self._snapshots.give_reason(project_id, field, reason)

    def fault(self, fault: Fault) -> Fault:
        """Put a fault in force, after those before: the first one that hits a request wins."""
        with self._lock:
            self._dispatcher.faults.append(fault)
            return fault

    def clear_faults(self) -> None:
        """Lift all faults."""
        with self._lock:
            self._dispatcher.faults.clear()

    def break_download(self, project_id: str, how: Breakage, times: int | None = None) -> None:
        """Break the project's downloads: the next so many, or (None) all.

        Raises:
            ValueError: there is no such breakage.
        """
        with self._lock:
            self._downloads.break_for(project_id, how, times)

    def download_size(self, project_id: str, size: int, *, compressed: bool = False) -> None:
        """Give the project's snapshots a file that unpacks to about this many bytes.

        The file is valid, and is written to a temporary directory now. With `compressed` it is
        about a thousandth of that on its way; else of about the same size.

        Raises:
            KeyError: there is no such project.
        """
        project = self._population.project(project_id)
        if project is None:
            raise KeyError(project_id)
        self._downloads.enlarge(project, size, compressed=compressed)

    # What came of it

    @property
    def most_in_flight(self) -> int:
        """The number of requests that were unanswered at once, at most."""
        return self.traffic.most_in_flight

    def creates(self, project_id: str | None = None) -> int:
        """Count the snapshots that were made on request, of a project or (None) in all."""
        with self._lock:
            self._snapshots.advance(self.now())
            counts = self._snapshots.requested_by_project
            return counts.total() if project_id is None else counts[project_id]

    def snapshots(self, project_id: str) -> list[SnapshotState]:
        """List a project's snapshots as they stand, oldest first."""
        with self._lock:
            now = self.now()
            self._snapshots.advance(now)
            return [item.state(now) for item in self._snapshots.of_project(project_id)]
