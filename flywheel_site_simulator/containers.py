"""The calls about projects and groups: list, look at, find by path, describe, copy; their files.

Answers requests of a known user.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .behaviour import Behaviour
from .files import FileStore
from .identifiers import IdentifierFactory, is_identifier
from .jobs import GEAR_ID, GEAR_NAME, JobStore
from .listing import asks_for_counts, list_response, parse_page
from .population import Population, Project, User
from .protocol import Request, Response, SiteError, json_response
from .routes import Route
from .snapshots import Snapshot, SnapshotStore

_COPY_STATUSES = {"pending": "scheduled", "in_progress": "copying", "complete": "completed"}


class ContainerCalls:
    """What the site can be asked about its projects and groups."""

    def __init__(
        self,
        population: Population,
        snapshots: SnapshotStore,
        files: FileStore,
        jobs: JobStore,
        identifiers: IdentifierFactory,
        behaviour: Behaviour,
    ) -> None:
        """Answer for these projects, their snapshots and files, and the gear that runs there."""
        self._population = population
        self._snapshots = snapshots
        self._files = files
        self._jobs = jobs
        self._identifiers = identifiers
        self._behaviour = behaviour
        self._copies: dict[str, Snapshot] = {}

    def answer(self, route: Route, request: Request, user: User, now: float) -> Response:
        """Answer a request at a time by the site's clock.

        Raises:
            SiteError: the request is refused.
        """
        if route.kind == "projects":
            return self._list(request, user)
        if route.kind == "file":
            return self._file(route, request, user)
        name = route.group or route.project_id
        match route.kind:
            case "lookup":
                told = self._resolve(request, user, now)[-1]
            case "resolve":
                told = {"path": self._resolve(request, user, now), "children": []}
            case "group" | "container" if not is_identifier(name):
                told = self._group(name, user)
            case "info":
                told = self._set_info(self._find(name, user), request.document)
            case "copy":
                told = self._copy(self._find(name, user), request.document, now)
            case _:
                told = self._document(self._find(name, user), now)
        return json_response(told)

    def _list(self, request: Request, user: User) -> Response:
        page = parse_page(request.query, self._behaviour)
        exhaustive = request.query.get("exhaustive", "").lower() in ("true", "1")
        if exhaustive and not user.is_site_admin:
            raise SiteError(403, "Only site administrators may list exhaustively")
        cut = self._behaviour.project_listing_cut
        with_total = self._behaviour.list_shape == "results" or asks_for_counts(request)
        is_whole_needed = with_total or cut is not None
        projects = self._population.projects("" if is_whole_needed else page.after_id)
        seen = (item for item in projects if exhaustive or item.has_member(user))
        matching = page.matching(seen, lambda project: project.filter_fields)
        if not is_whole_needed:
            return list_response(project.encoded for project in page.cut(matching))
        everything = list(matching)
        chosen = page.cut(project for project in everything[:cut] if project.id > page.after_id)
        total = len(everything) if with_total else None
        return list_response((project.encoded for project in chosen), total)

    def _find(self, project_id: str, user: User) -> Project:
        project = self._population.open_project(project_id, user)
        if project is None:
            raise SiteError(404, f"Project {project_id} not found")
        return project

    def _file(self, route: Route, request: Request, user: User) -> Response:
        """Send a file, in the version that is asked for or the newest."""
        versions = self._files.versions(self._find(route.project_id, user).id, route.file)
        wanted = request.query.get("version")
        for file in reversed(versions):
            if wanted in (None, str(file.version)):
                content_type = {"Content-Type": "application/octet-stream"}
                return Response(200, content_type, file.path.read_bytes())
        raise SiteError(404, f"File {route.file} not found")

    def _document(self, project: Project, now: float) -> dict[str, Any]:
        """Write all that the site knows of a project."""
        files = [file.document() for file in self._files.of_project(project.id).values()]
        told = {**project.document, "container_type": "project", "files": files}
        if (source := self._copies.get(project.id)) is not None:
            status = _COPY_STATUSES.get(source.status(now), "failed")
            reason = "The snapshot failed" if status == "failed" else None
            told |= {"copy_status": status, "copy_failure_reason": reason}
        return told

    def _group(self, name: str, user: User) -> dict[str, Any]:
        """Write a group that has a project which the user may see."""
        for project in self._population.projects():
            if project.group == name and (project.has_member(user) or user.is_site_admin):
                return {"_id": name, "label": name, "container_type": "group"}
        raise SiteError(404, f"Group {name} not found")

    def _resolve(self, request: Request, user: User, now: float) -> list[dict[str, Any]]:
        """Write what a path leads to, and before it what it leads through."""
        path = request.document.get("path")
        match path:
            case ["gears", name] if name == GEAR_NAME:
                found = {"_id": GEAR_ID, "category": "utility", "container_type": "gear"}
                return [{**found, "gear": dict(self._jobs.manifest)}]
            case [group]:
                return [self._group(group, user)]
            case [group, label]:
                for project in self._population.projects():
                    if (project.group, project.label) == (group, label):
                        found = self._document(self._find(project.id, user), now)
                        return [self._group(group, user), found]
        raise SiteError(404, f"Could not resolve: {path}")

    def _set_info(self, project: Project, change: Mapping[str, Any]) -> dict[str, Any]:
        info = dict(change.get("replace", project.info))
        info |= change.get("set") or {}
        gone = change.get("delete") or ()
        kept = {name: value for name, value in info.items() if name not in gone}
        self._population.add_project(replace(project, info=kept))
        return {"modified": 1}

    def _copy(self, project: Project, wanted: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Make a project as another one was at its snapshot; a new one where none is named."""
        named = wanted.get("snapshot_id")
        if named is None:
            source = self._snapshots.request(project.id, project, now)
        else:
            found = self._snapshots.get(project.id, named)
            if found is None or found.project is None:
                raise SiteError(404, f"Snapshot {named} not found")
            source = found
        new = replace(
            source.project or project,
            id=self._identifiers.make(now),
            group=str(wanted.get("group_id")),
            label=str(wanted.get("project_label")),
            created=now,
        )
        self._population.add_project(new)
        self._copies[new.id] = source
        ids = {"task_id": self._identifiers.make(now), "snapshot_id": source.id}
        return {**ids, "project_id": new.id}
