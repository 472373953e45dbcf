"""The site's addresses: which kind of request a method and a path make.

Reads paths and nothing else; whether the things that a path names exist is decided elsewhere.
"""

from dataclasses import dataclass
from urllib.parse import unquote

from .identifiers import is_identifier


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is about.

    Attributes:
        kind: the kind, or `"other"` for an address that the site does not have.
        project_id: the project that the path names, decoded, or `""`.
        snapshot_id: the snapshot that it names, or `""`.
        job_id: the job that it names, or `""`.
        status: for `"other"`: how the site refuses it, 404 or 405.
    """

    kind: str
    project_id: str = ""
    snapshot_id: str = ""
    job_id: str = ""
    status: int = 0


_CORE = {
    ("auth", "status"): "auth",
    ("projects",): "projects",
    ("users", "self"): "users/self",
    ("jobs",): "jobs",
}


def find_route(method: str, path: str) -> Route:
    """Find out what a request is about.

    Args:
        method: the verb, in capitals.
        path: the path, percent-encoded; each segment is decoded by itself.

    >>> find_route("POST", "/snapshot/projects/..%2Fgroups/snapshots").project_id
    '../groups'
    """
    match [_decoded(segment) for segment in path.split("/")[1:]]:
        case ["api", "projects", project_id]:
            return _allow(method, {"GET": Route("project", project_id)})
        case ["api", "jobs", *rest] if rest:
            return _find_job_route(method, rest)
        case ["api", "lookup"]:
            return _allow(method, {"POST": Route("lookup")})
        case ["api", *rest] if kind := _CORE.get(tuple(rest)):
            return _allow(method, {"GET": Route(kind)})
        case ["snapshot", "projects", project_id, "snapshots"]:
            create, listing = Route("create", project_id), Route("list", project_id)
            return _allow(method, {"POST": create, "GET": listing})
        case ["snapshot", "projects", project_id, "snapshots", snapshot_id, "detail"]:
            return _allow(method, {"GET": Route("detail", project_id, snapshot_id)})
        case ["snapshot", "projects", project_id, "snapshots", snapshot_id]:
            return _allow(method, {"GET": Route("download", project_id, snapshot_id)})
    return Route("other", status=404)


def _find_job_route(method: str, rest: list[str]) -> Route:
    match rest:
        case ["add"]:
            return _allow(method, {"POST": Route("jobs/add")})
        case [job_id]:
            job, change = Route("job", job_id=job_id), Route("jobs/change", job_id=job_id)
            return _allow(method, {"GET": job, "PUT": change})
        case [job_id, "detail"]:
            return _allow(method, {"GET": Route("job", job_id=job_id)})
        case [job_id, "retry"]:
            return _allow(method, {"POST": Route("jobs/retry", job_id=job_id)})
    return Route("other", status=404)


def _decoded(segment: str) -> str:
    """Decode a segment; an id is the same id in capitals."""
    text = unquote(segment)
    return text.lower() if is_identifier(text) else text


def _allow(method: str, routes: dict[str, Route]) -> Route:
    return routes.get(method) or Route("other", status=405)
