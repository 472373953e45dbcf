"""What a test sets up on a simulated site: who and what is there. What goes wrong: `trouble.py`.

Neither answers requests nor tells of them. Time comes from a clock that is passed in; safe to use
from several threads.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .behaviour import Behaviour
from .core_api import CoreApi
from .downloads import Downloads, StorageRequest
from .faults import Fault
from .identifiers import Identifier, IdentifierFactory, is_identifier
from .population import Population, Project, User, member_set
from .snapshot_service import SnapshotService
from .snapshots import SnapshotStore
from .traffic import RateLimit, Traffic

DEFAULT_KEY = "secret-key"
"""The API key of the user that every site has from the start."""

DEFAULT_USER = "gear.runner@example.org"
"""The id of that user; its role is `user`."""


class Stage:
    """A simulated site to be arranged; `SimulatedSite` also answers, and tells what it was asked.

    Attributes:
        lock: hold it to do several things at once while requests come in.
        behaviour: the knobs that may also be turned later.
        storage_requests: what reached the storage's address, oldest first.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        *,
        build_seconds: tuple[float, float] = (0.0, 0.0),
        build_slots: int | None = None,
        requests_per_second: float | None = None,
        retry_after: bool = True,
        clock_offset_seconds: float = 0.0,
        **behaviour: Any,
    ) -> None:
        """Make a site with one user and no projects.

        Args:
            clock: gives unix seconds.
            seed: decides every id, build time and chance.
            build_seconds: shortest and longest time that a snapshot takes, drawn evenly.
            build_slots: how many snapshots are `in_progress` at a time; None: all.
            requests_per_second: what comes faster (by the clock) is answered 429; None: no limit.
            retry_after: whether a 429 says, in seconds, when to come again.
            clock_offset_seconds: how far the site's clock is ahead of `clock`.
            behaviour: the knobs of `Behaviour`, by their names.
        """
        self.lock = threading.RLock()
        self.behaviour = Behaviour(**behaviour)
        self.storage_requests: list[StorageRequest] = []
        self.clock_offset_seconds = clock_offset_seconds
        self._clock = clock
        self._random = random.Random(seed)
        self._chance = random.Random(f"chance {seed}")
        self._identifiers = IdentifierFactory(self._random)
        self._population = Population()
        self._downloads = Downloads(self._random, self.behaviour)
        self._snapshots = SnapshotStore(self._identifiers, self._random, build_seconds, build_slots)
        self._core = CoreApi(self._population, self.behaviour)
        self._service = SnapshotService(
            self._population, self._snapshots, self._downloads, self.behaviour
        )
        self._faults: list[Fault] = []
        self._rate_limit = RateLimit(requests_per_second)
        self._retry_after = retry_after
        self._traffic = Traffic()
        self.add_user(DEFAULT_KEY, email=DEFAULT_USER)

    def now(self) -> float:
        """Read the site's own clock, in unix seconds."""
        return self._clock() + self.clock_offset_seconds

    # Who and what is there

    def add_user(
        self,
        key: str = DEFAULT_KEY,
        roles: Iterable[str] = ("user",),
        email: str = DEFAULT_USER,
    ) -> str:
        """Add a user, or replace the one who has the key (by default the first one).

        Args:
            key: the user's API key.
            roles: the user's roles; `site_admin` may see everything.
            email: the user's id.

        Returns:
            The user's id.
        """
        with self.lock:
            self._population.add_user(User(email, key, tuple(roles)))
            return email

    def remove_key(self, key: str = DEFAULT_KEY) -> None:
        """Let a key die, as a job's key does when the job ends."""
        with self.lock:
            self._population.remove_key(key)

    def add_project(  # noqa: PLR0913 - all that a project has, by keyword
        self,
        group: str = "neuro",
        label: str = "Study",
        project_id: str | None = None,
        *,
        members: Iterable[str] | None = None,
        info: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        created: float | None = None,
        subjects: int = 2,
        sessions_per_subject: int = 1,
        acquisitions_per_session: int = 1,
        files_per_acquisition: int = 1,
    ) -> str:
        """Add a project.

        Args:
            group: the id of its group.
            label: its label; need not be unique.
            project_id: its id, 24 hex digits; None: the next one.
            members: the ids of the users with access; None: everybody.
            info: its custom information.
            tags: its tags.
            created: when it was made, in unix seconds by the site's clock; None: now.
            subjects: how many subjects it has.
            sessions_per_subject: how many sessions each subject has.
            acquisitions_per_session: how many acquisitions each session has.
            files_per_acquisition: how many files each acquisition has.

        Returns:
            The project's id.

        Raises:
            ValueError: `project_id` is not 24 hex digits.
        """
        if project_id is not None and not is_identifier(project_id):
            raise ValueError(f"not 24 hex digits: {project_id!r}")
        with self.lock:
            moment = self.now() if created is None else created
            identifier = Identifier(project_id or self._identifiers.make(moment))
            self._population.add_project(
                Project(
                    identifier, group, label, moment, member_set(members), dict(info or {}),
                    tuple(tags), subjects, sessions_per_subject, acquisitions_per_session,
                    files_per_acquisition,
                )
            )  # fmt: skip
            return str(identifier)

    def project_ids(self) -> list[str]:
        """List the ids of all projects, in order."""
        with self.lock:
            return [str(project.id) for project in self._population.projects()]

    def remove_project(self, project_id: str) -> None:
        """Remove a project, as if somebody deleted it; its snapshots stay."""
        with self.lock:
            self._population.remove_project(project_id)

    def add_snapshot(
        self,
        project_id: str,
        status: str = "complete",
        created: float | None = None,
        *,
        build_seconds: float = 0.0,
    ) -> str:
        """Add a snapshot that somebody else made.

        Args:
            project_id: the project's id.
            status: the state that it has for good; with `build_seconds`, that it ends in.
            created: when it was made, in unix seconds by the site's clock; None: now.
            build_seconds: how long it is built, from `created` on.

        Returns:
            The snapshot's id.
        """
        with self.lock:
            project = self._population.project(project_id)
            moment = self.now() if created is None else created
            return str(self._snapshots.add(project_id, project, status, moment, build_seconds).id)

    def delete_snapshot(self, project_id: str, snapshot_id: str) -> None:
        """Delete a snapshot, as anybody with rights on the project can."""
        with self.lock:
            self._snapshots.delete(project_id, snapshot_id)
