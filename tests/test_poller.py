"""Waiting: until everything is finished or the time is up, at a pace, by an injected clock."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, answer_with, break_off, refuse
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.pace import MOST_CALLS_PER_SECOND
from fw_gear_sitewide_snapshot.poller import Poller
from fw_gear_sitewide_snapshot.restarts import PrepareRestarts, Restart
from fw_gear_sitewide_snapshot.site import Site
from fw_gear_sitewide_snapshot.workers import Workers

from .support.direct import DirectTransport, InTurn
from .support.time import FakeClock

BUILD_SECONDS = 20.0


class Wait:
    """A wait for snapshots of a simulated site, in injected time."""

    def __init__(self, clock: FakeClock, timeout_seconds: float = 600.0) -> None:
        self.clock = clock
        self.simulated = SimulatedSite(clock.unix)
        self.site = Site(DirectTransport(self.simulated, clock), clock)
        self.timeout_seconds = timeout_seconds
        self.records: list[SnapshotRecord] = []
        self.restarted: list[SnapshotRecord] = []

    def add(self, status: str = "complete", seconds: float = BUILD_SECONDS) -> SnapshotRecord:
        """A running snapshot of a new project, which ends so after so long."""
        project = self.simulated.add_project()
        made = self.simulated.add_snapshot(project, status, build_seconds=seconds)
        self.records.append(SnapshotRecord(Project(project, "Study", "neuro"), made))
        return self.records[-1]

    def poller(
        self, prepare: PrepareRestarts | None = None, workers: Workers | None = None
    ) -> Poller:
        """A poller whose calls are made in turn; nothing is started again unless it is said how."""
        workers = workers or InTurn(self.clock)
        restart = prepare or self.restart
        return Poller(self.site, workers, self.clock, self.timeout_seconds, restart)

    def run(self, prepare: PrepareRestarts | None = None) -> dict[str, SnapshotRecord]:
        """The last word on each project that there was anything new of."""
        return {record.project.id: record for record in self.poller(prepare).wait(self.records)}

    def restart(self, failed: Sequence[SnapshotRecord]) -> list[Restart]:
        self.restarted += failed
        return []

    def fault(self, action: Action, kind: str = "detail", **how: object) -> None:
        self.simulated.fault(Fault(kind, action=action, **how))  # type: ignore[arg-type]

    @property
    def asked_at(self) -> list[float]:
        return [r.time for r in self.simulated.requests if r.kind == "detail"]


@pytest.fixture
def wait(clock: FakeClock) -> Wait:
    return Wait(clock)


def test_it_ends_when_everything_is_finished(wait: Wait) -> None:
    records = [wait.add(seconds=seconds) for seconds in (3, 10, 20)]

    seen = wait.run()

    assert {seen[record.project.id].status for record in records} == {"complete"}
    assert 20 <= wait.clock.seconds < 22


def test_nothing_to_wait_for_takes_no_time_and_no_call(wait: Wait) -> None:
    wait.records.append(SnapshotRecord(Project("a" * 24, "x", "g"), status="failed"))

    assert wait.run() == {}
    assert wait.clock.seconds == 0
    assert wait.asked_at == []


def test_ten_minutes_pass_and_what_is_unfinished_is_told_as_it_stands(wait: Wait) -> None:
    record = wait.add(seconds=10_000)

    last = wait.run()[record.project.id]

    assert (last.status, last.snapshot_id) == ("in_progress", record.snapshot_id) or (
        last.status == "pending"
    )
    assert last.error.startswith("not finished within 10 min 0 s: the site is still at it")
    assert 600 <= wait.clock.seconds < 601


def test_at_the_deadline_it_looks_once_more(clock: FakeClock) -> None:
    wait = Wait(clock, timeout_seconds=20.0)
    for _ in range(400):  # with so many out, each is asked every eight seconds only
        wait.add(seconds=19.9)

    seen = wait.run()

    assert {record.status for record in seen.values()} == {"complete"}
    assert clock.seconds < 20 + 400 / MOST_CALLS_PER_SECOND + 1


def test_the_deadline_holds_while_calls_are_slow(clock: FakeClock) -> None:
    wait = Wait(clock, timeout_seconds=60.0)
    wait.simulated.behaviour.status_seconds = 9.0
    for _ in range(30):
        wait.add(seconds=10_000)

    wait.run()

    assert clock.seconds < 60 + 9 + 15 + 9


@pytest.mark.parametrize("action", [refuse(502), break_off("reset"), answer_with({}), refuse(401)])
def test_a_status_call_that_fails_changes_nothing_the_next_one_tells(
    wait: Wait, action: Action
) -> None:
    record = wait.add()
    wait.fault(action, times=3)

    assert wait.run()[record.project.id].status == "complete"


class Stuck(InTurn):
    """Workers whose every call hangs."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.in_flight = 0

    def gather(self) -> Any:
        return self

    def send(self, _: object) -> None:
        self.in_flight += 1

    def results(self, until: float) -> Iterator[SnapshotRecord]:
        self._clock.seconds = max(self._clock.seconds, until)
        yield from ()

    def abandon(self) -> None:
        pass


def test_a_call_that_hangs_is_not_sent_beside_itself_and_moves_no_deadline(wait: Wait) -> None:
    for _ in range(3):
        wait.add()
    stuck = Stuck(wait.clock)

    last = list(wait.poller(workers=stuck).wait(wait.records))

    assert stuck.in_flight == 3
    assert wait.clock.seconds == 600.0 + 15.0
    assert {record.error[:12] for record in last} == {"not finished"}


class Beside(InTurn):
    """Workers that send everything at once; each result comes some seconds later.

    Attributes:
        look_seconds: for the answer to a status call.
        restart_seconds: for how a second attempt went.
    """

    def __init__(
        self, clock: FakeClock, look_seconds: float = 0.0, restart_seconds: float = 0.0
    ) -> None:
        super().__init__(clock)
        self.look_seconds, self.restart_seconds = look_seconds, restart_seconds
        self._coming: list[tuple[float, Any]] = []

    def gather(self) -> Any:
        return self

    @property
    def in_flight(self) -> int:
        return len(self._coming)

    def send(self, work: Callable[[], object]) -> None:
        result = work()
        is_restart = isinstance(result, SnapshotRecord)
        seconds = self.restart_seconds if is_restart else self.look_seconds
        self._coming.append((self._clock.seconds + seconds, result))

    def results(self, until: float) -> Iterator[Any]:
        self._coming.sort(key=lambda coming: coming[0])
        while self._coming and self._coming[0][0] < until:
            when, result = self._coming.pop(0)
            self._clock.seconds = max(self._clock.seconds, when)
            yield result

    def abandon(self) -> None:
        self._coming.clear()


def test_a_first_snapshot_that_is_answered_after_the_deadline_has_the_whole_time_too(
    clock: FakeClock,
) -> None:
    wait = Wait(clock, timeout_seconds=20.0)
    record = wait.add("failed", seconds=18)
    again = wait.simulated.add_snapshot(record.project.id, build_seconds=30.0)

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        started = SnapshotRecord(record.project, again, started=1)
        return [Restart(failed[0], SnapshotRecord(record.project), lambda _: started)]

    poller = wait.poller(restart, Beside(clock, restart_seconds=4.0))
    last = list(poller.wait(wait.records))[-1]

    assert (last.snapshot_id, last.status) == (again, "complete")


def test_what_is_answered_after_the_run_is_told_to_end_is_not_lost(clock: FakeClock) -> None:
    wait = Wait(clock)
    wait.add(seconds=5)

    def sleep(seconds: float) -> None:
        clock.seconds += seconds
        if clock.seconds >= 7:
            raise TerminatedError

    clock.sleep = sleep  # type: ignore[method-assign]
    seen: list[SnapshotRecord] = []
    with pytest.raises(TerminatedError):
        seen.extend(wait.poller(workers=Beside(clock, look_seconds=2.0)).wait(wait.records))

    assert seen[-1].status == "complete"


def test_an_outage_of_half_a_minute_is_survived(wait: Wait) -> None:
    records = [wait.add(seconds=seconds) for seconds in (5, 25, 45)]
    now = wait.simulated.now()
    wait.simulated.fault(Fault(None, begin=now + 3, end=now + 33, action=refuse(502)))

    seen = wait.run()

    assert {seen[record.project.id].status for record in records} == {"complete"}


def test_why_the_last_calls_told_nothing_stands_in_the_row_of_an_unfinished_one(
    clock: FakeClock,
) -> None:
    wait = Wait(clock, timeout_seconds=30.0)
    record = wait.add()
    wait.fault(refuse(403, "You have lost your rights"))

    last = wait.run()[record.project.id]

    assert "not finished within 30 s" in last.error
    assert "You have lost your rights" in last.error


def test_a_snapshot_that_is_gone_is_failed(wait: Wait) -> None:
    record = wait.add()
    wait.simulated.delete_snapshot(record.project.id, record.snapshot_id)

    last = wait.run()[record.project.id]

    assert (last.status, last.snapshot_id) == ("failed", record.snapshot_id)
    assert "gone" in last.error
    assert wait.clock.seconds < 45


def test_an_outage_that_looks_as_if_all_were_gone_fails_and_restarts_nothing(wait: Wait) -> None:
    records = [wait.add(seconds=seconds) for seconds in (5, 25, 60)]
    now = wait.simulated.now()
    wait.simulated.fault(Fault("detail", begin=now + 3, end=now + 36, action=refuse(404)))

    seen = wait.run()

    assert {seen[record.project.id].status for record in records} == {"complete"}
    assert wait.restarted == []


def test_a_site_that_asks_to_be_left_alone_is(wait: Wait) -> None:
    for _ in range(10):
        wait.add(seconds=90)
    now = wait.simulated.now()
    busy = refuse(503, retry_after_seconds=20)
    wait.simulated.fault(Fault("detail", begin=now + 10, end=now + 70, action=busy))

    wait.run()

    assert sum(r.status == 503 for r in wait.simulated.requests) <= 4 * 10


def test_a_404_now_and_then_is_not_gone(wait: Wait) -> None:
    record = wait.add()
    wait.fault(refuse(404), times=3)

    assert wait.run()[record.project.id].status == "complete"


def test_a_state_that_nobody_knows_is_kept_verbatim_and_waited_for(clock: FakeClock) -> None:
    wait = Wait(clock, timeout_seconds=30.0)
    record = wait.add(status="archiving", seconds=1.0)

    last = wait.run()[record.project.id]

    assert last.status == "archiving"
    assert clock.seconds >= 30


@pytest.mark.parametrize(("ours", "theirs"), [("complete", "failed"), ("failed", "complete")])
def test_a_newer_snapshot_that_somebody_else_made_is_not_taken_for_its_own(
    wait: Wait, ours: str, theirs: str
) -> None:
    record = wait.add(ours)
    newer = wait.simulated.add_snapshot(record.project.id, theirs, created=wait.simulated.now() + 1)

    last = wait.run()[record.project.id]

    assert (last.status, last.snapshot_id) == (ours, record.snapshot_id)
    assert wait.clock.seconds >= BUILD_SECONDS, "theirs was finished from the beginning"
    assert newer not in {request.snapshot_id for request in wait.simulated.requests}


def test_a_failed_one_is_offered_for_a_restart_once(wait: Wait) -> None:
    failing, good = wait.add("failed", seconds=2), wait.add(seconds=9)

    seen = wait.run()

    assert [record.project.id for record in wait.restarted] == [failing.project.id]
    assert seen[good.project.id].status == "complete"


def test_one_that_is_started_again_is_waited_for(wait: Wait) -> None:
    record = wait.add("failed", seconds=2)
    again = wait.simulated.add_snapshot(record.project.id, build_seconds=30.0)

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        pending = SnapshotRecord(failed[0].project)
        return [Restart(failed[0], pending, lambda _: SnapshotRecord(failed[0].project, again))]

    last = wait.run(restart)[record.project.id]

    assert (last.snapshot_id, last.status) == (again, "complete")


def test_failures_are_started_again_together_not_one_report_each(wait: Wait) -> None:
    for number in range(20):
        wait.add("failed", seconds=1 + number / 10)
    wait.add(seconds=30)
    offers: list[int] = []

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        offers.append(len(failed))
        return []

    wait.run(restart)

    assert sum(offers) == 20
    assert len(offers) <= 3


def test_the_last_failure_is_not_waited_over(wait: Wait) -> None:
    for seconds in (2.0, 3.0):
        wait.add("failed", seconds=seconds)

    wait.run()

    assert wait.clock.seconds < 5


def test_a_quick_failure_after_slow_builds_is_seen_within_seconds(wait: Wait) -> None:
    wait.add(seconds=200)
    failing = wait.add("failed", seconds=100)
    again = wait.simulated.add_snapshot(failing.project.id, "failed", build_seconds=202.0)
    seen: list[float] = []

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        seen.append(wait.clock.seconds)
        if len(seen) > 1:
            return []
        pending = SnapshotRecord(failed[0].project)
        second = SnapshotRecord(failed[0].project, again, started=2)
        return [Restart(failed[0], pending, lambda _: second)]

    wait.run(restart)

    assert 202 <= seen[1] < 210


def test_each_of_the_last_few_is_asked_every_second(wait: Wait) -> None:
    wait.add(seconds=10)

    wait.run()

    assert len(wait.asked_at) in {10, 11, 12}


def test_five_hundred_are_asked_few_times_each_and_seen_soon(wait: Wait) -> None:
    records = [wait.add(seconds=5 + 25 * number / 500) for number in range(500)]

    wait.run()

    assert len(wait.asked_at) <= 5 * len(records)
    assert wait.clock.seconds <= 30 * 1.1


def test_the_pace_s_bound_holds_in_every_second_also_while_answers_take_time(
    clock: FakeClock,
) -> None:
    wait = Wait(clock, timeout_seconds=30.0)
    wait.simulated.behaviour.status_seconds = 0.0015  # one worker: 250 take longer than a pulse
    for _ in range(8_000):
        wait.add(seconds=60)

    wait.run()

    asked = wait.asked_at
    assert len(asked) > 50 * MOST_CALLS_PER_SECOND
    assert asked[-1] > 30 + 30, "the last look takes the time that a turn takes"
    assert busiest_second(asked) <= MOST_CALLS_PER_SECOND


def test_second_attempts_keep_to_the_bound_too(wait: Wait) -> None:
    for _ in range(1_500):
        wait.add("failed", seconds=1)
    wait.simulated.behaviour.create_seconds = 0.001

    def again(failed: SnapshotRecord, _: float) -> SnapshotRecord:
        wait.site.project(failed.project.id)
        made = wait.site.create_snapshot(failed.project.id)
        return SnapshotRecord(failed.project, made.id, started=2)

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        return [
            Restart(row, SnapshotRecord(row.project), partial(again, row))
            for row in failed
            if row.started < 2
        ]

    seen = wait.run(restart)

    assert {record.status for record in seen.values()} == {"complete"}
    assert len(wait.simulated.requests) >= 4 * 1_500
    assert busiest_second([r.time for r in wait.simulated.requests]) <= MOST_CALLS_PER_SECOND


def busiest_second(times: Sequence[float]) -> int:
    """The most calls that were sent within a second (and not quite: calls are answered later)."""
    first = most = 0
    for place, at in enumerate(times):
        while at - times[first] > 0.99:
            first += 1
        most = max(most, place - first + 1)
    return most


def test_one_that_was_just_started_again_is_not_asked_at_once(wait: Wait) -> None:
    wait.add(seconds=8)
    failing = wait.add("failed", seconds=9)
    wait.add(seconds=40)
    again = wait.simulated.add_snapshot(failing.project.id, build_seconds=60.0)

    def restart(failed: Sequence[SnapshotRecord]) -> list[Restart]:
        pending = SnapshotRecord(failed[0].project)
        return [Restart(failed[0], pending, lambda _: SnapshotRecord(failed[0].project, again))]

    wait.run(restart)

    requests = [r for r in wait.simulated.requests if r.kind == "detail"]
    failed_at = max(r.time for r in requests if r.snapshot_id == failing.snapshot_id)
    first = min(r.time for r in requests if r.snapshot_id == again)
    assert 3.5 <= first - failed_at <= 6.0  # half of the eight seconds


def test_progress_is_logged_when_counts_change_and_at_least_once_a_minute(
    wait: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for seconds in (10, 300):
        wait.add(seconds=seconds)

    wait.run()

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "2 pending; 10 min 0 s left"
    assert any(line.startswith("1 complete, 1 ") or ", 1 complete" in line for line in lines)
    assert lines[-1] == "2 complete"
    assert 7 <= len(lines) <= 12
