"""What becomes of a snapshot as time passes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from flywheel_site_simulator import SimulatedSite
from tests.simulator.caller import Caller, Clock

NOBODY = "0123456789abcdef01234567"


def test_a_create_answers_the_record_of_a_pending_snapshot(caller: Caller) -> None:
    project = caller.site.add_project("neuro")
    response = caller.create(project)
    assert response.status == 201
    record = response.document
    assert record["status"] == "pending"
    assert record["created"] == "2027-01-15T08:00:00.000+00:00"
    assert record["parents"] == {"group": "neuro", "project": project}
    assert caller.detail(project, record["_id"]).document["_id"] == record["_id"]


def test_a_snapshot_is_pending_then_in_progress_then_complete(clock: Clock) -> None:
    site = SimulatedSite(clock, build_seconds=(100.0, 100.0))
    caller, project = Caller(site), site.add_project()
    snapshot = caller.start(project)
    seen = []
    for _ in range(11):
        seen.append(caller.status(project, snapshot))
        clock.advance(10)
    assert seen == ["pending"] + ["in_progress"] * 9 + ["complete"]


def test_a_snapshot_that_takes_no_time_is_complete_at_once(caller: Caller) -> None:
    project = caller.site.add_project()
    assert caller.status(project, caller.start(project)) == "complete"


def test_outcomes_are_used_up_in_order(caller: Caller) -> None:
    project = caller.site.add_project()
    caller.site.outcome(project, "failed", "archiving")
    caller.site.outcome(project, "failed")
    ends = [caller.status(project, caller.start(project)) for _ in range(4)]
    assert ends == ["failed", "archiving", "failed", "complete"]


def test_a_failed_snapshot_may_say_why(caller: Caller) -> None:
    project, other = caller.site.add_project(), caller.site.add_project()
    caller.site.outcome(project, "failed", "complete")
    caller.site.failure_reason(project, "Out of disk")
    caller.site.failure_reason(project, "ENOSPC", "reason")
    assert "error" not in caller.create(project).document
    caller.start(project)
    caller.site.add_snapshot(other, "failed")
    failed, complete = caller.list(project).document
    assert (failed["error"], failed["reason"]) == ("Out of disk", "ENOSPC")
    assert caller.detail(project, failed["_id"]).document == failed
    assert complete.keys().isdisjoint({"error", "reason"})
    assert "error" not in caller.list(other).document[0]


def test_a_state_that_nobody_knows_stays_for_good(clock: Clock) -> None:
    site = SimulatedSite(clock, build_seconds=(10.0, 10.0))
    caller, project = Caller(site), site.add_project()
    site.outcome(project, "archiving")
    snapshot = caller.start(project)
    clock.advance(1e6)
    assert caller.status(project, snapshot) == "archiving"


def test_only_so_many_are_built_at_a_time_and_the_first_come_first(clock: Clock) -> None:
    site = SimulatedSite(clock, build_seconds=(10.0, 10.0), build_slots=2)
    caller = Caller(site)
    projects = [site.add_project() for _ in range(5)]
    for project in projects:
        caller.start(project)
    clock.advance(5)
    states = [site.snapshots(project)[0].status for project in projects]
    assert states == ["in_progress", "in_progress", "pending", "pending", "pending"]
    clock.advance(9)
    states = [site.snapshots(project)[0].status for project in projects]
    assert states == ["complete", "complete", "in_progress", "in_progress", "pending"]


@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=20), st.integers(1, 4), st.integers(0, 2**32)
)
def test_never_more_are_in_progress_than_there_are_slots(
    pauses: list[float], slots: int, seed: int
) -> None:
    clock = Clock()
    site = SimulatedSite(clock, seed, build_seconds=(1.0, 30.0), build_slots=slots)
    project, caller = site.add_project(), Caller(site)
    for pause in pauses:
        caller.start(project)
        clock.advance(pause)
        states = Counter(item.status for item in site.snapshots(project))
        assert states["in_progress"] <= slots
    clock.advance(30.0 * len(pauses))
    assert {item.status for item in site.snapshots(project)} == {"complete"}


def test_the_same_seed_makes_the_same_site(clock: Clock) -> None:
    def course(seed: int) -> list[object]:
        site = SimulatedSite(clock, seed, build_seconds=(1.0, 9.0))
        project = site.add_project()
        return [Caller(site).create(project).content, site.snapshots(project)]

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_ids_grow_with_time(caller: Caller, clock: Clock) -> None:
    project = caller.site.add_project()
    made = []
    for _ in range(50):
        made.append(caller.start(project))
        clock.advance(0.4)
    assert made == sorted(set(made))


def test_the_sites_clock_may_differ_from_ours(clock: Clock) -> None:
    site = SimulatedSite(clock, clock_offset_seconds=-3600.0)
    caller, project = Caller(site), site.add_project()
    response = caller.create(project)
    assert response.document["created"] == "2027-01-15T07:00:00.000+00:00"
    assert response.headers["Date"] == "Fri, 15 Jan 2027 07:00:00 GMT"
    assert caller.project(NOBODY).headers["Date"] == "Fri, 15 Jan 2027 07:00:00 GMT"
    assert site.requests[0].time == clock.now


def test_the_date_is_that_of_the_answer_not_of_the_question(clock: Clock) -> None:
    site = SimulatedSite(clock, create_seconds=5.0)
    response = Caller(site).create(site.add_project())
    assert response.delay_seconds == 5.0
    assert response.headers["Date"] == "Fri, 15 Jan 2027 08:00:05 GMT"
    assert response.document["created"].startswith("2027-01-15T08:00:00")


def test_each_kind_of_call_has_its_pace(clock: Clock) -> None:
    site = SimulatedSite(
        clock, create_seconds=1.0, status_seconds=2.0, list_seconds=3.0, page_seconds=4.0
    )
    caller, project = Caller(site), site.add_project()
    snapshot = caller.start(project)
    answers = [
        caller.create(project),
        caller.detail(project, snapshot),
        caller.list(project),
        caller.projects(),
        caller.project(project),
    ]
    assert [answer.delay_seconds for answer in answers] == [1.0, 2.0, 3.0, 4.0, 0.0]


def test_a_create_succeeds_where_no_such_project_exists(caller: Caller) -> None:
    response = caller.create(NOBODY)
    assert response.status == 201
    assert caller.status(NOBODY, response.document["_id"]) == "complete"


def test_an_older_snapshot_of_somebody_else_is_listed_but_no_create(
    caller: Caller, clock: Clock
) -> None:
    site, project = caller.site, caller.site.add_project()
    old = site.add_snapshot(project, "failed", created=clock.now - 60)
    running = site.add_snapshot(project, build_seconds=100.0)
    clock.advance(50)
    assert [(item.id, item.status) for item in site.snapshots(project)] == [
        (old, "failed"),
        (running, "in_progress"),
    ]
    assert site.creates(project) == site.creates() == 0


def test_a_deleted_snapshot_is_gone_but_was_created(caller: Caller) -> None:
    site, project = caller.site, caller.site.add_project()
    snapshot = caller.start(project)
    site.delete_snapshot(project, snapshot)
    site.delete_snapshot(project, snapshot)
    assert caller.detail(project, snapshot).status == 404
    assert caller.list(project).document == []
    assert site.creates(project) == 1


def test_every_request_is_logged_with_what_came_of_it(caller: Caller, clock: Clock) -> None:
    site, project = caller.site, caller.site.add_project()
    snapshot = caller.start(project)
    clock.advance(1)
    caller.list(project, limit="5")
    caller.detail(project, NOBODY)
    seen = [
        (r.time - clock.now, r.kind, r.project_id, r.snapshot_id, r.status) for r in site.requests
    ]
    assert seen == [
        (-1, "create", project, snapshot, 201),
        (0, "list", project, "", 200),
        (0, "detail", project, NOBODY, 404),
    ]
    assert site.requests[1].query == {"limit": "5"}


def test_anybody_with_rights_on_the_project_can_delete_a_snapshot(caller: Caller) -> None:
    project = caller.site.add_project()
    snapshot = caller.start(project)
    path = f"/snapshot/projects/{project}/snapshots/{snapshot}"
    assert caller.ask("DELETE", path).status == 200
    assert caller.detail(project, snapshot).status == 404
    assert caller.ask("DELETE", path).status == 404
    assert caller.list(project).document == []
