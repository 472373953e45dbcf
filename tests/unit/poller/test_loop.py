"""The loop: until everything is finished or the time is up, by an injected clock.

Creates are in test_poller_creates.py, second attempts in test_poller_restarts.py, the pace and what
a site can't do in test_poller_limits.py, the report on disk in test_poller_report.py.
"""

from pathlib import Path

import pytest

from flywheel_site_simulator import Action, answer_with, break_off, edit_answer, refuse
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from tests.support.loop import Loop
from tests.support.time import FakeClock

BUILD_SECONDS = 20.0
FINAL_POLL_SECONDS = 15.0
NOTHING_AGAIN = 0  # attempts: what has failed stays so


@pytest.fixture
def loop(clock: FakeClock, tmp_path: Path) -> Loop:
    return Loop(clock, tmp_path)


def test_it_ends_when_everything_is_finished(loop: Loop) -> None:
    rows = [loop.running(seconds=seconds) for seconds in (3, 10, 20)]

    last = loop.run()

    assert {last[row.project.id].status for row in rows} == {"complete"}
    assert 20 <= loop.clock.seconds < 22


def test_nothing_to_wait_for_takes_no_time_and_no_call(loop: Loop) -> None:
    row = SnapshotRecord(Project("a" * 24, "x", "g"), status="failed", error="it failed")
    loop.rows.append(row)

    assert loop.run() == {row.project.id: row}
    assert loop.clock.seconds == 0
    assert loop.times() == []


def test_what_is_started_is_waited_for(clock: FakeClock, tmp_path: Path) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(5.0, 30.0))
    loop.projects(20)

    assert {row.status for row in loop.run().values()} == {"complete"}


# The deadline


def test_ten_minutes_pass_and_what_is_unfinished_is_told_as_it_stands(loop: Loop) -> None:
    row = loop.running(seconds=3_000)

    last = loop.run()[row.project.id]

    assert (last.status, last.snapshot_id) == ("in_progress", row.snapshot_id)
    assert last.error.startswith("not finished within 10 min 0 s: the site is still at it")
    assert 600 <= loop.clock.seconds < 601


def test_the_time_runs_from_when_every_project_was_asked_for_once(loop: Loop) -> None:
    loop.simulated.behaviour.create_seconds = 8.0
    loop.projects(32)
    loop.running(seconds=10_000)

    loop.run(timeout_seconds=60.0)

    all_asked = loop.times("create")[-1] + 8.0
    assert all_asked + 59.99 <= loop.clock.seconds < all_asked + 61


def test_a_second_attempt_does_not_move_the_end(loop: Loop) -> None:
    project = loop.running("failed", seconds=30).project.id
    loop.simulated.outcome(project, "in_progress")

    last = loop.run(timeout_seconds=60.0, attempts=2)[project]

    assert last.snapshot_id
    assert last.status == "in_progress"
    assert 60 <= loop.clock.seconds < 61


def test_at_the_deadline_it_looks_once_more(loop: Loop) -> None:
    for _ in range(400):  # with so many, each is asked every five seconds only
        loop.running(seconds=19.9)

    last = loop.run(timeout_seconds=20.0)

    assert {row.status for row in last.values()} == {"complete"}


@pytest.mark.parametrize("kind", ["accepted", "lost"])
def test_at_the_deadline_it_looks_once_more_for_what_was_not_seen(loop: Loop, kind: str) -> None:
    project = loop.project()
    answer = answer_with(b"", 202 if kind == "accepted" else 502, work=False)
    loop.fault("create", answer)
    made: list[str] = []

    def before(_: object) -> None:
        if loop.clock.seconds >= 19.5 and not made:
            made.append(loop.simulated.add_snapshot(project, created=loop.simulated.now()))

    loop.transport.before = before

    assert loop.run(timeout_seconds=20.0)[project].is_complete


@pytest.mark.parametrize("timeout", [0.5, 1.0, 3.0])
def test_the_last_look_is_taken_also_where_the_time_is_short(loop: Loop, timeout: float) -> None:
    for _ in range(1_000):
        loop.running(seconds=timeout)

    assert {row.status for row in loop.run(timeout_seconds=timeout).values()} == {"complete"}


@pytest.mark.parametrize("answer_seconds", [0.0, 0.05])
@pytest.mark.usefixtures("unmeasured")
def test_more_rows_than_a_second_allows_are_all_looked_at_once_more(
    loop: Loop, answer_seconds: float
) -> None:
    loop.simulated.behaviour.status_seconds = answer_seconds
    for _ in range(5_000):
        loop.running(seconds=0.5)

    assert {row.status for row in loop.run(timeout_seconds=1.0).values()} == {"complete"}


def test_no_reason_says_more_than_is_known(loop: Loop) -> None:
    rows = [loop.running(seconds=10_000) for _ in range(3)]
    loop.fault("detail", break_off("hang"), project_id=rows[0].project.id)

    last = loop.run(timeout_seconds=10.0)

    said = ["still at it" in last[row.project.id].error for row in rows]
    assert said == [False, True, True]
    assert "its state could not be asked" in last[rows[0].project.id].error


def test_why_the_last_calls_told_nothing_stands_in_the_row_of_an_unfinished_one(
    loop: Loop,
) -> None:
    row = loop.running()
    loop.fault("detail", refuse(403, "You have lost your rights"))

    last = loop.run(timeout_seconds=30.0)[row.project.id]

    assert "not finished within 30 s" in last.error
    assert "You have lost your rights" in last.error


@pytest.mark.parametrize("seconds", [9.0, 60.0])
@pytest.mark.parametrize("kind", ["detail", "list", "create", "project"])
@pytest.mark.usefixtures("unmeasured")
def test_the_deadline_holds_while_calls_are_slow(loop: Loop, kind: str, seconds: float) -> None:
    loop.projects(30, look_up=True)
    for _ in range(30):
        loop.running(seconds=10_000)
    loop.fault(kind, break_off("hang", delay_seconds=seconds))
    loop.fault("create", refuse(502))  # so that lists are asked for

    loop.run(timeout_seconds=120.0)

    first_calls = 4 * 31.0  # so many at a time, each with an end of its own
    assert loop.clock.seconds < first_calls + 120 + FINAL_POLL_SECONDS + 1


@pytest.mark.parametrize("tells", [None, 1763812800, "yesterday"], ids=str)
@pytest.mark.parametrize("field", ["created", "_id", "status"])
def test_the_deadline_holds_where_a_list_never_tells_what_a_cut_off_run_has_started(
    loop: Loop, field: str, tells: object
) -> None:
    project, fine = loop.project(since=-60), loop.project()
    loop.simulated.add_snapshot(project, created=loop.simulated.now() - 900.0)

    def edit(records: list[dict[str, object]]) -> object:
        return [{**record, "created": None, field: tells} for record in records]

    def before(_: object) -> None:
        assert loop.clock.seconds < 120, "the run does not end"

    loop.fault("list", edit_answer(edit))
    loop.transport.before = before

    last = loop.run(timeout_seconds=60.0)

    assert last[fine].is_complete
    assert "not known within" in last[project].error
    assert last[project].timestamp == loop.at(-60)
    assert loop.creates(project) == 0


# The end by a signal


def test_what_is_answered_after_the_run_is_told_to_end_is_not_lost(loop: Loop) -> None:
    loop.simulated.behaviour.create_seconds = 2.0
    projects = loop.projects(3)

    def stop(_: object) -> None:
        if loop.creates() == 2:
            raise TerminatedError

    loop.transport.before = stop
    with pytest.raises(TerminatedError):
        loop.run()

    assert [bool(loop.last[project].snapshot_id) for project in projects] == [True, True, False]


# What the site says


@pytest.mark.parametrize(
    "action",
    [refuse(502), refuse(503), refuse(408), refuse(401), break_off("reset"), answer_with({})],
)
def test_a_poll_that_fails_changes_nothing_the_next_one_tells(loop: Loop, action: Action) -> None:
    row = loop.running()
    loop.fault("detail", action, times=3)

    assert loop.run()[row.project.id].status == "complete"


@pytest.mark.parametrize("state", ["archiving", "queued"])
def test_a_state_that_nobody_knows_is_kept_verbatim_and_waited_for(loop: Loop, state: str) -> None:
    row = loop.running(state, seconds=1.0)

    last = loop.run(timeout_seconds=30.0)[row.project.id]

    assert last.status == state
    assert loop.clock.seconds >= 30


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_state_of_the_site_called_planned_is_waited_for(loop: Loop, attempts: int) -> None:
    project = loop.project()
    loop.simulated.outcome(project, "planned")

    last = loop.run(timeout_seconds=30.0, attempts=attempts)[project]

    assert loop.simulated.creates(project) == 1
    assert last.is_running
    assert "the site is still at it" in last.error


@pytest.mark.parametrize("made_by", ["a create", "a lost answer"])
def test_one_record_that_can_t_be_read_hides_none_of_the_others(loop: Loop, made_by: str) -> None:
    project = loop.project()
    loop.simulated.add_snapshot(project, created=loop.simulated.now() - 900.0)

    def edit(records: list[dict[str, object]]) -> object:
        records[0]["status"] = None
        return records

    if made_by == "a lost answer":
        loop.fault("create", refuse(502), times=1)
    loop.fault("list", edit_answer(edit))

    assert loop.run()[project].is_complete
    assert loop.simulated.creates(project) == 1


@pytest.mark.parametrize(("ours", "theirs"), [("complete", "failed"), ("failed", "complete")])
def test_a_newer_snapshot_that_somebody_else_made_is_not_taken_for_its_own(
    loop: Loop, ours: str, theirs: str
) -> None:
    row = loop.running(ours)
    loop.simulated.add_snapshot(row.project.id, theirs, created=loop.simulated.now() + 1)

    last = loop.run(attempts=NOTHING_AGAIN)[row.project.id]

    assert (last.status, last.snapshot_id) == (ours, row.snapshot_id)
    assert loop.clock.seconds >= BUILD_SECONDS, "theirs was finished from the beginning"


# What is gone


@pytest.mark.parametrize("timeout", [2.0, 10.0, 30.0, 600.0])
def test_a_snapshot_that_was_deleted_is_gone_also_where_the_time_is_short(
    loop: Loop, timeout: float
) -> None:
    row = loop.running()
    loop.simulated.delete_snapshot(row.project.id, row.snapshot_id)

    last = loop.run(timeout_seconds=timeout, attempts=NOTHING_AGAIN)[row.project.id]

    assert (last.status, last.snapshot_id) == ("failed", row.snapshot_id)
    assert last.timestamp == row.timestamp
    assert "gone" in last.error
    assert loop.clock.seconds < 15


def test_one_that_is_deleted_while_it_is_built_is_gone(clock: FakeClock, tmp_path: Path) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(300.0, 300.0))
    project = loop.project()

    def before(_: object) -> None:
        for made in loop.simulated.snapshots(project):
            if loop.clock.seconds > 10:
                loop.simulated.delete_snapshot(project, made.id)

    loop.transport.before = before

    last = loop.run()[project]

    assert last.status == "failed"
    assert "gone" in last.error
    assert loop.clock.seconds < 25


def test_a_deleted_one_is_gone_also_where_other_records_lack_their_time(loop: Loop) -> None:
    row = loop.running()
    loop.simulated.add_snapshot(row.project.id)
    loop.simulated.delete_snapshot(row.project.id, row.snapshot_id)

    def edit(records: list[dict[str, object]]) -> object:
        return [{**record, "created": None} for record in records]

    loop.fault("list", edit_answer(edit))

    assert "gone" in loop.run(attempts=NOTHING_AGAIN)[row.project.id].error


@pytest.mark.parametrize("status", [400, 410, 422])
def test_a_refused_poll_is_looked_behind(loop: Loop, status: int) -> None:
    gone, there = loop.running(), loop.running(seconds=10.0)
    loop.simulated.delete_snapshot(gone.project.id, gone.snapshot_id)
    loop.fault("detail", refuse(status))

    last = loop.run(attempts=NOTHING_AGAIN)

    assert "gone" in last[gone.project.id].error
    assert last[there.project.id].is_complete


def test_where_the_list_can_t_say_that_it_is_gone_nobody_says_that_the_site_is_at_it(
    loop: Loop,
) -> None:
    row = loop.running()
    loop.simulated.add_snapshot(row.project.id)
    loop.simulated.delete_snapshot(row.project.id, row.snapshot_id)
    loop.fault("list", edit_answer(lambda records: [None for _ in records]))

    last = loop.run(timeout_seconds=30.0)[row.project.id]

    assert "its state could not be asked (the site says 404" in last.error


@pytest.mark.parametrize("lost", [False, True])
def test_right_after_a_create_half_a_minute_of_404_is_not_gone(
    clock: FakeClock, tmp_path: Path, lost: bool
) -> None:
    loop = Loop(clock, tmp_path, detail_lag_seconds=30.0, list_lag_seconds=25.0)
    projects = loop.projects(5)
    if lost:
        loop.fault("create", refuse(502), times=2)

    last = loop.run(attempts=3)

    assert [last[project].status for project in projects] == ["complete"] * 5
    assert [loop.simulated.creates(project) for project in projects] == [1] * 5


def test_an_outage_that_looks_as_if_all_were_gone_fails_and_restarts_nothing(loop: Loop) -> None:
    rows = [loop.running(seconds=seconds) for seconds in (5, 25, 60)]
    loop.fault("detail", refuse(404), begin=3, end=36)

    last = loop.run(attempts=3)

    assert {last[row.project.id].status for row in rows} == {"complete"}
    assert loop.creates() == 0


# The log


def test_progress_is_logged_when_counts_change_and_at_least_once_a_minute(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for seconds in (10, 300):
        loop.running(seconds=seconds)

    loop.run()

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "2 in_progress; 10 min 0 s left"
    assert any(line.startswith("1 complete, 1 ") or ", 1 complete" in line for line in lines)
    assert lines[-1] == "2 complete"
    assert 6 <= len(lines) <= 12
