"""Projects and groups by id and by path, a project's information, and copies from a snapshot."""

import json
from typing import Any

import pytest

from flywheel_site_simulator import Request, Response, SimulatedSite
from tests.simulator.caller import Caller, Clock


def send(caller: Caller, path: str, body: Any, method: str = "POST") -> Response:
    headers = {"authorization": f"scitran-user {caller.key}"}
    return caller.site.handle(Request(method, path, {}, headers, json.dumps(body).encode()))


@pytest.fixture
def project(site: SimulatedSite) -> str:
    return site.add_project("neuro", "Ageing", info={"site": "Berlin", "n": 1})


def test_a_container_is_the_project_or_group_of_that_id(caller: Caller, project: str) -> None:
    found = caller.ask("GET", f"/api/containers/{project}").document
    assert (found["label"], found["container_type"]) == ("Ageing", "project")
    for path in ("/api/containers/neuro", "/api/groups/neuro"):
        group = caller.ask("GET", path).document
        assert (group["_id"], group["container_type"]) == ("neuro", "group")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "path", ["/api/containers/" + "0" * 24, "/api/containers/cardio", "/api/groups/cardio"]
)
def test_a_container_that_is_not_there_is_a_404(caller: Caller, path: str) -> None:
    assert caller.ask("GET", path).status == 404


def test_what_a_user_may_not_see_stays_closed(caller: Caller, site: SimulatedSite) -> None:
    closed = site.add_project("cardio", "Closed", members=[])
    assert caller.ask("GET", f"/api/containers/{closed}").status == 403
    assert caller.ask("GET", "/api/groups/cardio").status == 404
    for path in ("info", "copy"):
        assert send(caller, f"/api/projects/{closed}/{path}", {}).status == 403


def test_a_path_is_resolved_to_all_that_it_leads_through(caller: Caller, project: str) -> None:
    path = send(caller, "/api/resolve", {"path": ["neuro", "Ageing"]}).document["path"]
    assert [node["_id"] for node in path] == ["neuro", project]
    assert send(caller, "/api/lookup", {"path": ["neuro", "Ageing"]}).document == path[-1]
    assert send(caller, "/api/lookup", {"path": ["neuro"]}).document == path[0]
    assert send(caller, "/api/resolve", {"path": ["neuro", "Nothing"]}).status == 404


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_information_is_set_deleted_and_replaced(caller: Caller, project: str, method: str) -> None:
    def info_after(change: dict[str, Any]) -> dict[str, Any]:
        send(caller, f"/api/projects/{project}/info", change, method)
        return dict(caller.project(project).document["info"])

    assert info_after({"set": {"n": 2}}) == {"site": "Berlin", "n": 2}
    assert info_after({"delete": ["site"]}) == {"n": 2}
    assert info_after({"replace": {"new": True}}) == {"new": True}
    assert caller.projects(filter="info.new=true").document[0]["_id"] == project


def test_a_copy_is_the_project_as_it_was_at_the_snapshot(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    snapshot = caller.start(project)
    send(caller, f"/api/projects/{project}/info", {"set": {"n": 2}})
    wanted = {"group_id": "cardio", "project_label": "As it was", "snapshot_id": snapshot}

    copy = send(caller, f"/api/projects/{project}/copy", wanted).document

    assert copy["snapshot_id"] == snapshot
    made = caller.project(copy["project_id"]).document
    assert (made["group"], made["label"], made["info"]["n"]) == ("cardio", "As it was", 1)
    assert (made["copy_status"], made["copy_failure_reason"]) == ("completed", None)
    assert site.creates() == 1


def test_a_copy_without_a_snapshot_makes_one_and_waits_for_it(
    caller: Caller, site: SimulatedSite, clock: Clock, project: str
) -> None:
    site.behaviour.build_seconds = (10.0, 10.0)
    site.outcome(project, "complete", "failed")

    def statuses() -> list[str]:
        copy = send(caller, f"/api/projects/{project}/copy", {"group_id": "neuro"}).document
        assert site.snapshots(project)[-1].id == copy["snapshot_id"]
        seen = []
        for _ in range(3):
            seen.append(caller.project(copy["project_id"]).document["copy_status"])
            clock.advance(5.0)
        return seen

    assert statuses() == ["scheduled", "copying", "completed"]
    assert statuses() == ["scheduled", "copying", "failed"]


def test_a_copy_from_a_snapshot_that_is_gone_is_a_404(caller: Caller, project: str) -> None:
    snapshot = caller.start(project)
    caller.site.delete_snapshot(project, snapshot)
    wanted = {"group_id": "neuro", "project_label": "Copy", "snapshot_id": snapshot}
    assert send(caller, f"/api/projects/{project}/copy", wanted).status == 404
