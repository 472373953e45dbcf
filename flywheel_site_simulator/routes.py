"""The site's addresses: which kind of request a method and a path make.

Reads paths and nothing else; whether the things that a path names exist is decided elsewhere.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
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
        group: the group that it names, or `""`.
        file: the name of the file that it names, or `""`.
        status: for `"other"`: how the site refuses it, 404 or 405.
    """

    kind: str
    project_id: str = ""
    snapshot_id: str = ""
    job_id: str = ""
    group: str = ""
    file: str = ""
    status: int = 0


_ROUTES = [
    (method, template.split("/"), kind)
    for method, template, kind in (
        ("GET", "api/auth/status", "auth"),
        ("GET", "api/users/self", "users/self"),
        ("GET", "api/version", "version"),
        ("GET", "api/config", "config"),
        ("GET", "api/projects", "projects"),
        ("GET", "api/projects/{project_id}", "project"),
        ("PATCH", "api/projects/{project_id}/info", "info"),
        ("POST", "api/projects/{project_id}/info", "info"),
        ("POST", "api/projects/{project_id}/copy", "copy"),
        ("GET", "api/projects/{project_id}/files/{file}", "file"),
        ("GET", "api/containers/{project_id}", "container"),
        ("GET", "api/groups/{group}", "group"),
        ("POST", "api/lookup", "lookup"),
        ("POST", "api/resolve", "resolve"),
        ("GET", "api/jobs", "jobs"),
        ("POST", "api/jobs/add", "jobs/add"),
        ("GET", "api/jobs/{job_id}", "job"),
        ("PUT", "api/jobs/{job_id}", "jobs/change"),
        ("GET", "api/jobs/{job_id}/detail", "job"),
        ("POST", "api/jobs/{job_id}/retry", "jobs/retry"),
        ("POST", "snapshot/projects/{project_id}/snapshots", "create"),
        ("GET", "snapshot/projects/{project_id}/snapshots", "list"),
        ("GET", "snapshot/projects/{project_id}/snapshots/{snapshot_id}/detail", "detail"),
        ("GET", "snapshot/projects/{project_id}/snapshots/{snapshot_id}", "download"),
        ("DELETE", "snapshot/projects/{project_id}/snapshots/{snapshot_id}", "delete"),
    )
]


@lru_cache(maxsize=1 << 14)  # a path is asked for again and again
def find_route(method: str, path: str) -> Route:
    """Find out what a request is about.

    Args:
        method: the verb, in capitals.
        path: the path, percent-encoded; each segment is decoded by itself.

    >>> find_route("POST", "/snapshot/projects/..%2Fgroups/snapshots").project_id
    '../groups'
    """
    segments = [_decoded(segment) for segment in path.split("/")[1:]]
    status = 404
    for verb, template, kind in _ROUTES:
        names = _names(template, segments)
        if names is not None and verb == method:
            return Route(kind, **names)
        status = status if names is None else 405
    return Route("other", status=status)


def _names(template: list[str], segments: list[str]) -> dict[str, Any] | None:
    """Give what a path has in the places of a template's names, or None if it does not fit."""
    if len(template) != len(segments):
        return None
    names = {}
    for part, segment in zip(template, segments, strict=True):
        if part.startswith("{"):
            names[part[1:-1]] = segment
        elif part != segment:
            return None
    return names


def _decoded(segment: str) -> str:
    """Decode a segment; an id is the same id in capitals."""
    text = unquote(segment)
    return text.lower() if is_identifier(text) else text
