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
        self._by_project: dict[str, dict[str, ProjectFile]] = defaultdict(dict)

    def of_project(self, project_id: str) -> dict[str, ProjectFile]:
        """Give a project's files by their names."""
        with self._lock:
            return dict(self._by_project.get(project_id, {}))

    def put(self, project_id: str, file: ProjectFile) -> ProjectFile:
        """Keep a new version of a file, which has the information of the one before; give it."""
        with self._lock:
            old = self.of_project(project_id).get(file.name, file)
            tags = old.tags if self._behaviour.file_tags_stay else ()
            kept = replace(
                file,
                file_id=old.file_id or str(self._identifiers.make(self._now())),
                info={**old.info, **file.info},
                tags=tuple(dict.fromkeys([*tags, *file.tags])),
            )
            self._by_project[project_id][file.name] = kept
            return kept
