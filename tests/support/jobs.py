"""A platform that takes jobs: each is a run of the gear; a rule looks at what it has put out.

Where it is not verified what a true platform does, it can be told to do either.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .gear import REPORT, GearFolder, GearRun
from .repository import read_manifest

GEAR_ID, PROJECT_ID, FILE_ID = "9" * 24, "a" * 24, "7" * 24
_FIRST_LOOKS = ["pending", "scheduled", "running"]


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
        api_key: What its jobs are given; it opens the rule's own project only.
    """

    config: Mapping[str, Any]
    all: tuple[tuple[str, str], ...]
    none: tuple[tuple[str, str], ...]
    api_key: str = ""

    def matches(self, tags: list[str]) -> bool:
        file = {"file.name": [REPORT], "file.tags": tags}
        return all(value in file[of] for of, value in self.all) and not any(
            value in file[of] for of, value in self.none
        )


@dataclass
class Platform:
    """A project that reports are kept in, and the jobs that were started there.

    Attributes:
        folder: Where the jobs' folders are made.
        api_key: What jobs are given that no rule has started.
        keeps_metadata: Whether what a job tells of its report is applied, if the job succeeds.
        rule: The project's gear rule, if there is one.
        restarts: How often the site starts a failed job again by itself.
        rules_see_failed: Whether rules look at the outputs of failed jobs.
        keeps_tags: Whether a new version of the report still has the tags of the one before.
        each_version_is_new: Whether a rule that held of the version before is taken to hold anew.
        most_jobs: How many jobs a rule may bring it to; a true platform knows no such bound.
    """

    folder: Path
    api_key: str
    keeps_metadata: bool = True
    rule: Rule | None = None
    restarts: int = 0
    rules_see_failed: bool = False
    keeps_tags: bool = False
    each_version_is_new: bool = False
    most_jobs: int = 6
    asked: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, GearRun] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    report: Path | None = None
    tags: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    held: bool = False

    @property
    def exit_statuses(self) -> list[int]:
        """Those of all jobs, in turn."""
        return [run.exit_status for run in self.runs.values()]

    def start(self, config: Mapping[str, Any], given: Path | None = None, api_key: str = "") -> str:
        """Run a job to its end, with all that follows from it; gives the job's id."""
        first = f"{len(self.runs) + 1:024x}"
        for _ in range(1 + self.restarts):
            job_id = f"{len(self.runs) + 1:024x}"
            job = GearFolder(self.folder / job_id, api_key or self.api_key, dict(config), job_id)
            run = self.runs[job_id] = job.run(given)
            self._keep(run)
            if run.exit_status == 0:
                break
        return first

    def upload(self, report: Path, *tags: str) -> None:
        """Keep a report that a person brings, as if no job had to do with it."""
        self.report, self.tags = report, list(tags)
        self._look(from_failed_job=False)

    def _keep(self, run: GearRun) -> None:
        if not run.report.exists():
            return
        self.report = run.report
        failed = run.exit_status != 0
        if not self.keeps_tags:
            self.tags = []
        if self.keeps_metadata and not failed:
            self.tags = [*self.tags, *told(run)["tags"]]
            self.info = told(run)["info"]
        self._look(from_failed_job=failed)

    def _look(self, *, from_failed_job: bool) -> None:
        """Let the rule look at the report as it now is, and start its job where it matches."""
        if self.rule is None:
            return
        held = self.held
        may_look = self.rules_see_failed or not from_failed_job
        self.held = may_look and self.rule.matches(self.tags)
        is_new = self.each_version_is_new or not held
        if self.held and is_new and len(self.runs) < self.most_jobs:
            self.start(self.rule.config, self.report, self.rule.api_key)

    # --------------------------------------------------------------------------- what the SDK asks

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        match method, path.partition("?")[0].split("/")[2:]:
            case "GET", ["auth", "status"]:
                return {"origin": {"type": "user", "id": "cron@example.org"}}
            case "POST", ["lookup"] if body["path"] == ["gears", "sitewide-snapshot"]:
                return {"_id": GEAR_ID, "container_type": "gear", "gear": read_manifest()}
            case "POST", ["lookup"] if body["path"] == ["admin", "Snapshots"]:
                return self._project()
            case "GET", ["projects", project_id] if project_id == PROJECT_ID:
                return self._project()
            case "POST", ["jobs", "add"]:
                return {"_id": self._add_job(body)}
            case "GET", ["jobs", job_id]:
                return {"_id": job_id, "gear_id": GEAR_ID, "state": self._state(job_id)}
        return None

    def _project(self) -> dict[str, Any]:
        report = {"name": REPORT, "file_id": FILE_ID, "tags": self.tags, "info": self.info}
        return {
            "_id": PROJECT_ID,
            "container_type": "project",
            "label": "Snapshots",
            "group": "admin",
            "files": [report] if self.report else [],
        }

    def _add_job(self, body: dict[str, Any]) -> str:
        self.asked.append(body)
        given = body["inputs"].get("retry failed")
        if given is not None:
            assert given == {"type": "project", "id": PROJECT_ID, "name": REPORT}
        return self.start(body["config"], self.report if given else None)

    def _state(self, job_id: str) -> str:
        """Each of the states that a job begins with, so that who asks has to ask again."""
        look = self.looks[job_id] = self.looks.get(job_id, -1) + 1
        if look < len(_FIRST_LOOKS):
            return _FIRST_LOOKS[look]
        return "failed" if self.runs[job_id].exit_status else "complete"

    @contextmanager
    def served(self) -> Iterator[str]:
        """Answer over HTTP what the SDK asks; gives the API key to use."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _face_of(self)) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield f"127.0.0.1:{server.server_port}:__force_insecure:cron"
            server.shutdown()
            thread.join()


def _face_of(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Face(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            document = platform.answer(self.command, self.path, json.loads(sent or b"{}"))
            body = json.dumps(document or {"message": "no such call", "status_code": 404}).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing among the tests' output."""

    return Face
