"""What runs the jobs of a served site: each as a process of the gear, in a folder of its own.

A thread looks for pending jobs, starts them, and tells the site how they ended and what they put
out. A job that ends otherwise, by a cancellation or a restart, is killed.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import IO, Any, Self

from .files import ProjectFile
from .job import Job
from .jobs import SiteJob
from .server import SimulatorServer

_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class EndedJob:
    """What is left of a job that has run.

    Attributes:
        exit_status: that of the process; minus the signal's number where one killed it.
        log: what the gear said.
        seconds: how long it ran.
    """

    folder: Path
    exit_status: int
    log: str
    seconds: float


class _Running:
    """A job that runs."""

    def __init__(self, site_job: SiteJob, job: Job, environment: Mapping[str, str]) -> None:
        """Lay the job's folder out and start the gear in it."""
        job.lay_out({name: file.path for name, file in site_job.inputs.items()})
        self.site_job = site_job
        self.job = job
        self.lost = False
        self._began = time.monotonic()
        self._stack = ExitStack()
        self._log: IO[str] = self._stack.enter_context((job.path / "log.txt").open("w"))
        self.process: Popen[str] = self._stack.enter_context(job.started(self._log, environment))

    def end(self) -> EndedJob:
        """Kill the gear if it still runs, and say what is left of it."""
        self._stack.close()
        log = (self.job.path / "log.txt").read_text(encoding="utf-8")
        seconds = time.monotonic() - self._began
        return EndedJob(self.job.path, self.process.returncode, log, seconds)


class Engine:
    """Runs the pending jobs of a served site while a `with` block runs.

    Attributes:
        ended: what is left of each job that has run, by its id, in the order of their ends.
    """

    def __init__(
        self,
        server: SimulatorServer,
        gear: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        job: type[Job] = Job,
    ) -> None:
        """Prepare to run jobs.

        Args:
            server: the served site.
            gear: the gear's own folder, with `manifest.json` and `run.py`.
            folder: where the jobs' folders are made, each named for its id.
            environment: variables that jobs have beside those of the platform and the manifest.
            job: what lays a job out and starts it.
        """
        self._job = job
        self.ended: dict[str, EndedJob] = {}
        self._server = server
        self._gear = gear
        self._folder = folder
        self._environment = environment or {}
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        manifest = json.loads((gear / "manifest.json").read_text(encoding="utf-8"))
        server.site.jobs.manifest = manifest

    def __enter__(self) -> Self:
        """Begin to run jobs."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what still runs."""
        self._stopping.set()
        self._thread.join()
        for running in self._running.values():
            running.end()

    def kill(self, job_id: str) -> None:
        """Kill a job that runs, as if its machine died: the site is told nothing.

        Raises:
            KeyError: the job doesn't run.
        """
        with self._lock:
            running = self._running[job_id]
            running.lost = True
            running.process.kill()
            running.process.wait()

    def wait(self, job_id: str, timeout_seconds: float = 120.0) -> EndedJob:
        """Wait until a job has ended or was killed, and say what is left of it.

        Raises:
            TimeoutError: it took too long.
        """
        end = time.monotonic() + timeout_seconds
        while job_id not in self.ended:
            if time.monotonic() > end:
                raise TimeoutError(job_id)
            time.sleep(_PAUSE_SECONDS)
        return self.ended[job_id]

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_SECONDS):
            with self._lock:
                while (taken := self._server.site.jobs.take()) is not None:
                    self._running[taken.id] = self._start(taken)
                for running in list(self._running.values()):
                    self._look_after(running)

    def _start(self, taken: SiteJob) -> _Running:
        key, folder = self._server.api_key(taken.key), self._folder / taken.id
        job = self._job(folder, self._gear, key, taken.config, taken.id, taken.destination)
        return _Running(taken, job, self._environment)

    def _look_after(self, running: _Running) -> None:
        job_id = running.site_job.id
        if running.process.poll() is None and not running.site_job.is_final:
            return
        del self._running[job_id]
        ended = running.end()
        if not running.lost:
            state = "failed" if ended.exit_status else "complete"
            with suppress(ValueError):  # it was cancelled or started again meanwhile
                self._server.site.jobs.end(job_id, state, list(_outputs(running.job)))
        self.ended[job_id] = ended


def _outputs(job: Job) -> Iterator[ProjectFile]:
    """Give the files that a job has put out, with what it tells of them."""
    told = _metadata(job)
    for path in sorted(job.output.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            file = ProjectFile(path.name, path)
            about = told.get(path.name, {})
            yield replace(file, info=about.get("info", {}), tags=tuple(about.get("tags", ())))


def _metadata(job: Job) -> dict[str, Any]:
    """Read what a job tells of the files of its destination, by their names."""
    path = job.output / ".metadata.json"
    if not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return {file["name"]: file for file in document.get("project", {}).get("files", [])}
