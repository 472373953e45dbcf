"""The calls of the site: who am I, which projects are there; and a project's snapshots.

Answers requests of a known user. A create succeeds for every well-formed project id, even where
there is no such project, as on a site.
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .behaviour import Behaviour
from .downloads import Downloads
from .job_calls import JobCalls
from .listing import parse_page
from .population import Population, Project, User, require_identifier
from .protocol import Request, Response, SiteError, iso_time, json_body, json_response
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
        jobs: JobCalls,
        behaviour: Behaviour,
    ) -> None:
        """Answer for these users, projects, snapshots and jobs."""
        self._population = population
        self._snapshots = snapshots
        self._downloads = downloads
        self._jobs = jobs
        self._behaviour = behaviour

    def answer(self, route: Route, request: Request, user: User, now: float) -> Outcome:
        """Answer a request at a time by the site's clock.

        Raises:
            SiteError: the request is refused.
        """
        match route.kind:
            case "create":
                return self._create(route.project_id, user, now)
            case "auth":
                response = json_response(user.session())
            case "users/self":
                response = json_response(user.document())
            case "projects":
                response = self._list_projects(request, user)
            case "project":
                response = self._project(route.project_id, user)
            case "list":
                response = self._list_snapshots(route.project_id, request, user, now)
            case "detail":
                response = self._detail(self._find(route, user), now)
            case "download":
                response = self._download(self._find(route, user), now)
            case "other":
                raise SiteError(route.status, f"{request.method} {request.path}: no such call")
            case _:
                response = self._jobs.answer(route, request, user)
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

    def _list_projects(self, request: Request, user: User) -> Response:
        page = parse_page(request.query)
        exhaustive = request.query.get("exhaustive", "").lower() in ("true", "1")
        if exhaustive and not user.is_site_admin:
            raise SiteError(403, "Only site administrators may list exhaustively")
        cut, with_total = self._behaviour.project_listing_cut, self._behaviour.page_total
        is_whole_needed = with_total or cut is not None
        projects = self._population.projects("" if is_whole_needed else page.after_id)
        seen = (item for item in projects if exhaustive or item.has_member(user))
        matching = page.matching(seen, lambda project: project.filter_fields)
        if not is_whole_needed:
            return json_body(_array(page.cut(matching)))
        everything = list(matching)
        chosen = page.cut(project for project in everything[:cut] if project.id > page.after_id)
        if not with_total:
            return json_body(_array(chosen))
        counts = f'{{"count": {len(chosen)}, "total": {len(everything)}, "results": '
        return json_body(counts.encode() + _array(chosen) + b"}")

    def _project(self, project_id: str, user: User) -> Response:
        project = self._population.open_project(project_id, user)
        if project is None:
            raise SiteError(404, f"Project {project_id} not found")
        files = self._jobs.files_of(project)
        if files:
            return json_response({**project.document, "files": files})
        return json_body(project.encoded)

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
        page = parse_page(request.query)
        lag = self._behaviour.list_lag_seconds
        everything = self._snapshots.of_project(project_id)
        snapshots = [item for item in everything if now >= item.created + lag]
        start = bisect.bisect_right(snapshots, page.after_id, key=lambda item: item.id)
        matching = page.matching(snapshots[start:], lambda item: item.filter_fields(now))
        records = [self._record(snapshot, now) for snapshot in page.cut(matching)]
        if self._behaviour.list_shape == "bare":
            return json_response(records)
        counted = {"count": len(records), "total_count": len(snapshots), "results": records}
        return json_response(counted)

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


def _array(projects: Iterable[Project]) -> bytes:
    return b"[" + b",".join(project.encoded for project in projects) + b"]"
