"""The jobs of the site: who launched them, what state they are in, which one follows on which.

State without HTTP, without a clock and without processes: a job runs because somebody says so, be
it a test or the `Engine` in `engine.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .behaviour import Behaviour
from .files import FileStore, ProjectFile
from .identifiers import Identifier, IdentifierFactory
from .job import DESTINATION_ID
from .population import Population, User
from .protocol import iso_time, utc_datetime

FINAL = frozenset({"complete", "failed", "cancelled"})
"""The states that a job stays in."""


@dataclass(slots=True)
class SiteJob:
    """A job as the site knows it, all times by the site's clock in unix seconds.

    Attributes:
        key: the job's own API key; it acts for `user`, and dies when the job ends.
        user: who launched the job.
        created: when it was launched.
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


GEAR_ID = "9" * 24
"""The id of the one gear of the site."""


class JobStore:
    """All jobs of the site by id, so oldest first."""

    def __init__(
        self,
        identifiers: IdentifierFactory,
        population: Population,
        files: FileStore,
        behaviour: Behaviour,
    ) -> None:
        """Start without jobs.

        Args:
            identifiers: where ids come from.
            population: the users; each job that has not ended adds its key there.
            files: where outputs are kept.
            behaviour: what the records lack, and what becomes of jobs that fail.
        """
        self._identifiers = identifiers
        self._population = population
        self._files = files
        self._behaviour = behaviour
        self._jobs: dict[str, SiteJob] = {}

    def add(
        self,
        user: User,
        now: float,
        config: Mapping[str, Any],
        inputs: Mapping[str, ProjectFile] | None = None,
        destination: str = DESTINATION_ID,
    ) -> SiteJob:
        """Launch a job for a user; it is pending."""
        job_id = str(self._identifiers.make(now))
        given = dict(inputs or {})
        return self._keep(SiteJob(job_id, "", user, now, dict(config), given, destination), now)

    def restart(self, job_id: str, now: float) -> SiteJob:
        """Launch a copy of a job, which fails first where it has not ended.

        Raises:
            KeyError: there is no such job.
            ValueError: it was started again before.
        """
        old = self._jobs[job_id]
        if old.retried is not None:
            raise ValueError(f"job {job_id} was started again already")
        if not old.is_final:
            self.move(job_id, "failed", now)
        old.retried = now
        copy = replace(
            old,
            id=str(self._identifiers.make(now)),
            created=now,
            attempt=old.attempt + 1,
            previous_job_id=old.id,
            original_job_id=old.original_job_id or old.id,
            transitions={},
            retried=None,
            outputs=(),
        )
        return self._keep(copy, now)

    def move(self, job_id: str, state: str, now: float) -> SiteJob:
        """Bring a job that has not ended into a state; with a final one its key dies.

        Raises:
            KeyError: there is no such job.
            ValueError: the job has ended.
        """
        job = self._jobs[job_id]
        if job.is_final:
            raise ValueError(f"job {job_id} has ended: it is {job.state}")
        job.state = state
        job.transitions[state] = now
        if state in FINAL:
            self._population.remove_key(job.key)
        return job

    def end(self, job_id: str, state: str, now: float, outputs: Iterable[ProjectFile] = ()) -> None:
        """End a job with what it has put out; start it again where the site does so by itself.

        Raises:
            KeyError: there is no such job.
            ValueError: the job has ended.
        """
        job = self.move(job_id, state, now)
        failed = state == "failed"
        if failed or not self._behaviour.job_tells:
            outputs = [replace(file, info={}, tags=()) for file in outputs]
        files = [replace(file, from_failed_job=failed) for file in outputs]
        job.outputs = tuple(self._files.put(job.destination, file, now) for file in files)
        if failed and job.attempt <= self._behaviour.job_restarts:
            self.restart(job_id, now)

    def take(self, now: float) -> SiteJob | None:
        """Let the oldest pending job run, and give it; None where none is pending."""
        for job in self._jobs.values():
            if job.state == "pending":
                return self.move(job.id, "running", now)
        return None

    def get(self, job_id: str) -> SiteJob | None:
        """Find a job, or None."""
        return self._jobs.get(job_id)

    def all(self) -> Iterable[SiteJob]:
        """Give the jobs, oldest first."""
        return self._jobs.values()

    def document(self, job: SiteJob) -> dict[str, Any]:
        """Write a job's record without the fields that this site leaves out."""
        left_out = self._behaviour.job_fields_left_out
        return {name: value for name, value in job.record().items() if name not in left_out}

    def _keep(self, job: SiteJob, now: float) -> SiteJob:
        job.key = f"key-of-job-{job.id}"
        job.state, job.transitions = "pending", {"pending": now}
        self._jobs[job.id] = job
        self._population.add_user(replace(job.user, key=job.key, job_id=job.id))
        return job
