"""The jobs of the site: who launched them, what state they are in, which one follows on which.

State without HTTP and without processes: a job runs because somebody says so, be it a test or the
`Engine` in `engine.py`. Safe to use from several threads.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .behaviour import Behaviour
from .files import FileStore, ProjectFile
from .identifiers import Identifier, IdentifierFactory
from .job import DESTINATION_ID
from .population import DEFAULT_KEY, Population, User
from .protocol import iso_time, utc_datetime

GEAR_ID, GEAR_NAME = "9" * 24, "sitewide-snapshot"
"""The one gear of the site."""

FINAL = frozenset({"complete", "failed", "cancelled"})
"""The states that a job stays in."""


@dataclass(slots=True)
class SiteJob:
    """A job as the site knows it, all times by the site's clock in unix seconds.

    Attributes:
        key: the job's own API key; it acts for `user`, and dies when the job ends.
        user, created: who launched the job, and when.
        config: the gear's options by their names.
        inputs: the files that the gear is given, by the names of its inputs.
        destination: the id of the project that it runs in.
        attempt: 1, or one more than that of the job that it is a copy of.
        previous_job_id: the job that it is a copy of, or `""`.
        original_job_id: the first one of all these, or `""`.
        transitions: when it came into each of its states.
        retried: when it was started again, or None.
        outputs: the files that it has put out.
    """

    id: str
    key: str
    user: User
    created: float
    config: Mapping[str, Any]
    inputs: Mapping[str, ProjectFile]
    destination: str
    attempt: int = 1
    previous_job_id: str = ""
    original_job_id: str = ""
    state: str = "pending"
    transitions: dict[str, float] = field(default_factory=dict)
    retried: float | None = None
    outputs: tuple[ProjectFile, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL

    def record(self) -> dict[str, Any]:
        """Write the record that the site answers."""
        times = self.transitions
        return {
            "_id": self.id,
            "gear_id": GEAR_ID,
            "state": self.state,
            "attempt": self.attempt,
            "previous_job_id": self.previous_job_id or None,
            "original_job_id": self.original_job_id or None,
            "created": iso_time(self.created),
            "modified": iso_time(max([self.created, *times.values(), self.retried or 0.0])),
            "retried": None if self.retried is None else iso_time(self.retried),
            "transitions": {state: iso_time(moment) for state, moment in times.items()},
            "config": {"config": dict(self.config)},
            "destination": {"type": "project", "id": self.destination},
            "origin": {"type": "user", "id": self.user.id},
            "outputs": [file.document() for file in self.outputs],
        }

    def filter_fields(self) -> dict[str, Any]:
        """Write the record with the types that filters compare."""
        record = self.record()
        names = ("_id", "gear_id", "previous_job_id", "original_job_id")
        ids = {name: Identifier(record[name]) for name in names if record[name]}
        return {**record, **ids, "created": utc_datetime(self.created)}


class JobStore:
    """All jobs of the site.

    Attributes:
        manifest: that of the one gear of the site, for who looks it up.
    """

    def __init__(
        self,
        population: Population,
        files: FileStore,
        identifiers: IdentifierFactory,
        behaviour: Behaviour,
        now: Callable[[], float],
        lock: threading.RLock,
    ) -> None:
        """Start without jobs.

        Args:
            population: the users; each job that has not ended adds its key there.
            files: where outputs are kept.
            identifiers: where ids come from.
            behaviour: how often a job that fails is started again.
            now: reads the site's clock, in unix seconds.
            lock: the site's.
        """
        self._population = population
        self._files = files
        self._identifiers = identifiers
        self._behaviour = behaviour
        self._now = now
        self._lock = lock
        self._jobs: dict[str, SiteJob] = {}
        self.manifest: Mapping[str, Any] = {"name": GEAR_NAME, "config": {}, "inputs": {}}

    def add(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        key: str = DEFAULT_KEY,
        inputs: Mapping[str, ProjectFile] | None = None,
        destination: str = DESTINATION_ID,
        state: str = "running",
    ) -> SiteJob:
        """Launch a job; its `id` and its own `key` are among what is given back.

        Args:
            config: the gear's options by their names.
            key: the API key of who launches it.
            inputs: the files that the gear is given, by the names of its inputs.
            destination: the id of the project that it runs in.
            state: `"running"` since now; `"pending"` for an engine to take.

        Raises:
            KeyError: nobody has that key.
        """
        with self._lock:
            user = self._population.user_of(key)
            if user is None:
                raise KeyError(key)
            given = dict(inputs or {})
            new = SiteJob(self._new_id(), "", user, self._now(), config or {}, given, destination)
            return self._keep(new, state)

    def restart(self, job_id: str, state: str = "running") -> SiteJob:
        """Start a job again, as the platform does: as a copy that follows on it.

        A job that has not ended fails: its engine was lost. The copy's state is as for `add`.

        Raises:
            KeyError: there is no such job.
            ValueError: it was started again before.
        """
        with self._lock:
            old = self._jobs[job_id]
            if old.retried is not None:
                raise ValueError(f"job {job_id} was started again already")
            if not old.is_final:
                self.move(job_id, "failed")
            old.retried = self._now()
            copy = replace(
                old,
                id=self._new_id(),
                created=old.retried,
                attempt=old.attempt + 1,
                previous_job_id=old.id,
                original_job_id=old.original_job_id or old.id,
                transitions={},
                retried=None,
                outputs=(),
            )
            return self._keep(copy, state)

    def move(self, job_id: str, state: str) -> SiteJob:
        """Bring a job that has not ended into a state; with a final one its key dies.

        Raises:
            KeyError: there is no such job.
            ValueError: the job has ended.
        """
        with self._lock:
            job = self._jobs[job_id]
            if job.is_final:
                raise ValueError(f"job {job_id} has ended: it is {job.state}")
            job.state = state
            job.transitions[state] = self._now()
            if state in FINAL:
                self._population.remove_key(job.key)
            return job

    def end(
        self, job_id: str, state: str = "complete", outputs: Iterable[ProjectFile] = ()
    ) -> None:
        """End a job with what it has put out; start it again where the site does so by itself.

        Raises:
            KeyError: there is no such job.
            ValueError: the job has ended.
        """
        with self._lock:
            job = self.move(job_id, state)
            failed = state == "failed"
            if failed:
                outputs = [replace(file, info={}, tags=()) for file in outputs]
            files = [replace(file, from_failed_job=failed) for file in outputs]
            job.outputs = tuple(self._files.put(job.destination, file) for file in files)
            if failed and job.attempt <= self._behaviour.job_restarts:
                self.restart(job_id, state="pending")

    def take(self) -> SiteJob | None:
        """Let the oldest pending job run, and give it, as an engine does; None where none is."""
        with self._lock:
            job = next((job for job in self._jobs.values() if job.state == "pending"), None)
            return job and self.move(job.id, "running")

    def get(self, job_id: str) -> SiteJob | None:
        """Find a job, or None."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[SiteJob]:
        """List the jobs, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def _new_id(self) -> str:
        return str(self._identifiers.make(self._now()))

    def _keep(self, job: SiteJob, state: str) -> SiteJob:
        job.key = f"key-of-job-{job.id}"
        job.state, job.transitions = "pending", {"pending": job.created}
        self._jobs[job.id] = job
        self._population.add_user(replace(job.user, key=job.key, job_id=job.id))
        return job if state == "pending" else self.move(job.id, state)
