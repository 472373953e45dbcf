"""What goes wrong on request."""

import json
from collections.abc import Callable

import pytest

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    answer_with,
    break_off,
    do_later,
    lose_answer,
    refuse,
    slow_down,
)
from flywheel_site_simulator.faults import Lost
from tests.simulator.caller import Caller, Clock


@pytest.fixture
def project(site: SimulatedSite) -> str:
    return site.add_project()


def statuses(call: Callable[[], object], site: SimulatedSite, times: int) -> list[int]:
    for _ in range(times):
        call()
    return [request.status for request in site.requests[-times:]]


def test_a_refusal_does_no_work_and_says_why(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    site.fault(Fault(action=refuse(503, "Down for maintenance", retry_after_seconds=7)))
    response = caller.create(project)
    assert response.status == 503
    assert response.document["message"] == "Down for maintenance"
    assert response.headers["Retry-After"] == "7"
    assert site.creates() == 0


def test_a_gateways_page_is_no_json(caller: Caller, site: SimulatedSite, project: str) -> None:
    action = refuse(502, body=b"<html>Bad Gateway</html>", headers={"Server": "nginx"})
    site.fault(Fault(action=action))
    response = caller.create(project)
    assert (response.status, response.content) == (502, b"<html>Bad Gateway</html>")
    assert response.headers["Content-Type"] == "text/html"
    assert response.headers["Server"] == "nginx"


def test_a_message_may_echo_the_callers_key(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    site.fault(Fault(times=1, action=refuse(400, "The key {key} may not do this")))
    assert "secret-key" in caller.create(project).document["message"]
    site.fault(Fault(action=answer_with(b"<p>{key}</p>", 500)))
    assert caller.create(project).content == b"<p>secret-key</p>"


@pytest.mark.parametrize(
    ("how", "status", "broken", "logged"),
    [
        (500, 500, "", 500),
        (502, 502, "", 502),
        (504, 504, "", 504),
        ("reset", 201, "reset", 0),
        ("hang", 201, "hang", 0),
        ("truncated", 201, "truncated", 201),
        ("garbage", 200, "", 200),
    ],
)
def test_a_lost_answer_comes_after_the_work(
    caller: Caller,
    site: SimulatedSite,
    project: str,
    how: Lost,
    status: int,
    broken: str,
    logged: int,
) -> None:
    site.fault(Fault(action=lose_answer(how)))
    response = caller.create(project)
    assert (response.status, response.broken) == (status, broken)
    assert site.creates(project) == 1
    assert site.requests[-1].status == logged
    assert site.requests[-1].snapshot_id == site.snapshots(project)[0].id


def test_garbage_is_no_json(caller: Caller, site: SimulatedSite, project: str) -> None:
    site.fault(Fault(action=lose_answer("garbage")))
    with pytest.raises(json.JSONDecodeError):
        _ = caller.create(project).document


@pytest.mark.parametrize("how", ["reset", "hang"])
def test_a_connection_may_break_before_any_work(
    caller: Caller, site: SimulatedSite, project: str, how: str
) -> None:
    site.fault(Fault(action=break_off("reset" if how == "reset" else "hang")))
    assert caller.create(project).broken == how
    assert site.creates() == 0
    assert site.requests[-1].status == 0


@pytest.mark.parametrize("how", ["reset", 504, "garbage"])
def test_work_may_be_done_long_after_the_answer_is_lost(
    caller: Caller, site: SimulatedSite, clock: Clock, project: str, how: Lost
) -> None:
    site.fault(Fault(times=1, action=do_later(30.0, how)))
    begin = clock.now
    caller.create(project)
    clock.advance(29)
    assert caller.list(project).document == []
    assert site.creates() == 0
    clock.advance(2)
    assert len(caller.list(project).document) == 1
    assert site.creates(project) == 1
    assert site.snapshots(project)[0].created == begin + 30


def test_later_work_that_would_be_refused_never_comes(
    caller: Caller, site: SimulatedSite, clock: Clock
) -> None:
    closed = site.add_project(members=[])
    site.fault(Fault(None, action=do_later(1.0, 504)))
    assert caller.create(closed).status == 403
    assert Caller(site, "wrong").create(closed).status == 401
    assert caller.project(closed).status == 504
    clock.advance(2)
    assert site.creates() == 0


@pytest.mark.parametrize("body", [{}, [], {"status": "complete"}, "text", None, b"\xff"])
def test_an_answer_may_make_no_sense(
    caller: Caller, site: SimulatedSite, project: str, body: object
) -> None:
    snapshot = caller.start(project)
    site.fault(Fault("detail", action=answer_with(body)))
    response = caller.detail(project, snapshot)
    assert response.status == 200
    assert response.content == (body if isinstance(body, bytes) else json.dumps(body).encode())


def test_an_answer_that_makes_no_sense_may_come_without_the_work(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    site.fault(Fault(action=answer_with({}, 201, work=False)))
    assert caller.create(project).status == 201
    assert site.creates() == 0


def test_slowness_adds_to_the_sites_pace(clock: Clock) -> None:
    site = SimulatedSite(clock, create_seconds=1.0)
    site.fault(Fault(action=slow_down(2.0)))
    response = Caller(site).create(site.add_project())
    assert (response.status, response.delay_seconds) == (201, 3.0)


def test_a_fault_hits_the_kinds_that_it_names(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    site.fault(Fault({"list", "project"}, action=refuse(500)))
    assert caller.create(project).status == 201
    assert caller.list(project).status == caller.project(project).status == 500


def test_a_fault_of_no_kind_hits_every_call(caller: Caller, site: SimulatedSite) -> None:
    site.fault(Fault(None, action=refuse(503)))
    assert caller.ask("GET", "/api/auth/status").status == 503
    assert caller.ask("GET", "/nowhere").status == 503
    site.clear_faults()
    assert caller.ask("GET", "/api/auth/status").status == 200


def test_a_fault_hits_its_project_only(caller: Caller, site: SimulatedSite, project: str) -> None:
    other = site.add_project()
    site.fault(Fault(project_id=project, action=refuse(500)))
    assert caller.create(project).status == 500
    assert caller.create(other).status == 201


def test_a_fault_lets_some_through_and_wears_off(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    fault = Fault(after=2, times=2, action=refuse(500))
    site.fault(fault)
    seen = statuses(lambda: caller.create(project), site, 6)
    assert seen == [201, 201, 500, 500, 201, 201]
    assert fault.hits == 2


def test_the_first_fault_that_hits_wins(caller: Caller, site: SimulatedSite, project: str) -> None:
    site.fault(Fault(times=1, action=refuse(500)))
    site.fault(Fault(times=1, action=refuse(502)))
    assert statuses(lambda: caller.create(project), site, 3) == [500, 502, 201]


def test_an_outage_begins_and_ends_by_the_sites_clock(clock: Clock) -> None:
    site = SimulatedSite(clock, clock_offset_seconds=1000.0)
    caller, project = Caller(site), site.add_project()
    begin = clock.now + 1000.0
    site.fault(Fault(None, begin=begin + 10, end=begin + 20, action=refuse(503)))

    def ask() -> None:
        caller.create(project)
        clock.advance(5)

    assert statuses(ask, site, 5) == [201, 201, 503, 503, 201]


def test_an_action_by_itself_is_the_ordinary_answer(
    caller: Caller, site: SimulatedSite, project: str
) -> None:
    site.fault(Fault(action=Action()))
    assert caller.create(project).status == 201


@pytest.mark.parametrize("told", [True, False])
def test_what_comes_too_fast_is_a_429(clock: Clock, told: bool) -> None:
    site = SimulatedSite(clock, requests_per_second=2.0, retry_after=told)
    caller, project = Caller(site), site.add_project()
    assert statuses(lambda: caller.create(project), site, 3) == [201, 201, 429]
    response = caller.create(project)
    assert response.headers.get("Retry-After") == ("1" if told else None)
    assert response.document["status_code"] == 429
    clock.advance(0.5)
    assert statuses(lambda: caller.create(project), site, 2) == [201, 429]
    clock.advance(1000)
    assert statuses(lambda: caller.create(project), site, 3) == [201, 201, 429]
    assert site.creates() == 5


def test_a_slow_limit_says_how_long_to_wait(clock: Clock) -> None:
    site = SimulatedSite(clock, requests_per_second=0.1)
    caller = Caller(site)
    assert caller.projects().status == 200
    assert caller.projects().headers["Retry-After"] == "10"
