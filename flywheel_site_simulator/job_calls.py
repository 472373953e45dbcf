"""The calls about jobs: launch, look at, list, cancel and retry them.

Answers requests of a known user.
"""

import json
from typing import Any

from .behaviour import Behaviour
from .files import FileStore, ProjectFile
from .jobs import GEAR_ID, JobStore, SiteJob
from .listing import asks_for_counts, list_response, parse_page
from .population import Population, User
from .protocol import Request, Response, SiteError, json_response
from .routes import Route


class JobCalls:
    """What the site can be asked about jobs."""

    def __init__(
        self, jobs: JobStore, files: FileStore, population: Population, behaviour: Behaviour
    ) -> None:
        """Answer for these jobs, files and projects."""
        self._jobs = jobs
        self._files = files
        self._population = population
        self._behaviour = behaviour

    def answer(self, route: Route, request: Request, user: User) -> Response:
        """Answer a request.

        Raises:
            SiteError: the request is refused.
        """
        match route.kind:
            case "job":
                return self._job(route.job_id, request, user)
            case "jobs":
                return self._list(request, user)
            case "jobs/add":
                return self._add(request, user)
            case "jobs/change":
                return self._change(self._find(route.job_id, user), request)
        return self._retry(self._find(route.job_id, user))

    def _find(self, job_id: str, user: User) -> SiteJob:
        job = self._jobs.get(job_id)
        if job is None:
            raise SiteError(404, f"Job {job_id} not found")
        if not (user.is_site_admin or job.user.id == user.id):
            raise SiteError(403, f"User {user.id} is not authorized to access job {job.id}")
        return job

    def _job(self, job_id: str, request: Request, user: User) -> Response:
        job = self._find(job_id, user)
        document = job.record()
        if request.path.endswith("/detail"):
            outputs = [{"object": file} for file in document["outputs"]]
            return json_response({**document, "outputs": outputs})
        if not user.is_site_admin:
            raise SiteError(403, "Only site administrators may look at a job without its detail")
        return json_response(document)

    def _list(self, request: Request, user: User) -> Response:
        page = parse_page(request.query, self._behaviour)
        seen = (job for job in self._jobs.all() if user.is_site_admin or job.user.id == user.id)
        matching = list(page.matching(seen, lambda job: job.filter_fields()))
        chosen = page.cut(job for job in matching if job.id > page.after_id)
        documents = (json.dumps(job.record()).encode() for job in chosen)
        return list_response(documents, len(matching) if asks_for_counts(request) else None)

    def _add(self, request: Request, user: User) -> Response:
        body = request.document
        if body.get("gear_id") != GEAR_ID:
            raise SiteError(404, f"Gear {body.get('gear_id')} not found")
        destination = str((body.get("destination") or {}).get("id"))
        if self._population.open_project(destination, user) is None:
            raise SiteError(404, f"Project {destination} not found")
        inputs = {name: self._input(given) for name, given in (body.get("inputs") or {}).items()}
        job = self._jobs.add(
            body.get("config"),
            key=user.key,
            inputs=inputs,
            destination=destination,
            state="pending",
        )
        return json_response({"_id": job.id})

    def _input(self, given: dict[str, Any]) -> ProjectFile:
        file = self._files.of_project(str(given.get("id"))).get(str(given.get("name")))
        if file is None:
            raise SiteError(404, f"File {given.get('name')} not found")
        return file

    def _change(self, job: SiteJob, request: Request) -> Response:
        if request.document.get("state") != "cancelled":
            raise SiteError(403, "The state of a job can only be set to cancelled")
        if job.is_final:
            raise SiteError(409, f"Job {job.id} has ended: it is {job.state}")
        self._jobs.move(job.id, "cancelled")
        return json_response({"modified": 1})

    def _retry(self, job: SiteJob) -> Response:
        if job.state != "failed" or job.retried is not None:
            raise SiteError(409, "Only a failed job that was not retried can be retried")
        return json_response({"_id": self._jobs.restart(job.id, state="pending").id})
