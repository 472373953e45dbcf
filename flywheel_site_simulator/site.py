"""The simulated site, as who tries something holds it: arrange it, break it.

How it takes requests, and what came, is in `core.py`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .core import DEFAULT_KEY, DEFAULT_USER, SiteCore
from .downloads import Breakage
from .faults import Fault
from .files import ProjectFile
from .identifiers import Identifier, is_identifier
from .job import DESTINATION_ID
from .jobs import SiteJob
from .population import Project, User


class SimulatedSite(SiteCore):
    """A Flywheel site in memory: arrange it, let it answer requests, look at what came."""

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

    # Jobs

    def add_job(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        key: str = DEFAULT_KEY,
        inputs: Mapping[str, ProjectFile] | None = None,
        destination: str = DESTINATION_ID,
        state: str = "running",
    ) -> SiteJob:
        """Add a job; its `id` and its own `key` are among what is given back.

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
            now = self.now()
            job = self._jobs.add(user, now, config or {}, inputs, destination)
            return job if state == "pending" else self._jobs.move(job.id, state, now)

    def take_job(self) -> SiteJob | None:
        """Let the oldest pending job run, and give it, as an engine does."""
        with self._lock:
            return self._jobs.take(self.now())

    def end_job(
        self, job_id: str, state: str = "complete", outputs: Iterable[ProjectFile] = ()
    ) -> None:
        """End a job with what it has put out: its key dies.

        Raises:
            KeyError: there is no such job.
            ValueError: it has ended.
        """
        with self._lock:
            self._jobs.end(job_id, state, self.now(), outputs)

    def restart_job(self, job_id: str, state: str = "running") -> SiteJob:
        """Start a job again, as the platform does: as a copy that follows on it.

        A job that has not ended fails: its engine was lost.

        Args:
            job_id: the job.
            state: the copy's, as for `add_job`.

        Raises:
            KeyError: there is no such job.
            ValueError: it was started again before.
        """
        with self._lock:
            job = self._jobs.restart(job_id, self.now())
            return job if state == "pending" else self._jobs.move(job.id, state, self.now())

    @property
    def jobs(self) -> list[SiteJob]:
        """The jobs, oldest first."""
        with self._lock:
            return list(self._jobs.all())

    def add_file(
        self, project_id: str, path: Path, *, tags: Iterable[str] = (), **details: Any
    ) -> ProjectFile:
        """Add a file to a project, or a new version of the one of that name.

        Args:
            project_id: the project's id.
            path: the file; it is read when a job is given it.
            tags: its tags.
            details: the further attributes of `ProjectFile`, by their names.
        """
        with self._lock:
            file = ProjectFile(path.name, path, tags=tuple(tags), **details)
            return self._files.put(project_id, file, self.now())

    def files(self, project_id: str) -> dict[str, ProjectFile]:
        """Give a project's files by their names."""
        with self._lock:
            return {file.name: file for file in self._files.of_project(project_id)}

    def install_gear(self, manifest: Mapping[str, Any]) -> None:
        """Say what a look-up of the gear answers."""
        with self._lock:
            self._calls.manifest = manifest

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
