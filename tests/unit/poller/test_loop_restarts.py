"""Second attempts: calls like others, once the report on disk says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel_site_simulator import break_off, do_later, lose_answer, refuse
from fw_gear_sitewide_snapshot.models import SnapshotOrder, SnapshotRecord
from tests.support.loop import Loop
from tests.support.time import FakeClock


@pytest.fixture
def loop(clock: FakeClock, tmp_path: Path) -> Loop:
    return Loop(clock, tmp_path)


@pytest.mark.parametrize(("fails", "attempts"), [(1, 2), (2, 3), (4, 5)])
def test_one_that_failed_is_started_again_until_it_is_complete(
    loop: Loop, fails: int, attempts: int
) -> None:
    project = loop.project()
    loop.simulated.outcome(project, *["failed"] * fails)

    last = loop.run(attempts=attempts)[project]

    assert (last.status, last.started) == ("complete", fails + 1)
    assert loop.simulated.creates(project) == fails + 1


def test_in_the_log_a_second_attempt_takes_no_number_of_the_first_ones(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    again, late = loop.project(), loop.project()
    loop.simulated.outcome(again, "failed")
    loop.fault("create", refuse(503, retry_after_seconds=20), project_id=late, times=1)

    loop.run(attempts=2)

    numbered = [line for line in caplog.messages if line.startswith("[")]
    assert [line[:5] for line in numbered] == ["[1/2]", "[2/2]"]
    assert late in numbered[1]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_no_more_are_started_than_there_are_attempts(loop: Loop, attempts: int) -> None:
    project = loop.project()
    loop.simulated.outcome(project, *["failed"] * 9)

    last = loop.run(attempts=attempts)[project]

    assert last.status == "failed"
    assert loop.simulated.creates(project) == attempts


def test_one_that_was_running_and_has_failed_is_started_as_a_failed_row_is(loop: Loop) -> None:
    row = loop.running("failed", seconds=2)

    last = loop.run(attempts=1)[row.project.id]

    assert (last.status, last.started) == ("complete", 1)
    assert last.snapshot_id != row.snapshot_id


@pytest.mark.parametrize("answer", [lose_answer(502), do_later(20.0, 502), lose_answer("hang")])
def test_a_second_attempt_whose_answer_is_lost_is_found_as_a_first_one_is(
    loop: Loop, answer: object
) -> None:
    project = loop.project()
    loop.simulated.outcome(project, "failed", "complete")
    loop.fault("create", answer, after=1)  # type: ignore[arg-type]

    assert loop.run(attempts=2)[project].is_complete
    assert loop.simulated.creates(project) == 2


def test_a_project_that_has_gone_meanwhile_gets_no_second_snapshot(loop: Loop) -> None:
    row = loop.running("failed", seconds=3)
    loop.simulated.remove_project(row.project.id)

    last = loop.run(attempts=3)[row.project.id]

    assert "there is no such project" in last.error
    assert loop.creates() == 0


def test_before_a_second_create_the_report_on_disk_says_since_when_to_look(loop: Loop) -> None:
    project = loop.project()
    loop.simulated.outcome(project, "failed", "failed", "complete")
    seen: list[tuple[str, str, bool]] = []

    def before(request: object) -> None:
        if request.method == "POST":  # type: ignore[attr-defined]
            row = loop.on_disk[project]
            is_now = row.timestamp is not None and abs(
                (row.timestamp - loop.clock.now()).total_seconds()
            ) < 2  # fmt: skip
            seen.append((row.status, row.snapshot_id, is_now))

    loop.transport.before = before

    loop.run(attempts=3)

    assert seen == [("pending", "", True)] * 3


def test_where_an_earlier_run_may_have_started_another_the_report_says_since_its_row_s_time(
    loop: Loop,
) -> None:
    row = loop.running("failed", seconds=3)
    loop.rows.clear()
    loop.orders.append(SnapshotOrder(row, wanted_since=row.timestamp))
    another = loop.simulated.add_snapshot(row.project.id, "complete", loop.simulated.now() - 20.0)
    seen: list[SnapshotRecord] = []

    def before(request: object) -> None:
        if request.path.endswith("/snapshots"):  # type: ignore[attr-defined]
            seen.append(loop.on_disk[row.project.id])

    loop.transport.before = before

    last = loop.run(attempts=1)[row.project.id]

    assert (last.snapshot_id, last.started) == (another, 0)
    assert [(told.status, told.snapshot_id) for told in seen] == [("pending", "")]
    assert seen[0].timestamp == row.timestamp


def test_nothing_is_started_again_while_the_report_can_t_be_written(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    project = loop.running("failed", seconds=5).project.id
    loop.running(seconds=60)
    loop.lose_folder(1, 30)

    last = loop.run(attempts=3)

    assert loop.creates() == 0
    assert last[project].status == "failed"
    assert "nothing is started again" in caplog.text


def test_failures_are_started_again_together_not_one_report_each(loop: Loop) -> None:
    for number in range(20):
        loop.running("failed", seconds=1 + number / 10)
    loop.running(seconds=30)
    writes: set[int] = set()

    def before(request: object) -> None:
        if request.method == "POST":  # type: ignore[attr-defined]
            writes.add((loop.folder / "snapshot_report.csv").stat().st_mtime_ns)

    loop.transport.before = before
    loop.run(attempts=1)

    assert loop.creates() == 20
    assert len(writes) <= 3


def test_the_last_failure_is_not_waited_over(loop: Loop) -> None:
    for seconds in (2.0, 3.0):
        loop.running("failed", seconds=seconds)

    loop.run()

    assert loop.clock.seconds < 6


def test_a_quick_failure_after_slow_builds_is_seen_within_seconds(
    clock: FakeClock, tmp_path: Path
) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(2.0, 2.0))
    loop.running(seconds=90)
    failing = loop.running("failed", seconds=100).project.id
    loop.running(seconds=300)
    loop.simulated.outcome(failing, "failed")

    loop.run(attempts=2)

    first, second = loop.times("create", project_id=failing)
    assert 2 <= second - first < 13


def test_one_that_was_just_started_again_is_not_asked_at_once(
    clock: FakeClock, tmp_path: Path
) -> None:
    loop = Loop(clock, tmp_path, build_seconds=(8.0, 8.0))
    one, failing = loop.projects(2)
    loop.simulated.outcome(failing, "failed")
    loop.running(seconds=60)

    loop.run(attempts=2)

    made = loop.simulated.snapshots(failing)[1].id
    first = min(
        request.time
        for request in loop.simulated.requests
        if request.kind == "detail" and request.snapshot_id == made
    )
    started = loop.simulated.snapshots(failing)[1].created
    assert loop.last[one].is_complete
    assert first - started >= 0.2


def test_second_attempts_keep_to_the_number_of_calls_at_a_time(loop: Loop) -> None:
    for _ in range(600):
        loop.running("failed", seconds=1)
    loop.simulated.behaviour.create_seconds = 0.05

    last = loop.run()

    assert {row.status for row in last.values()} == {"complete"}
    assert loop.most_in_flight <= 16


def test_second_attempts_leave_half_of_the_calls_to_polls(loop: Loop) -> None:
    for _ in range(40):
        loop.running("failed", seconds=1)
    quick = loop.running(seconds=10).project.id
    loop.simulated.behaviour.create_seconds = 20.0

    loop.run()

    assert loop.times("detail", project_id=quick)[-1] < 12


def hanging(loop: Loop, project: str) -> None:
    loop.fault("project", break_off("hang"), project_id=project)


def refused(loop: Loop, project: str) -> None:
    loop.fault("project", refuse(503), project_id=project)


@pytest.mark.parametrize("trouble", [hanging, refused])
def test_a_failure_that_there_was_no_time_to_start_again_says_so(
    loop: Loop, trouble: Callable[[Loop, str], None]
) -> None:
    project = loop.project()
    loop.simulated.outcome(project, "failed")
    trouble(loop, project)

    last = loop.run(timeout_seconds=20.0, attempts=2)[project]

    assert last.status == "failed"
    assert "the time was up before it was started again" in last.error
    assert "no snapshot was started" not in last.error
