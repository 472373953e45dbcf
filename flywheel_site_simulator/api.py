"""The calls of the site: who am I; and a project's snapshots. Other calls are handed on.

Answers requests of a known user. A create succeeds for every well-formed project id, even where
there is no such project, as on a site.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from .behaviour import Behaviour
from .containers import ContainerCalls
from .downloads import Downloads
from .files import FileStore
from .identifiers import IdentifierFactory
from .job_calls import JobCalls
from .jobs import JobStore
from .listing import asks_for_counts, list_response, parse_page
from .population import Population, Project, User, require_identifier
from .protocol import Request, Response, SiteError, iso_time, json_response
from .routes import Route
from .snapshots import Snapshot, SnapshotStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and the id of the snapshot that the request made, or `""`."""

    response: Response
    snapshot_id: str = ""


class Api:
    """All that the site can be asked: the Core API and the Snapshot service."""

    def __init__(
        self,
        population: Population,
        snapshots: SnapshotStore,
        downloads: Downloads,
        files: FileStore,
        jobs: JobStore,
        identifiers: IdentifierFactory,
        behaviour: Behaviour,
    ) -> None:
        """Answer for these users, projects, snapshots, files and jobs."""
        self._population = population
        self._snapshots = snapshots
        self._downloads = downloads
        self._jobs = JobCalls(jobs, files, population, behaviour)
        self._containers = ContainerCalls(
            population, snapshots, files, jobs, identifiers, behaviour
        )
        self._behaviour = behaviour

    def answer(self, route: Route, request: Request, user: User, now: float) -> Outcome:
        """Answer a request at a time by the site's clock.

        Raises:
            SiteError: the request is refused.
        """
        match route.kind:
            case "create":
                return self._create(route.project_id, user, now)
            case "list":
                response = self._list_snapshots(route.project_id, request, user, now)
            case "detail":
                response = self._detail(self._find(route, user), now)
            case "download":
                response = self._download(self._find(route, user), now)
            case "delete":
                snapshot = self._find(route, user)
                self._snapshots.delete(snapshot.project_id, snapshot.id)
                response = json_response({"deleted": 1})
            case "other":
                raise SiteError(route.status, f"{request.method} {request.path}: no such call")
            case "auth" | "users/self" | "version" | "config":
                response = json_response(_about(route.kind, user))
            case kind if kind.startswith("job"):
                response = self._jobs.answer(route, request, user)
            case _:
                response = self._containers.answer(route, request, user, now)
        return Outcome(response)

    def create_later(self, project_id: str, user: User, now: float, later_seconds: float) -> None:
        """Take a create, but do it so many seconds later.

        Raises:
            SiteError: the request would be refused.
        """
        project = self._project_to_snapshot(project_id, user, now)
        self._snapshots.request_later(project_id, project, now + later_seconds)

    def storage_file(self, request: Request, now: float) -> Response:
        """Answer a snapshot's file to the bearer of a signed URL.

        Raises:
            SiteError: the URL does not hold, or there is no such file.
        """
        project_id, snapshot_id = self._downloads.check_signature(request, now)
        snapshot = self._snapshots.get(project_id, snapshot_id)
        if snapshot is None:
            raise SiteError(404, "No such key")
        return self._downloads.response(snapshot)

    def _project_to_snapshot(self, project_id: str, user: User, now: float) -> Project | None:
        """Find the project of a create; refuse it while too many snapshots are being built."""
        project = self._population.open_project(project_id, user)
        most = self._behaviour.most_builds
        if most is not None and self._snapshots.unfinished(now) >= most:
            raise SiteError(429, "Too many snapshots are being built")
        return project

    def _create(self, project_id: str, user: User, now: float) -> Outcome:
        project = self._project_to_snapshot(project_id, user, now)
        snapshot = self._snapshots.request(project_id, project, now)
        record = self._record(snapshot, now, status="pending")
        return Outcome(json_response(record, 201), snapshot.id)

    def _list_snapshots(
        self, project_id: str, request: Request, user: User, now: float
    ) -> Response:
        self._population.open_project(project_id, user)
        page = parse_page(request.query, self._behaviour)
        lag = self._behaviour.list_lag_seconds
        everything = self._snapshots.of_project(project_id)
        listed = [item for item in everything if now >= item.created + lag]
        matching = list(page.matching(listed, lambda item: item.filter_fields(now)))
        after = (item for item in matching if item.id > page.after_id)
        records = (json.dumps(self._record(item, now)).encode() for item in page.cut(after))
        with_total = self._behaviour.list_shape == "results" or asks_for_counts(request)
        return list_response(records, len(matching) if with_total else None)

    def _detail(self, snapshot: Snapshot, now: float) -> Response:
        if now < snapshot.created + self._behaviour.detail_lag_seconds:
            raise _not_found(snapshot.id)
        return json_response(self._record(snapshot, now))

    def _record(self, snapshot: Snapshot, now: float, status: str = "") -> dict[str, Any]:
        record = snapshot.record(now)
        record["status"] = status or record["status"]
        if record["status"] == "failed":
            record.update(self._snapshots.reasons(snapshot.project_id))
        if self._behaviour.whole_seconds:
            record["created"] = iso_time(int(snapshot.created))
        return record

    def _download(self, snapshot: Snapshot, now: float) -> Response:
        status = snapshot.status(now)
        if status != "complete":
            raise SiteError(409, f"Snapshot {snapshot.id} is {status}, not complete")
        if self._behaviour.redirect_downloads_to:
            expires = now + self._behaviour.signed_url_seconds
            address = self._behaviour.redirect_downloads_to.rstrip("/")
            location = address + self._downloads.sign(snapshot, expires)
            return Response(307, {"Location": location})
        response = self._downloads.response(snapshot)
        if self._behaviour.content_encoding and response.headers["Content-Type"] != "text/html":
            headers = {**response.headers, "Content-Encoding": "gzip"}
            response = replace(response, headers=headers)
        return response

    def _find(self, route: Route, user: User) -> Snapshot:
        self._population.open_project(route.project_id, user)
        require_identifier(route.snapshot_id)
        snapshot = self._snapshots.get(route.project_id, route.snapshot_id)
        if snapshot is None:
            raise _not_found(route.snapshot_id)
        return snapshot


def _not_found(snapshot_id: str) -> SiteError:
    return SiteError(404, f"Snapshot {snapshot_id} not found")


def _about(kind: str, user: User) -> dict[str, Any]:
    """Write what the site says of the caller and of itself."""
    return {
        "auth": user.session(),
        "users/self": user.document(),
        "version": {"flywheel_release": "23.0.0"},
        "config": {"site": {"name": "Simulated site"}, "features": {}},
    }[kind]
