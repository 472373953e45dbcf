"""Pages of projects and of snapshots."""

import pytest

from flywheel_site_simulator import Response, SimulatedSite
from tests.simulator.caller import Caller, Clock


def ids(response: Response) -> list[str]:
    assert response.status == 200, response.content
    return [document["_id"] for document in response.document]


@pytest.fixture
def projects(site: SimulatedSite) -> list[str]:
    return [site.add_project("neuro", f"Study {number % 10}") for number in range(600)]


def test_projects_come_by_id_250_at_a_time(caller: Caller, projects: list[str]) -> None:
    assert ids(caller.projects()) == sorted(projects)[:250]


def test_after_id_goes_on_until_an_empty_page(caller: Caller, projects: list[str]) -> None:
    seen: list[str] = []
    while page := ids(caller.projects(limit="250", after_id=seen[-1] if seen else "")):
        seen += page
    assert seen == sorted(projects)


def test_a_filter_is_applied_before_the_page_is_cut(caller: Caller, projects: list[str]) -> None:
    first = ids(caller.projects(filter="label=~7$", limit="40"))
    second = ids(caller.projects(filter="label=~7$", limit="40", after_id=first[-1]))
    assert (len(first), len(second)) == (40, 20)
    assert first + second == [name for n, name in enumerate(projects) if n % 10 == 7]


def test_projects_can_be_sorted(caller: Caller, site: SimulatedSite) -> None:
    a, b, c = (site.add_project(group) for group in ("b", "c", "a"))
    assert ids(caller.projects(sort="parents.group")) == [c, a, b]
    assert ids(caller.projects(sort="group:desc")) == [b, a, c]


def test_a_limit_of_zero_is_none(caller: Caller, projects: list[str]) -> None:
    assert ids(caller.projects(limit="0")) == projects


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "many"},
        {"limit": "-1"},
        {"sort": "label:up"},
        {"after_id": "0" * 24, "sort": "label"},
        {"filter": "label"},
        {"filter": ""},
    ],
)
def test_a_parameter_without_sense_is_a_400_that_says_so(
    caller: Caller, query: dict[str, str]
) -> None:
    response = caller.projects(**query)
    assert response.status == 400
    assert response.document["message"].startswith("Invalid")


def test_the_newest_snapshot_comes_first_when_asked(
    caller: Caller, site: SimulatedSite, clock: Clock
) -> None:
    project = site.add_project()
    made = []
    for _ in range(3):
        made.append(caller.start(project))
        clock.advance(10)
    assert ids(caller.list(project)) == made
    assert ids(caller.list(project, sort="created:desc", limit="1")) == [made[-1]]
    assert ids(caller.list(project, after_id=made[0])) == made[1:]


def test_snapshots_can_be_filtered(caller: Caller, site: SimulatedSite, clock: Clock) -> None:
    project = site.add_project()
    old = site.add_snapshot(project, "failed", created=clock.now - 86_400)
    new = caller.start(project)
    assert ids(caller.list(project, filter="status=failed")) == [old]
    assert ids(caller.list(project, filter=f"parents.project={project},_id={new}")) == [new]
    assert ids(caller.list(project, filter="created<2027-01-15")) == [old]


def test_a_list_of_snapshots_comes_in_either_shape(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project()
    snapshot = caller.start(project)
    bare = caller.list(project).document
    site.behaviour.list_shape = "results"
    counted = caller.list(project).document
    assert [record["_id"] for record in bare] == [snapshot]
    assert counted == {"count": 1, "total_count": 1, "results": bare}


def test_a_site_may_tell_whole_seconds_only(
    caller: Caller, site: SimulatedSite, clock: Clock
) -> None:
    clock.now += 0.75
    site.behaviour.whole_seconds = True
    project = site.add_project()
    caller.start(project)
    [record] = caller.list(project).document
    assert record["created"].endswith(".000000+00:00")
