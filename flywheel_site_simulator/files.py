"""The files of the site's projects: what people bring and what jobs put out.

Values and a store of them, safe to use from several threads. Nothing here reads a file.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
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
        version: 1, or one more than that of the version before.
        info: its custom information.
        from_failed_job: whether the job that put it out has failed.
    """

    name: str
    path: Path
    file_id: str = ""
    version: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    from_failed_job: bool = False

    def document(self) -> dict[str, Any]:
        """Write the record that the site answers."""
        return {
            "name": self.name,
            "file_id": self.file_id,
            "version": self.version,
            "type": "tabular data" if self.name.endswith(".csv") else None,
            "info": dict(self.info),
            "tags": list(self.tags),
            "from_failed_job": self.from_failed_job,
        }


class FileStore:
    """The versions of each file, by project and name."""

    def __init__(
        self,
        identifiers: IdentifierFactory,
        behaviour: Behaviour,
        now: Callable[[], float],
        lock: threading.RLock,
    ) -> None:
        """Start without files.

        Args:
            identifiers: where ids come from.
            behaviour: what a new version has of the one before.
            now: reads the site's clock, in unix seconds.
            lock: the site's.
        """
        self._identifiers = identifiers
        self._behaviour = behaviour
        self._now = now
        self._lock = lock
        self._by_project: dict[str, dict[str, list[ProjectFile]]] = defaultdict(dict)

    def of_project(self, project_id: str) -> dict[str, ProjectFile]:
        """Give the newest versions of a project's files by their names."""
        with self._lock:
            files = self._by_project.get(project_id, {})
            return {name: versions[-1] for name, versions in files.items()}

    def versions(self, project_id: str, name: str) -> list[ProjectFile]:
        """Give all versions of a file, oldest first; none if there is no such file."""
        with self._lock:
            return list(self._by_project.get(project_id, {}).get(name, ()))

    def put(self, project_id: str, file: ProjectFile) -> ProjectFile:
        """Keep a new version of a file, which has the information of the one before; give it."""
        with self._lock:
            old = self.of_project(project_id).get(file.name, file)
            tags = old.tags if self._behaviour.file_tags_stay else ()
            kept = replace(
                file,
                version=old.version + 1,
                file_id=old.file_id or str(self._identifiers.make(self._now())),
                info={**old.info, **file.info},
                tags=tuple(dict.fromkeys([*tags, *file.tags])),
            )
            self._by_project[project_id].setdefault(file.name, []).append(kept)
            return kept
