"""How much a site is asked: the pace, calls at a time, what it can't do, and outages."""

from itertools import pairwise
from pathlib import Path

import pytest

from flywheel_site_simulator import Action, break_off, refuse, slow_down
from tests.support.loop import Loop
from tests.support.time import FakeClock

pytestmark = pytest.mark.usefixtures("unmeasured")

MAX_IN_FLIGHT = 16
BUILD_SECONDS = 20.0  # of the simulated site, at the most
NOT_THE_SITE_S = refuse(404, body=b"default backend - 404", headers={"Content-Type": "text/plain"})
FAILURES = [refuse(503), refuse(502), refuse(408), NOT_THE_SITE_S, break_off("reset")]


@pytest.fixture
def loop(clock: FakeClock, tmp_path: Path) -> Loop:
    return Loop(clock, tmp_path)


# The pace


def test_the_last_few_are_asked_four_times_a_second_and_less_often_as_they_grow_old(
    loop: Loop,
) -> None:
    loop.running(seconds=3_600)

    loop.run(timeout_seconds=4_000.0)

    asked = loop.times("detail")
    assert 36 <= len([at for at in asked if at < 10]) <= 40
    assert len([at for at in asked if at > 1_800]) < 200
    assert 3_600 <= loop.clock.seconds <= 3_600 * 1.011


@pytest.mark.parametrize(
    ("projects", "create_seconds", "longest", "calls", "ratio"),
    [(5, 0.001, 1.0, 6.0, 1.25), (500, 0.1, 30.0, 4.5, 1.05), (5_000, 0.02, 20.0, 3.0, 1.25)],
)
def test_a_batch_needs_little_more_than_the_site_and_few_calls(
    loop: Loop, projects: int, create_seconds: float, longest: float, calls: float, ratio: float
) -> None:
    behaviour = loop.simulated.behaviour
    behaviour.create_seconds, behaviour.status_seconds = create_seconds, 0.003
    behaviour.build_seconds = (min(5.0, longest), longest)
    loop.projects(projects)

    loop.run()

    least = projects * create_seconds / MAX_IN_FLIGHT + longest
    assert loop.clock.seconds <= ratio * least
    assert len(loop.times()) <= calls * projects


def test_where_snapshots_wait_for_one_another_the_last_is_seen_soon(loop: Loop) -> None:
    loop.simulated.behaviour.build_slots = 20
    loop.simulated.behaviour.build_seconds = (100.0, 200.0)
    names = loop.projects(100)

    loop.run(timeout_seconds=5_000.0)

    finishes = [made.finishes for name in names for made in loop.simulated.snapshots(name)]
    assert loop.clock.unix() - max(finishes) < 1.0
    assert len(loop.times("detail")) < 12 * loop.clock.seconds


def test_what_ends_all_at_once_after_long_is_seen_soon(loop: Loop) -> None:
    for _ in range(1_000):
        loop.running(seconds=600)

    loop.run(timeout_seconds=1_000.0)

    assert loop.clock.seconds <= 600 * 1.05
    assert len(loop.times("detail")) <= 1_000 * 600 / 25


def test_rows_whose_snapshot_was_running_are_all_asked_at_once(loop: Loop) -> None:
    loop.simulated.behaviour.status_seconds = 0.05
    for _ in range(1_000):
        loop.running(seconds=600)

    loop.run(timeout_seconds=20.0)

    first = [min(loop.times("detail", project_id=row.project.id)) for row in loop.rows]
    assert max(first) < 1_000 / MAX_IN_FLIGHT * 0.05 * 1.5


def test_the_final_poll_asks_everything_once(loop: Loop) -> None:
    loop.simulated.behaviour.status_seconds = 0.0015
    for _ in range(3_000):
        loop.running(seconds=60)

    loop.run(timeout_seconds=5.0)

    assert len([at for at in loop.times("detail") if at >= 5]) >= 2_900


# How many at a time


@pytest.mark.parametrize("best", [4.0, 8.0, 16.0])
def test_a_site_that_slows_down_under_load_gets_about_as_much_done_as_it_can(
    loop: Loop, best: float
) -> None:
    behaviour = loop.simulated.behaviour
    behaviour.create_seconds, behaviour.slows_down_at = 0.1, best
    loop.projects(1_000)

    loop.run(timeout_seconds=6_000.0)

    at_best = 1_000 / best * 0.1 * 2
    assert loop.times("create")[-1] <= at_best / 0.85
    assert max(call.ended - call.sent for call in loop.transport.carried) < 5.0


@pytest.mark.parametrize(
    ("best", "idle_seconds"), [(1, 0.8), (2, 0.5), (2, 2.0), (3, 2.0), (4, 3.0)]
)
def test_where_more_calls_would_end_in_time_outs_none_does(
    loop: Loop, best: float, idle_seconds: float
) -> None:
    behaviour = loop.simulated.behaviour
    behaviour.create_seconds = behaviour.status_seconds = idle_seconds
    behaviour.slows_down_at = best
    loop.projects(60)

    last = loop.run(timeout_seconds=6_000.0)

    assert {row.status for row in last.values()} == {"complete"}
    took = {(call.method, call.ended - call.sent) for call in loop.transport.carried}
    assert all(seconds < (30.0 if method == "POST" else 10.0) for method, seconds in took)
    at_best = len(loop.times()) / best * idle_seconds * 2
    assert loop.clock.seconds <= 1.3 * at_best + BUILD_SECONDS


@pytest.mark.parametrize("kind", ["create", "detail", "list", "project"])
@pytest.mark.parametrize("seconds", [0.3, 4.0, 40.0])
def test_no_more_than_sixteen_calls_are_under_way(loop: Loop, kind: str, seconds: float) -> None:
    loop.projects(24, look_up=True)
    loop.projects(24, since=-60.0)
    for _ in range(24):
        loop.running(seconds=30)
    loop.fault(kind, slow_down(seconds))

    loop.run(timeout_seconds=60.0)

    assert loop.most_in_flight <= MAX_IN_FLIGHT


def test_the_first_creates_are_sent_as_fast_as_the_site_answers(loop: Loop) -> None:
    loop.simulated.behaviour.create_seconds = 0.1
    loop.projects(500)

    loop.run()

    assert loop.times("create")[-1] < 500 / MAX_IN_FLIGHT * 0.1 + 0.5


# What hangs


def test_a_call_that_hangs_is_not_sent_beside_itself(loop: Loop) -> None:
    row = loop.running()
    loop.fault("detail", break_off("hang"))

    loop.run(timeout_seconds=60.0)

    asked = loop.times("detail", project_id=row.project.id)
    assert all(later - earlier >= 10 for earlier, later in pairwise(asked))


@pytest.mark.parametrize("hanging", [1, 20])
def test_some_that_hang_hold_none_of_the_others_up(loop: Loop, hanging: int) -> None:
    slow = [loop.running(seconds=10_000) for _ in range(hanging)]
    good = [loop.running(seconds=15) for _ in range(30)]
    for row in slow:
        loop.fault("detail", break_off("hang"), project_id=row.project.id)

    last = loop.run(timeout_seconds=40.0)

    finished = [max(loop.times("detail", project_id=row.project.id)) for row in good]
    assert {last[row.project.id].status for row in good} == {"complete"}
    assert max(finished) < 15 + 5  # once, before it is known what hangs


@pytest.mark.parametrize("kind", ["list", "project"])
def test_lists_and_look_ups_that_hang_hold_no_poll_up(loop: Loop, kind: str) -> None:
    if kind == "list":
        loop.projects(40, since=-60.0)
    else:
        loop.projects(40, look_up=True)
    loop.fault(kind, break_off("hang"))
    good = [loop.running(seconds=60) for _ in range(10)]

    loop.run(timeout_seconds=100.0)

    for row in good:
        asked = [at for at in loop.times("detail", project_id=row.project.id) if 30 < at < 60]
        assert all(later - earlier < 12 for earlier, later in pairwise(asked))


# A rate limit


def test_at_twenty_requests_a_second_everything_is_started_without_hammering(
    clock: FakeClock, tmp_path: Path
) -> None:
    loop = Loop(clock, tmp_path, requests_per_second=20)
    projects = loop.projects(200)

    last = loop.run()

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1] * 200
    refused = sum(request.status == 429 for request in loop.simulated.requests)
    assert refused <= 40
    assert clock.seconds < 60


def test_a_limit_by_the_minute_costs_no_project_its_snapshot(loop: Loop) -> None:
    loop.simulated.behaviour.create_seconds = 0.3
    projects = loop.projects(90)
    for minute in range(3):
        refusing = refuse(429, retry_after_seconds=60)
        loop.fault("create", refusing, begin=60.0 * minute + 0.5, end=60.0 * minute + 60)

    last = loop.run()

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1] * 90
    assert sum(request.status == 429 for request in loop.simulated.requests) <= 3 * MAX_IN_FLIGHT


@pytest.mark.parametrize("kind", ["create", "detail"])
def test_while_a_429_asks_for_a_pause_no_call_of_the_kind_is_sent(loop: Loop, kind: str) -> None:
    loop.projects(40)
    for _ in range(40):
        loop.running(seconds=60)
    loop.simulated.behaviour.create_seconds = 0.2
    loop.fault(kind, refuse(429, retry_after_seconds=10), after=5, times=1)

    loop.run()

    refused_at = next(
        at
        for at, request in zip(loop.times(), loop.simulated.requests[1:], strict=True)
        if request.status == 429
    )
    asked = [at for at in loop.times(kind) if refused_at + 0.5 < at < refused_at + 9.9]
    assert asked == []


def test_a_site_that_asks_to_be_left_alone_is(loop: Loop) -> None:
    for _ in range(10):
        loop.running(seconds=90)
    loop.fault("detail", refuse(503, retry_after_seconds=20), begin=10, end=70)

    loop.run()

    assert sum(request.status == 503 for request in loop.simulated.requests) <= 4 * 10


# Outages


@pytest.mark.parametrize("action", [*FAILURES, break_off("hang")])
@pytest.mark.parametrize("kinds", [None, "create", "detail"])
def test_an_outage_of_half_a_minute_costs_nothing(
    clock: FakeClock, tmp_path: Path, action: Action, kinds: str | None
) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(5.0, 45.0))
    loop.simulated.behaviour.create_seconds = 1.0
    projects = loop.projects(24)
    loop.fault(kinds, action, begin=2, end=32)

    last = loop.run(timeout_seconds=200.0)

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1] * 24


@pytest.mark.parametrize("action", FAILURES)
def test_creates_that_always_fail_are_few_a_minute_and_the_deadline_ends_it(
    loop: Loop, action: Action
) -> None:
    loop.projects(2_000)
    loop.fault("create", action)

    last = loop.run(timeout_seconds=600.0)

    assert 600 <= loop.clock.seconds < 600 + 60
    creates = loop.times("create")
    assert len(creates) <= 32 + 10 * 6
    assert len([at for at in creates if 60 <= at < 120]) <= 6
    assert all("within 10 min" in row.error for row in last.values())


def test_twenty_thousand_that_could_not_be_asked_for_are_told_why(loop: Loop) -> None:
    loop.projects(20_000)
    loop.fault("create", refuse(503, "Down for the day"))

    last = loop.run(timeout_seconds=600.0)

    assert 600 <= loop.clock.seconds < 660
    assert {row.status for row in last.values()} == {"failed"}
    assert all("Down for the day" in row.error for row in last.values())


@pytest.mark.parametrize("action", [*FAILURES, break_off("hang")])
@pytest.mark.parametrize("kind", ["project", "list"])
def test_reads_that_always_fail_are_few_a_minute_and_the_deadline_ends_it(
    loop: Loop, kind: str, action: Action
) -> None:
    loop.projects(500, look_up=kind == "project", since=-60.0 if kind == "list" else None)
    loop.fault(kind, action)

    last = loop.run(timeout_seconds=600.0)

    assert 600 <= loop.clock.seconds < 600 + 60
    assert len([at for at in loop.times() if 120 <= at < 180]) <= 6
    assert loop.creates() == 0
    assert all("within 10 min" in row.error for row in last.values())


@pytest.mark.parametrize("action", [refuse(503), refuse(503, retry_after_seconds=3_600)])
@pytest.mark.parametrize("projects", [1, 10, 40])
def test_an_outage_in_which_all_were_asked_for_counts_as_waiting_from_its_beginning(
    loop: Loop, projects: int, action: Action
) -> None:
    loop.projects(projects)
    loop.fault("create", action)

    loop.run(timeout_seconds=600.0)

    assert 600 <= loop.clock.seconds < 600 + 60


def test_an_outage_that_ends_lets_all_go_on(loop: Loop) -> None:
    projects = loop.projects(300)
    loop.fault("create", refuse(503), end=240)

    last = loop.run(timeout_seconds=600.0)

    assert {row.status for row in last.values()} == {"complete"}
    assert [loop.simulated.creates(project) for project in projects] == [1] * 300
    assert loop.clock.seconds < 240 + 60
