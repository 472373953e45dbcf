"""A project in which jobs put their reports, and a gear rule that looks at these.

The jobs are the simulated site's, each a run of the gear as a process. The rule is our own: it
does what is known of rules. Where it is not verified what a true platform does, it can be told to
do either.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel_site_simulator import (
    DEFAULT_KEY,
    EndedJob,
    Engine,
    ProjectFile,
    SimulatedSite,
    SimulatorServer,
    SiteJob,
)

from .forked import ForkedJob
from .gear import REPORT, GearRun
from .repository import ROOT


def engine_for(server: SimulatorServer, folder: Path) -> Engine:
    """Make what runs a served site's jobs of this gear."""
    return Engine(server, ROOT, folder, job=ForkedJob)


def as_run(ended: EndedJob) -> GearRun:
    return GearRun(ended.folder, ended.exit_status, ended.log, ended.seconds)


def told(run: GearRun) -> dict[str, Any]:
    """Read what a run tells the platform of its report; nothing where it tells nothing."""
    path = run.folder / "output" / ".metadata.json"
    if not path.exists():
        return {}
    [file] = json.loads(path.read_text())["project"]["files"]
    return dict(file)


@dataclass(frozen=True)
class Rule:
    """A gear rule that gives the report to the gear as ``retry failed``.

    Attributes:
        config: That of its jobs.
        all: What must hold of the file: values by what they are of, ``file.name`` or ``file.tags``.
        none: What must not.
        key: The API key of who launches its jobs; it opens the rule's own project only.
    """

    config: Mapping[str, Any]
    all: tuple[tuple[str, str], ...]
    none: tuple[tuple[str, str], ...]
    key: str

    def matches(self, tags: tuple[str, ...]) -> bool:
        file = {"file.name": (REPORT,), "file.tags": tags}
        return all(value in file[of] for of, value in self.all) and not any(
            value in file[of] for of, value in self.none
        )


@dataclass
class Platform:
    """A project with a gear rule.

    Attributes:
        engine: What runs the site's jobs.
        project: The project's id.
        rules_see_failed: Whether rules look at the outputs of failed jobs.
        each_version_is_new: Whether a rule that held of the version before is taken to hold anew.
        most_jobs: How many jobs a rule may bring it to; a true platform knows no such bound.
    """

    site: SimulatedSite
    engine: Engine
    project: str
    rule: Rule
    rules_see_failed: bool = False
    each_version_is_new: bool = False
    most_jobs: int = 6
    held: bool = False

    @property
    def runs(self) -> list[GearRun]:
        """Those of all jobs, in turn."""
        return [as_run(self.engine.ended[job.id]) for job in self.site.jobs.all()]

    @property
    def exit_statuses(self) -> list[int]:
        """Those of all jobs, in turn."""
        return [run.exit_status for run in self.runs]

    @property
    def tags(self) -> list[str]:
        """Those of the report."""
        return list(self.site.files.of_project(self.project)[REPORT].tags)

    def start(
        self, config: Mapping[str, Any], given: Path | None = None, key: str = DEFAULT_KEY
    ) -> None:
        """Run a job to its end, with all that follows from it."""
        inputs = {} if given is None else {"retry failed": ProjectFile(REPORT, given)}
        job: SiteJob | None = self.site.jobs.add(
            config, key=key, inputs=inputs, destination=self.project, state="pending"
        )
        while job is not None:
            self.engine.wait(job.id)
            if any(file.name == REPORT for file in job.outputs):
                self._look(from_failed_job=job.state == "failed")
            copies = [copy for copy in self.site.jobs.all() if copy.previous_job_id == job.id]
            job = copies[0] if copies else None

    def upload(self, report: Path, *tags: str) -> None:
        """Keep a report that a person brings, as if no job had to do with it."""
        self.site.files.put(self.project, ProjectFile(report.name, report, tags=tags))
        self._look(from_failed_job=False)

    def _look(self, *, from_failed_job: bool) -> None:
        """Let the rule look at the report as it now is, and start its job where it matches."""
        held = self.held
        report = self.site.files.of_project(self.project)[REPORT]
        may_look = self.rules_see_failed or not from_failed_job
        self.held = may_look and self.rule.matches(report.tags)
        is_new = self.each_version_is_new or not held
        if self.held and is_new and len(self.site.jobs.all()) < self.most_jobs:
            self.start(self.rule.config, report.path, self.rule.key)
