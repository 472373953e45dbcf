"""Who and what is on the site: users with their keys, projects with their members.

State without HTTP and without a clock: callers say what time it is.
"""

import bisect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .identifiers import Identifier, is_identifier
from .protocol import SiteError, iso_time, utc_datetime

SITE_ADMIN = "site_admin"

DEFAULT_KEY = "secret-key"
"""The API key of the user that every site has from the start."""

DEFAULT_USER = "gear.runner@example.org"
"""The id of that user; its role is `user`."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an API key. The id is the email address, as on a site.

    Attributes:
        job_id: the job that the key belongs to, or `""` for the user's own key.
    """

    id: str
    key: str
    roles: tuple[str, ...]
    job_id: str = ""

    @property
    def is_site_admin(self) -> bool:
        """Whether the user may see everything."""
        return SITE_ADMIN in self.roles

    def session(self) -> dict[str, Any]:
        """Write what `/api/auth/status` answers."""
        kind, origin = ("job", self.job_id) if self.job_id else ("user", self.id)
        return {
            "origin": {"type": kind, "id": origin},
            "user_id": self.id,
            "user_is_admin": self.is_site_admin,
            "is_device": False,
        }

    def document(self) -> dict[str, Any]:
        """Write what `/api/users/self` answers."""
        return {"_id": self.id, "email": self.id, "roles": list(self.roles)}


@dataclass(frozen=True, eq=False)
class Project:
    """A project, and how much its snapshots hold.

    Attributes:
        created: when it was made, in unix seconds by the site's clock.
        members: the ids of the users with access; None: everybody.
        info: its custom information.
        subjects: how many subjects it has; each session of theirs has one file.
    """

    id: Identifier
    group: str
    label: str
    created: float
    members: frozenset[str] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    subjects: int = 2
    sessions_per_subject: int = 1

    def has_member(self, user: User) -> bool:
        """Tell whether a user is a member of the project."""
        return self.members is None or user.id in self.members

    @cached_property
    def document(self) -> dict[str, Any]:
        """What `/api/projects/{id}` answers."""
        members = sorted(self.members) if self.members is not None else []
        return {
            "_id": self.id,
            "label": self.label,
            "description": "",
            "group": self.group,
            "parents": {"group": self.group},
            "created": iso_time(self.created),
            "modified": iso_time(self.created),
            "permissions": [{"_id": name, "role_ids": [ROLE_ID]} for name in members],
            "info": dict(self.info),
            "tags": list(self.tags),
        }

    @cached_property
    def encoded(self) -> bytes:
        """The document as JSON, made once."""
        return json.dumps(self.document, ensure_ascii=False).encode()

    @cached_property
    def filter_fields(self) -> dict[str, Any]:
        """The document with the types that filters compare."""
        moment = utc_datetime(self.created)
        return {**self.document, "created": moment, "modified": moment}


ROLE_ID = "5d1b2c3d4e5f60718293a4b5"
"""The id of the one role that members have."""


class Population:
    """The users and projects of the site."""

    def __init__(self) -> None:
        """Start empty."""
        self._users_by_key: dict[str, User] = {}
        self._projects: dict[str, Project] = {}
        self._ordered: list[str] = []

    def add_user(self, user: User) -> None:
        """Add a user. A key that is in use passes to the new user."""
        self._users_by_key[user.key] = user

    def remove_key(self, key: str) -> None:
        """Let a key die, as a job's key does when the job ends."""
        self._users_by_key.pop(key, None)

    def user_of(self, key: str) -> User | None:
        """Find the user whose key it is, or None."""
        return self._users_by_key.get(key)

    def add_project(self, project: Project) -> None:
        """Add a project, or replace the one of the same id."""
        if project.id not in self._projects:
            bisect.insort(self._ordered, project.id)
        self._projects[project.id] = project

    def remove_project(self, project_id: str) -> None:
        """Remove a project, if there is one; its snapshots stay."""
        if self._projects.pop(project_id, None) is not None:
            del self._ordered[bisect.bisect_left(self._ordered, project_id)]

    def project(self, project_id: str) -> Project | None:
        """Find a project by its id, or None."""
        return self._projects.get(project_id)

    def open_project(self, project_id: str, user: User) -> Project | None:
        """Find a project for a user; a site administrator needs no membership.

        Raises:
            SiteError: the id is malformed (422), or the user is not a member of the project (403).
        """
        require_identifier(project_id)
        project = self.project(project_id)
        if project is not None and not (project.has_member(user) or user.is_site_admin):
            raise SiteError(403, f"User {user.id} is not authorized to access project {project.id}")
        return project

    def projects(self, after_id: str = "") -> Iterator[Project]:
        """Give the projects by id, from the first one after an id."""
        start = bisect.bisect_right(self._ordered, after_id)
        for position in range(start, len(self._ordered)):
            yield self._projects[self._ordered[position]]


def require_identifier(text: str) -> None:
    """Refuse what is no id.

    Raises:
        SiteError: the text is not 24 hex digits (422).
    """
    if not is_identifier(text):
        raise SiteError(422, f"{text!r} is not a valid ObjectId")
