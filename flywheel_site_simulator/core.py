"""The parts of the simulated site, put together: takes requests and gives responses.

A state machine: no sockets, no sleeping. Whatever takes time on a site is read off the clock that
it was given. Safe to use from several threads.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from .api import Api
from .behaviour import Behaviour
from .dispatcher import Dispatcher
from .downloads import Downloads
from .files import FileStore
from .identifiers import IdentifierFactory
from .job_calls import JobCalls
from .jobs import JobStore
from .population import Population, User
from .protocol import Request, Response, SiteError
from .snapshots import SnapshotState, SnapshotStore

log = logging.getLogger(__name__)

DEFAULT_KEY = "secret-key"
"""The API key of the user that every site has from the start."""

DEFAULT_USER = "gear.runner@example.org"
"""The id of that user; its role is `user`."""


class SiteCore:
    """A Flywheel site in memory that answers requests and logs them.

    Attributes:
        behaviour: the knobs that may also be turned later.
        clock_offset_seconds: how far the site's clock is ahead of the one it was given.
        traffic: what passed through; the HTTP face counts there what is in flight.
        requests: every request that came, oldest first, but for those to the storage's address.
        storage_requests: what reached the storage's address, oldest first.
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
        self._files = FileStore(self._identifiers, self.behaviour)
        self._jobs = JobStore(self._identifiers, self._population, self._files, self.behaviour)
        self._calls = JobCalls(self._jobs, self._files, self._population, self.behaviour)
        api = Api(self._population, self._snapshots, self._downloads, self._calls, self.behaviour)
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
