"""How the simulator's tests speak to a site without HTTP."""

from dataclasses import dataclass
from urllib.parse import quote

from flywheel_site_simulator import DEFAULT_KEY, Request, Response, SimulatedSite


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Caller:
    """Somebody with an API key."""

    site: SimulatedSite
    key: str = DEFAULT_KEY

    def ask(self, method: str, path: str, **query: str) -> Response:
        headers = {"authorization": f"scitran-user {self.key}"}
        return self.site.handle(Request(method, path, query, headers))

    def projects(self, **query: str) -> Response:
        return self.ask("GET", "/api/projects", **query)

    def project(self, project_id: str) -> Response:
        return self.ask("GET", f"/api/projects/{quote(project_id, safe='')}")

    def create(self, project_id: str) -> Response:
        return self.ask("POST", f"/snapshot/projects/{quote(project_id, safe='')}/snapshots")

    def list(self, project_id: str, **query: str) -> Response:
        return self.ask("GET", f"/snapshot/projects/{project_id}/snapshots", **query)

    def detail(self, project_id: str, snapshot_id: str) -> Response:
        return self.ask("GET", f"/snapshot/projects/{project_id}/snapshots/{snapshot_id}/detail")

    def download(self, project_id: str, snapshot_id: str) -> Response:
        return self.ask("GET", f"/snapshot/projects/{project_id}/snapshots/{snapshot_id}")

    def status(self, project_id: str, snapshot_id: str) -> str:
        return str(self.detail(project_id, snapshot_id).document["status"])

    def start(self, project_id: str) -> str:
        return str(self.create(project_id).document["_id"])
