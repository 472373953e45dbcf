"""The Snapshot service: creates, lists, shows, hands out and deletes a project's snapshots.

Answers requests of a known user. A create succeeds for every well-formed project id, even where
there is no such project, as on a site.
"""

import bisect
from dataclasses import dataclass, replace
from typing import Any

from .behaviour import Behaviour
from .core_api import require_access
from .downloads import Downloads
from .identifiers import is_identifier
from .listing import parse_page
from .population import Population, Project, User
from .protocol import Request, Response, SiteError, iso_time, json_response
from .routes import Route
from .snapshots import Snapshot, SnapshotStore


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and what came of the request.

    Attributes:
        applied: whether the request changed the site's state.
        snapshot_id: the snapshot that it made, or `""`.
    """

    response: Response
    applied: bool = False
    snapshot_id: str = ""


class SnapshotService:
    """The Snapshot service of the site."""

    def __init__(
        self,
        population: Population,
        snapshots: SnapshotStore,
        downloads: Downloads,
        behaviour: Behaviour,
    ) -> None:
        """Serve these snapshots."""
        self._population = population
        self._snapshots = snapshots
        self._downloads = downloads
        self._behaviour = behaviour

    def answer(self, route: Route, request: Request, user: User, now: float) -> Outcome:
        """Answer a request.

        Raises:
            SiteError: the request is refused.
        """
        project = self._check(route, user)
        match route.kind:
            case "create":
                return self._create(route.project_id, project, now)
            case "list":
                return self._list(route.project_id, request, now)
        snapshot = self._find(route)
        match route.kind:
            case "detail":
                if now < snapshot.created + self._behaviour.detail_lag_seconds:
                    raise _not_found(snapshot.id)
                return Outcome(json_response(self._record(snapshot, now)))
            case "delete":
                return self._delete(snapshot)
        return self._download(snapshot, now)

    def create_later(self, route: Route, user: User, now: float, later_seconds: float) -> None:
        """Take a create, but do it so many seconds later.

        Raises:
            SiteError: the request would be refused.
        """
        project = self._check(route, user)
        self._check_room(now)
        self._snapshots.request_later(route.project_id, project, now + later_seconds)

    def storage_file(self, project_id: str, snapshot_id: str) -> Response:
        """Answer a snapshot's file to the bearer of a signed URL."""
        snapshot = self._snapshots.get(project_id, snapshot_id)
        if snapshot is None:
            raise SiteError(404, "No such key")
        return self._downloads.response(snapshot)

    def _check(self, route: Route, user: User) -> Project | None:
        """Refuse malformed ids and users without access; give the project, if there is one."""
        for text in filter(None, (route.project_id, route.snapshot_id)):
            if not is_identifier(text):
                raise SiteError(422, f"{text!r} is not a valid ObjectId")
        project = self._population.project(route.project_id)
        require_access(project, user, self._behaviour)
        return project

    def _check_room(self, now: float) -> None:
        """Refuse a create while too many snapshots are being built."""
        most = self._behaviour.most_builds
        if most is not None and self._snapshots.unfinished(now) >= most:
            raise SiteError(429, "Too many snapshots are being built")

    def _create(self, project_id: str, project: Project | None, now: float) -> Outcome:
        self._check_room(now)
        snapshot = self._snapshots.request(project_id, project, now)
        record = self._record(snapshot, now, status="pending")
        response = json_response(record, self._behaviour.create_status)
        return Outcome(response, applied=True, snapshot_id=snapshot.id)

    def _list(self, project_id: str, request: Request, now: float) -> Outcome:
        page = parse_page(request.query)
        lag = self._behaviour.list_lag_seconds
        everything = self._snapshots.of_project(project_id)
        snapshots = [item for item in everything if now >= item.created + lag]
        start = bisect.bisect_right(snapshots, page.after_id, key=lambda item: item.id)
        chosen = page.cut(snapshots[start:], lambda snapshot: snapshot.filter_fields(now))
        records = [self._record(snapshot, now) for snapshot in chosen]
        if self._behaviour.list_shape == "bare":
            return Outcome(json_response(records))
        counted = {"count": len(records), "total_count": len(snapshots), "results": records}
        return Outcome(json_response(counted))

    def _record(self, snapshot: Snapshot, now: float, status: str = "") -> dict[str, Any]:
        record = snapshot.record(now)
        record["status"] = status or record["status"]
        if record["status"] == "failed":
            record.update(self._snapshots.reasons(snapshot.project_id))
        if self._behaviour.whole_seconds:
            record["created"] = iso_time(int(snapshot.created))
        return record

    def _download(self, snapshot: Snapshot, now: float) -> Outcome:
        status = snapshot.status(now)
        if status != "complete":
            raise SiteError(409, f"Snapshot {snapshot.id} is {status}, not complete")
        if now < snapshot.finishes + self._behaviour.download_lag_seconds:
            raise _not_found(snapshot.id)
        if self._behaviour.redirect_downloads_to:
            expires = now + self._behaviour.signed_url_seconds
            address = self._behaviour.redirect_downloads_to.rstrip("/")
            location = address + self._downloads.sign(snapshot, expires)
            return Outcome(Response(307, {"Location": location}))
        response = self._downloads.response(snapshot)
        if self._behaviour.content_encoding and response.headers["Content-Type"] != "text/html":
            headers = {**response.headers, "Content-Encoding": "gzip"}
            response = replace(response, headers=headers)
        return Outcome(response)

    def _delete(self, snapshot: Snapshot) -> Outcome:
        self._snapshots.delete(snapshot.project_id, snapshot.id)
        return Outcome(json_response({"deleted": 1}), applied=True)

    def _find(self, route: Route) -> Snapshot:
        snapshot = self._snapshots.get(route.project_id, route.snapshot_id)
        if snapshot is None:
            raise _not_found(route.snapshot_id)
        return snapshot


def _not_found(snapshot_id: str) -> SiteError:
    return SiteError(404, f"Snapshot {snapshot_id} not found")
