"""The calls under `/api` that the SDK makes: who am I, which release is this, which projects.

Answers requests of a known user from the population. Changes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .behaviour import Behaviour
from .identifiers import is_identifier
from .listing import parse_page
from .population import Population, Project, User
from .protocol import Request, Response, SiteError, json_body, json_response
from .routes import Route

RELEASE = "23.0.0"
"""The release that the site claims to be: that of the SDK."""

VERSION = {"_id": "version", "database": 1, "release": RELEASE, "flywheel_release": RELEASE}


class CoreApi:
    """The Core API of the site."""

    def __init__(self, population: Population, behaviour: Behaviour) -> None:
        """Answer for these users and projects."""
        self._population = population
        self._behaviour = behaviour

    def answer(self, route: Route, request: Request, user: User) -> Response:
        """Answer a request.

        Raises:
            SiteError: the request is refused.
        """
        match route.kind:
            case "auth":
                return json_response(user.session())
            case "version":
                return json_response(VERSION)
            case "users/self":
                return json_response(user.document())
            case "groups":
                return self._groups(request)
            case "project":
                return self._project(route, user)
        return self._projects(request, user)

    def _groups(self, request: Request) -> Response:
        page = parse_page(request.query)
        documents = [{"_id": name, "label": name.title()} for name in self._population.groups()]
        later = [document for document in documents if document["_id"] > page.after_id]
        return json_response(page.cut(later, lambda document: document))

    def _projects(self, request: Request, user: User) -> Response:
        page = parse_page(request.query)
        exhaustive = request.query.get("exhaustive", "").lower() in ("true", "1")
        if exhaustive and not user.is_site_admin:
            raise SiteError(403, "Only site administrators may list exhaustively")
        cut, with_total = self._behaviour.project_listing_cut, self._behaviour.page_total
        whole = with_total or cut is not None
        projects = self._population.projects("" if whole else page.after_id)
        if not exhaustive:
            projects = (project for project in projects if project.has_member(user))
        if not whole:
            return json_body(_array(page.cut(projects, _fields)))
        matching = page.whole().cut(projects, _fields)
        listed = [project for project in matching[:cut] if project.id > page.after_id]
        chosen = page.slice(listed)
        if not with_total:
            return json_body(_array(chosen))
        counts = f'{{"count": {len(chosen)}, "total": {len(matching)}, "results": '
        return json_body(counts.encode() + _array(chosen) + b"}")

    def _project(self, route: Route, user: User) -> Response:
        if not is_identifier(route.project_id):
            raise SiteError(422, f"{route.project_id!r} is not a valid ObjectId")
        project = self._population.project(route.project_id)
        if project is None:
            raise SiteError(404, f"Project {route.project_id} not found")
        require_access(project, user, self._behaviour)
        return json_body(project.encoded)


def _array(projects: Iterable[Project]) -> bytes:
    return b"[" + b",".join(project.encoded for project in projects) + b"]"


def _fields(project: Project) -> Mapping[str, Any]:
    return project.filter_fields


def require_access(project: Project | None, user: User, behaviour: Behaviour) -> None:
    """Refuse a user who may not reach a project; one that does not exist refuses nobody.

    Raises:
        SiteError: the user is not a member of the project (403).
    """
    if project is None or project.has_member(user):
        return
    if not (user.is_site_admin and behaviour.admins_see_all):
        raise SiteError(403, f"User {user.id} is not authorized to access project {project.id}")
