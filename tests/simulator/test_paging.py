"""Pages of projects and of snapshots."""

import pytest

from flywheel_site_simulator import Request, Response, SimulatedSite
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
        {"after_id": "0" * 24, "skip": "1"},
        {"after_id": "0" * 24, "page": "2"},
        {"page": "two"},
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


def test_a_site_may_answer_422_to_a_bad_filter(caller: Caller, site: SimulatedSite) -> None:
    site.behaviour.bad_filter_status = 422
    assert caller.projects(filter="label").status == 422
    assert caller.projects(filter="").status == 422
    assert caller.projects(limit="many").status == 400


def test_a_site_may_take_an_empty_filter_for_none(caller: Caller, site: SimulatedSite) -> None:
    site.behaviour.empty_filter_is_none = True
    project = site.add_project()
    assert ids(caller.projects(filter="")) == [project]
    assert caller.projects(filter=",").status == 400


def test_a_site_may_find_nothing_by_a_group_in_quotes(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project("neuro", "A")
    quoted = ('group="neuro"', 'group._id="neuro"', 'parents.group="neuro"')
    plain = ("group=neuro", "group._id=neuro", "group=~^neuro$", 'label="A"', 'group!="neuro"')
    assert [ids(caller.projects(filter=text)) for text in quoted] == [[project]] * 3
    site.behaviour.quoted_parents_match = False
    assert [ids(caller.projects(filter=text)) for text in quoted] == [[]] * 3
    assert [ids(caller.projects(filter=text)) for text in plain] == [[project]] * 5


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


def test_pages_are_counted_from_one_and_entries_can_be_skipped(
    caller: Caller, projects: list[str]
) -> None:
    assert ids(caller.projects(limit="40", page="1")) == projects[:40]
    assert ids(caller.projects(limit="40", page="3")) == projects[80:120]
    assert ids(caller.projects(limit="40", skip="3")) == projects[3:43]
    assert ids(caller.projects(limit="40", page="16")) == []


def test_a_list_comes_with_counts_where_the_caller_asks_for_pages(
    caller: Caller, site: SimulatedSite
) -> None:
    project = site.add_project()
    snapshot = site.add_snapshot(project)
    headers = {
        "authorization": f"scitran-user {caller.key}",
        "x-accept-feature": "safe-redirect, pagination",
    }
    job = site.jobs.add()
    for path, identifier in (
        ("/api/projects", project),
        (f"/snapshot/projects/{project}/snapshots", snapshot),
        ("/api/jobs", job.id),
    ):
        page = site.handle(Request("GET", path, {"limit": "1"}, headers)).document
        assert (page["count"], page["total"]) == (1, 1)
        assert [entry["_id"] for entry in page["results"]] == [identifier]


def test_a_list_of_snapshots_comes_in_either_shape(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project()
    snapshot = caller.start(project)
    bare = caller.list(project).document
    site.behaviour.list_shape = "results"
    counted = caller.list(project).document
    assert [record["_id"] for record in bare] == [snapshot]
    assert counted == {"count": 1, "total": 1, "results": bare}


def test_a_site_may_tell_whole_seconds_only(
    caller: Caller, site: SimulatedSite, clock: Clock
) -> None:
    clock.now += 0.75
    site.behaviour.whole_seconds = True
    project = site.add_project()
    caller.start(project)
    [record] = caller.list(project).document
    assert record["created"].endswith(".000+00:00")
