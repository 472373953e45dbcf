"""The files of the site's projects: what people bring and what jobs put out.

Values and a store of them. Nothing here reads a file.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .behaviour import Behaviour
from .identifiers import IdentifierFactory


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A version of a file of a project.

    Attributes:
        path: where its content is on this machine.
        info: its custom information.
        from_failed_job: whether the job that put it out has failed.
    """

    name: str
    path: Path
    file_id: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    from_failed_job: bool = False

    def document(self) -> dict[str, Any]:
        """Write the record that the site answers."""
        return {
            "name": self.name,
            "file_id": self.file_id,
            "type": "tabular data" if self.name.endswith(".csv") else None,
            "info": dict(self.info),
            "tags": list(self.tags),
            "from_failed_job": self.from_failed_job,
        }


class FileStore:
    """The newest version of each file, by project and name."""

    def __init__(self, identifiers: IdentifierFactory, behaviour: Behaviour) -> None:
        """Start without files.

        Args:
            identifiers: where ids come from.
            behaviour: what a new version has of the one before.
        """
        self._identifiers = identifiers
        self._behaviour = behaviour
        self._by_project: dict[str, dict[str, ProjectFile]] = defaultdict(dict)

    def of_project(self, project_id: str) -> list[ProjectFile]:
        """List a project's files."""
        return list(self._by_project.get(project_id, {}).values())

    def get(self, project_id: str, name: str) -> ProjectFile | None:
        """Find a file of a project by its name, or None."""
        return self._by_project.get(project_id, {}).get(name)

    def put(self, project_id: str, file: ProjectFile, now: float) -> ProjectFile:
        """Keep a new version of a file, which has the information of the one before; give it."""
        old = self.get(project_id, file.name) or file
        tags = old.tags if self._behaviour.file_tags_stay else ()
        kept = replace(
            file,
            file_id=old.file_id or str(self._identifiers.make(now)),
            info={**old.info, **file.info},
            tags=tuple(dict.fromkeys([*tags, *file.tags])),
        )
        self._by_project[project_id][file.name] = kept
        return kept
