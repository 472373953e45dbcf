"""Creates as the site counts them: one of each project, whatever becomes of the answers."""

from dataclasses import replace
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    Action,
    accept,
    add_headers,
    answer_with,
    break_off,
    do_later,
    edit_answer,
    lose_answer,
    redirect,
    refuse,
)
from tests.support.loop import Loop
from tests.support.time import FakeClock

SENSELESS: tuple[object, ...] = ({}, [], None, {"status": "pending"})
LOST = [
    *(lose_answer(how) for how in (500, 502, 504, 507, 408, 499)),
    *(lose_answer(how) for how in ("reset", "hang", "truncated", "garbage")),
    *(answer_with(body) for body in SENSELESS),
]
NOT_THE_SITE_S = refuse(404, body=b"default backend - 404", headers={"Content-Type": "text/plain"})
NOT_DONE = [*(refuse(status) for status in (421, 425, 429, 503)), NOT_THE_SITE_S]


@pytest.fixture
def loop(clock: FakeClock, tmp_path: Path) -> Loop:
    return Loop(clock, tmp_path)


def test_a_snapshot_costs_a_create_and_its_polls(loop: Loop) -> None:
    [project] = loop.projects(1)

    last = loop.run()[project]

    assert [request.kind for request in loop.simulated.requests] == [
        "auth",
        "create",
        "detail",
    ]
    assert last.snapshot_id == loop.simulated.snapshots(project)[0].id
    assert last.started == 1


# Never twice


@pytest.mark.parametrize("action", LOST)
def test_a_snapshot_whose_answer_was_lost_is_found_again(loop: Loop, action: Action) -> None:
    projects = loop.projects(3)
    loop.fault("create", action)

    last = loop.run()

    assert [loop.simulated.creates(project) for project in projects] == [1, 1, 1]
    assert {row.status for row in last.values()} == {"complete"}


@pytest.mark.parametrize("seconds", [0.5, 6.5, 15.0, 29.0])
@pytest.mark.parametrize("answer", ["a lost answer", "202"])
def test_a_snapshot_that_comes_late_is_waited_for(loop: Loop, answer: str, seconds: float) -> None:
    projects = loop.projects(3)
    loop.fault("create", accept(seconds) if answer == "202" else do_later(seconds, 504))

    last = loop.run()

    assert [loop.simulated.creates(project) for project in projects] == [1, 1, 1]
    assert {row.status for row in last.values()} == {"complete"}


@pytest.mark.parametrize("age", [45, 120])
def test_a_list_from_a_cache_speaks_of_when_it_was_put_there(loop: Loop, age: int) -> None:
    project = loop.project()
    old: list[object] = []

    def cached(records: list[object]) -> object:
        old.append(records)
        return old[0]

    loop.fault("create", do_later(2.0, 504), times=1)
    loop.fault("list", replace(edit_answer(cached), headers={"Age": str(age)}), end=age)

    last = loop.run()[project]

    assert loop.simulated.creates(project) == 1
    assert last.is_complete


@pytest.mark.parametrize("seconds", [0.0, 4.0, 9.0])
def test_a_slow_list_speaks_of_when_it_was_asked_for(loop: Loop, seconds: float) -> None:
    project = loop.project()
    loop.simulated.behaviour.list_seconds = seconds
    loop.fault("create", do_later(25.0, 502))

    loop.run()

    assert loop.simulated.creates(project) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("behind", [503, 404, 200, 500])
def test_a_status_from_behind_a_redirect_is_never_the_create_s(
    loop: Loop, status: int, behind: int
) -> None:
    projects = loop.projects(3)
    loop.fault("create", redirect("/task/1", status))
    loop.fault("other", refuse(behind))

    last = loop.run()

    assert [loop.simulated.creates(project) for project in projects] == [1, 1, 1]
    assert {row.status for row in last.values()} == {"complete"}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"task": 1}', b"<html>"])
def test_what_was_accepted_and_is_never_seen_is_asked_for_once(
    loop: Loop, status: int, body: bytes
) -> None:
    project = loop.project()
    loop.fault("create", answer_with(body, status, work=False))

    last = loop.run(timeout_seconds=200.0, attempts=3)[project]

    assert loop.creates() == 1
    assert (last.status, last.snapshot_id) == ("pending", "")
    assert "accepted the request, but no snapshot was seen within 3 min 20 s" in last.error


@pytest.mark.parametrize("missing", ["created", "status", "_id"])
def test_none_is_sent_again_where_the_list_may_hide_one(loop: Loop, missing: str) -> None:
    projects = loop.projects(3)
    loop.fault("create", lose_answer("reset"))

    def edit(records: list[dict[str, object]]) -> object:
        return [{name: record[name] for name in record.keys() - {missing}} for record in records]

    loop.fault("list", edit_answer(edit))

    last = loop.run()

    assert [loop.simulated.creates(project) for project in projects] == [1, 1, 1]
    assert all("not known" in row.error for row in last.values())


@pytest.mark.parametrize("action", [refuse(502), refuse(503), refuse(403), break_off("hang")])
def test_none_is_sent_again_while_the_list_can_t_be_asked(loop: Loop, action: Action) -> None:
    project = loop.project()
    loop.fault("create", lose_answer("reset"), times=1)
    loop.fault("list", action)

    last = loop.run()[project]

    assert loop.creates() == 1
    assert (last.status, last.snapshot_id) == ("pending", "")
    assert "not known" in last.error


def test_only_when_the_list_shows_none_for_half_a_minute_is_it_asked_for_again(loop: Loop) -> None:
    loop.project()
    loop.fault("create", refuse(500), times=1)

    loop.run()

    first, second = loop.times("create")
    assert 30 <= second - first <= 32
    assert len(loop.times("list")) >= 3


def test_a_refusal_after_a_lost_answer_is_looked_behind(loop: Loop) -> None:
    project = loop.project()
    loop.fault("create", refuse(500), times=1)
    loop.fault("create", do_later(8.0), times=1)
    loop.fault("create", refuse(409, "in progress"))

    last = loop.run()[project]

    assert last.is_complete
    assert loop.simulated.creates(project) == 1


# Its own, not another one


@pytest.mark.parametrize("status", ["complete", "in_progress", "failed"])
def test_an_older_snapshot_is_not_taken_for_the_lost_one(loop: Loop, status: str) -> None:
    project = loop.project()
    old = loop.simulated.add_snapshot(project, status, loop.simulated.now() - 2.5)
    loop.fault("create", lose_answer(500))

    last = loop.run()[project]

    assert last.is_complete
    assert last.snapshot_id != old


@pytest.mark.parametrize(
    "cached",
    [
        {"Age": "7200", "Date": "Sun, 22 Nov 2026 10:00:00 GMT"},
        {"Date": "Sun, 22 Nov 2026 10:00:00 GMT"},
        {"Date": "nonsense"},
    ],
)
def test_an_old_answer_from_a_cache_makes_no_older_snapshot_its_own(
    loop: Loop, cached: dict[str, str]
) -> None:
    project = loop.project()
    old = loop.simulated.add_snapshot(project, "complete", loop.simulated.now() - 3_600.0)
    loop.fault("list", add_headers(cached), times=1)
    loop.fault("create", lose_answer("reset"))

    last = loop.run()[project]

    assert last.snapshot_id not in {"", old}
    assert loop.simulated.creates(project) == 1


@pytest.mark.parametrize("offset", [-333.3, 250.7])
def test_the_site_s_clock_may_differ_from_this_machine_s(
    clock: FakeClock, tmp_path: Path, offset: float
) -> None:
    loop = Loop(clock, tmp_path, clock_offset_seconds=offset, whole_seconds=True)
    project = loop.project()
    loop.fault("create", lose_answer("reset"))

    assert loop.run()[project].is_complete
    assert loop.simulated.creates(project) == 1


def test_a_snapshot_that_is_known_to_have_failed_is_not_taken(loop: Loop) -> None:
    project = loop.simulated.add_project()
    failed = loop.simulated.add_snapshot(project, "failed")
    loop.order(project, failed_id=failed)
    loop.fault("create", do_later(3.0))

    last = loop.run()[project]

    assert last.snapshot_id not in {"", failed}


def test_a_create_whose_answer_names_the_one_that_has_failed_has_made_another(loop: Loop) -> None:
    project = loop.project()
    loop.simulated.outcome(project, "failed")
    answers: list[dict[str, object]] = []

    def edit(record: dict[str, object]) -> object:
        answers.append(record)
        return {**answers[0], "status": "failed"} if len(answers) > 1 else record

    loop.fault("create", edit_answer(edit))

    last = loop.run(attempts=2)[project]

    assert last.is_complete
    assert last.snapshot_id == loop.simulated.snapshots(project)[-1].id
    assert loop.simulated.creates(project) == 2


def test_a_create_whose_answer_names_last_week_s_has_made_another(loop: Loop) -> None:
    project = loop.project()
    week = 7 * 86_400.0
    old = loop.simulated.add_snapshot(project, created=loop.simulated.now() - week)
    created = loop.at(-week).isoformat()
    loop.fault(
        "create", edit_answer(lambda _: {"_id": old, "status": "complete", "created": created})
    )

    last = loop.run()[project]

    assert last.is_complete
    assert last.snapshot_id == loop.simulated.snapshots(project)[-1].id != old
    assert loop.simulated.creates(project) == 1


# What a cut-off run has started


def test_what_a_run_that_was_cut_off_has_started_is_taken(loop: Loop) -> None:
    project = loop.project(since=-60.0, look_up=True)
    made = loop.simulated.add_snapshot(project, created=loop.simulated.now() - 30.0)

    last = loop.run()[project]

    assert (last.snapshot_id, last.started) == (made, 0)
    assert loop.creates() == 0


@pytest.mark.parametrize("seconds", [-61.5, -3_600.0])
def test_what_was_made_before_that_run_is_not_taken(loop: Loop, seconds: float) -> None:
    project = loop.project(since=-60.0, look_up=True)
    old = loop.simulated.add_snapshot(project, created=loop.simulated.now() + seconds)

    assert loop.run()[project].snapshot_id not in {"", old}
    assert loop.creates() == 1


@pytest.mark.parametrize("list_seconds", [0.0, 8.0])
def test_a_create_that_was_in_flight_when_a_run_was_cut_off_is_given_its_time(
    loop: Loop, list_seconds: float
) -> None:
    project = loop.project(since=0.0, look_up=True)
    loop.simulated.behaviour.list_seconds = list_seconds
    loop.fault("create", do_later(7.0), times=1)
    loop.site.create_snapshot(project)

    assert loop.run()[project].is_complete
    assert loop.simulated.creates(project) == 1


@pytest.mark.parametrize("kind", ["project", "list"])
@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_while_it_can_t_be_seen_what_a_cut_off_run_has_started_the_row_says_since_when_to_look(
    loop: Loop, kind: str, status: int
) -> None:
    project = loop.project(since=-180.0, look_up=True)
    loop.simulated.add_snapshot(project, created=loop.simulated.now() - 170.0)
    loop.fault({kind, "list"}, refuse(status))

    last = loop.run(timeout_seconds=60.0)[project]

    assert (last.status, last.snapshot_id, last.timestamp) == ("pending", "", loop.at(-180.0))
    assert "not known" in last.error
    assert loop.creates() == 0


def test_a_project_that_is_gone_gets_no_snapshot(loop: Loop) -> None:
    loop.order("f" * 24, look_up=True)

    last = loop.run()["f" * 24]

    assert last.status == "failed"
    assert "there is no such project" in last.error
    assert loop.creates() == 0


# Not done, and refused


@pytest.mark.parametrize("action", NOT_DONE)
def test_what_was_not_done_is_asked_again_without_looking(loop: Loop, action: Action) -> None:
    projects = loop.projects(3)
    loop.fault("create", action, times=6)

    last = loop.run()

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1, 1, 1]
    assert loop.times("list") == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [1.0, 11.0, 60.0])
def test_the_longer_of_the_site_s_wish_and_the_own_pause_is_waited(
    loop: Loop, status: int, seconds: float
) -> None:
    loop.project()
    loop.fault("create", refuse(status, retry_after_seconds=seconds), times=3)

    loop.run()

    first, second, third, last = loop.times("create")
    assert seconds <= second - first <= seconds + 1.0
    assert max(seconds, 2 * 0.8) <= third - second
    assert max(seconds, 4 * 0.8) <= last - third <= max(seconds, 4.0) + 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_for_good_fails_the_row_with_the_site_s_words_and_no_other(
    loop: Loop, status: int
) -> None:
    good, bad = loop.projects(2)
    loop.fault("create", refuse(status, "You shall not pass"), project_id=bad)

    last = loop.run()

    assert last[good].is_complete
    assert (last[bad].status, last[bad].snapshot_id) == ("failed", "")
    assert last[bad].error == f"the site says {status}: You shall not pass"
    assert loop.creates(bad) == 1


@pytest.mark.parametrize("retry_after", [None, 1.0, 30.0])
def test_what_is_refused_while_others_are_built_is_asked_again_as_builds_end(
    clock: FakeClock, tmp_path: Path, retry_after: float | None
) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(40.0, 40.0))
    projects = loop.projects(8)

    def refuse_the_third(_: object) -> None:
        running = sum(
            made.status != "complete"
            for project in projects
            for made in loop.simulated.snapshots(project)
        )
        loop.simulated.clear_faults()
        if running >= 2:
            loop.fault("create", refuse(429, retry_after_seconds=retry_after))

    loop.transport.before = refuse_the_third

    last = loop.run(timeout_seconds=300.0)

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1] * 8
    assert loop.creates() <= 60


# The log


def test_the_log_names_each_project_before_its_create_is_sent(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    project = loop.project()
    named: list[bool] = []
    loop.transport.before = lambda request: named.append(
        request.method != "POST" or f"({project}): starting a snapshot" in caplog.text
    )

    loop.run()

    assert named
    assert all(named)


def test_the_log_says_no_snapshot_was_started_only_where_that_is_known(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lost, refused = loop.projects(2)
    loop.fault("create", lose_answer(502), project_id=lost)
    loop.fault("create", refuse(409), project_id=refused)
    loop.fault("list", refuse(403))

    loop.run(timeout_seconds=60.0)

    told = {
        project: [r.getMessage() for r in caplog.records if project in r.getMessage()]
        for project in (lost, refused)
    }
    assert any("no snapshot was started" in line for line in told[refused])
    assert not any("no snapshot was started" in line for line in told[lost])
