"""A site that refuses what is too much, shows things late, and counts its pages."""

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, accept
from tests.simulator.caller import Caller, Clock


@pytest.fixture
def project(site: SimulatedSite) -> str:
    return site.add_project()


def test_a_snapshot_may_be_listed_late(
    caller: Caller, site: SimulatedSite, clock: Clock, project: str
) -> None:
    site.behaviour.list_lag_seconds = 5.0
    snapshot = caller.start(project)
    assert caller.status(project, snapshot) == "complete"
    clock.advance(4.5)
    assert caller.list(project).document == []
    clock.advance(0.5)
    assert [record["_id"] for record in caller.list(project).document] == [snapshot]


def test_a_detail_may_be_there_late(
    caller: Caller, site: SimulatedSite, clock: Clock, project: str
) -> None:
    site.behaviour.detail_lag_seconds = 5.0
    snapshot = caller.start(project)
    assert len(caller.list(project).document) == 1
    assert caller.detail(project, snapshot).status == 404
    clock.advance(5)
    assert caller.status(project, snapshot) == "complete"


def test_creates_are_refused_while_too_many_snapshots_are_built(clock: Clock) -> None:
    site = SimulatedSite(clock, build_seconds=(10.0, 10.0), most_builds=2)
    caller, project = Caller(site), site.add_project()
    site.add_snapshot(project, build_seconds=10.0)
    site.add_snapshot(project, "failed")
    assert [caller.create(project).status for _ in range(3)] == [201, 429, 429]
    site.fault(Fault(times=1, action=accept()))
    response = caller.create(project)
    assert (response.status, response.document["message"]) == (
        429,
        "Too many snapshots are being built",
    )
    assert site.creates() == 1
    clock.advance(10)
    assert caller.create(project).status == 201


def test_a_page_of_projects_may_come_with_counts(caller: Caller, site: SimulatedSite) -> None:
    ids = [site.add_project(label=f"Study {number % 2}") for number in range(6)]
    site.add_project(label="Study 0", members=[])
    site.behaviour.list_shape = "results"
    first = caller.projects(filter="label=Study 0", limit="2").document
    assert (first["count"], first["total"]) == (2, 3)
    assert [project["_id"] for project in first["results"]] == ids[0:4:2]
    second = caller.projects(filter="label=Study 0", limit="2", after_id=ids[2]).document
    assert (second["count"], second["total"]) == (1, 3)
    assert [project["_id"] for project in second["results"]] == ids[4:5]


def test_a_list_of_projects_may_end_too_early(caller: Caller, site: SimulatedSite) -> None:
    ids = [site.add_project() for _ in range(6)]
    site.behaviour.project_listing_cut = 3
    assert [project["_id"] for project in caller.projects(limit="2").document] == ids[:2]
    rest = caller.projects(limit="2", after_id=ids[1]).document
    assert [project["_id"] for project in rest] == [ids[2]]
    assert caller.projects(after_id=ids[2]).document == []
    site.behaviour.list_shape = "results"
    page = caller.projects(limit="2", after_id=ids[1]).document
    assert (page["count"], page["total"]) == (1, 6)
    assert [project["_id"] for project in page["results"]] == [ids[2]]
