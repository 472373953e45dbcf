"""The wait ends when it is to end: after one last look, with every row as it stands."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    break_off,
    refuse,
)
from fw_gear_sitewide_snapshot.site.rates import MAX_CONCURRENT_CALLS
from tests.support.gear import GearRun, RunHere, gear_maker, run_together
from tests.support.time import START, FakeClock

TEN_MINUTES = 600.0
LAST_LOOK = 30.0
"""Seconds: more than the last look takes, however slow the site is."""


# ------------------------------------------------------------------------------------- as a process


MANY = MAX_CONCURRENT_CALLS + 4
"""Calls that hang: more than there may be at a time."""


@dataclass(frozen=True)
class Case:
    run: GearRun
    projects: dict[str, str]

    def row(self, name: str) -> dict[str, str]:
        return self.run.row(self.projects[name])

    @property
    def hanging(self) -> list[dict[str, str]]:
        return [self.row(f"hangs {number}") for number in range(MANY)]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Run with three seconds to wait: a snapshot takes for ever; status calls hang for ever."""
    folder = tmp_path_factory.mktemp("late")

    def run(name: str) -> Case:
        site = SimulatedSite()
        projects = {label: site.add_project(label=label) for label in ("fine", "late")}
        site.outcome(projects["late"], "in_progress")
        if name == "status calls hang":
            site.fault(Fault("detail", projects["late"], action=break_off("hang")))
        with SimulatorServer(site) as server:
            gear = gear_maker(folder / name, server)
            return Case(gear(**{"project filter": "ALL", "timeout minutes": 0.05}).run(), projects)

    names = ("a snapshot takes for ever", "status calls hang")
    return run_together({name: partial(run, name) for name in names})


LATE = pytest.mark.parametrize(
    ("name", "status"),
    [("a snapshot takes for ever", "in_progress"), ("status calls hang", "pending")],
)


@pytest.mark.process
@LATE
def test_what_is_unfinished_at_the_deadline_is_reported_as_it_stands(
    late: dict[str, Case], name: str, status: str
) -> None:
    row = late[name].row("late")

    assert row["status"] == status
    assert row["snapshot_id"]
    assert "not finished within 3 s" in row["error"]


@pytest.mark.process
@LATE
def test_what_was_finished_before_the_deadline_is_complete(
    late: dict[str, Case], name: str, status: str
) -> None:
    assert late[name].row("fine")["status"] == "complete", status


@pytest.mark.process
@LATE
def test_a_run_that_ends_at_its_deadline_ends_with_1(
    late: dict[str, Case], name: str, status: str
) -> None:
    assert late[name].run.exit_status == 1, (status, late[name].run.log)


@pytest.mark.process
@LATE
def test_a_timeout_of_three_seconds_is_three_seconds(
    late: dict[str, Case], name: str, status: str
) -> None:
    waited = _logged(late[name].run, "The time is up") - _logged(late[name].run, "; 3 s left")

    assert timedelta(seconds=2) <= waited < timedelta(seconds=15), (
        status
    )  # the log has no fractions


@pytest.mark.process
def test_status_calls_that_hang_do_not_keep_the_end_waiting(late: dict[str, Case]) -> None:
    run = late["status calls hang"].run

    after = _logged(run, "2 projects: ") - _logged(run, "The time is up")
    assert after < timedelta(seconds=28)  # less than the half minute that one answer may take


def _logged(run: GearRun, text: str) -> datetime:
    """When the first line that holds the text was logged."""
    return datetime.fromisoformat(run.lines(text)[0][:19])


# ----------------------------------------------------------------- by a clock that passes at once


def test_ten_minutes_are_waited_for_by_default(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "in_progress")

    row = run_here()[project]

    assert row["status"] == "in_progress"
    assert "not finished within 10 min 0 s" in row["error"]
    assert TEN_MINUTES <= clock.seconds < TEN_MINUTES + LAST_LOOK


def test_one_last_look_at_the_deadline_sees_what_has_just_finished(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    deadline = START.timestamp() + TEN_MINUTES
    simulated.fault(Fault("detail", end=deadline, action=refuse(503)))

    row = run_here()[project]

    assert (row["status"], row["error"]) == ("complete", "")


def test_the_deadline_is_counted_from_when_every_project_was_asked_for_once(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock
) -> None:
    for _ in range(40):
        simulated.outcome(simulated.add_project(), "in_progress")
    simulated.behaviour.create_seconds = 20.0

    run_here(timeout_seconds=60.0)

    sent = [request.time for request in simulated.requests if request.kind == "create"]
    asked = sent[-1] + 20.0 - START.timestamp()
    assert asked >= 60.0, "sixteen at a time are three turns at the least"
    assert asked + 60.0 <= clock.seconds < asked + 60.0 + LAST_LOOK


def test_a_create_that_is_refused_has_been_asked_for_and_does_not_move_the_deadline(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "in_progress")
    simulated.fault(Fault("create", times=1, action=refuse(503, retry_after_seconds=100)))

    run_here()

    assert simulated.creates(project) == 1
    assert TEN_MINUTES <= clock.seconds < TEN_MINUTES + LAST_LOOK


def test_what_a_retry_starts_while_it_waits_does_not_move_the_deadline(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock, tmp_path: Path
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "in_progress")
    report = tmp_path / "running.csv"
    report.write_text(
        "group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status\n"
        f"neuro,Study,{project},{simulated.add_snapshot(project, 'failed')},,,in_progress\n"
    )
    failure_seen_from = START.timestamp() + TEN_MINUTES - 100.0
    simulated.fault(Fault("detail", end=failure_seen_from, action=refuse(503)))

    row = run_here(retry_report=report)[project]

    assert row["status"] == "in_progress"
    assert simulated.creates(project) == 1
    assert TEN_MINUTES <= clock.seconds < TEN_MINUTES + LAST_LOOK


def test_the_last_look_starts_nothing(simulated: SimulatedSite, run_here: RunHere) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed")
    deadline = START.timestamp() + TEN_MINUTES
    simulated.fault(Fault("detail", end=deadline, action=refuse(503)))

    row = run_here(attempts=5)[project]

    assert row["status"] == "failed"
    assert simulated.creates(project) == 1


@pytest.fixture(scope="module")
def held_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Make runs in which many calls hang, while the snapshot of one project is made."""
    folder = tmp_path_factory.mktemp("held up")

    def run(name: str, minutes: float, attempts: int, build_seconds: float) -> Case:
        site = SimulatedSite(build_seconds=(build_seconds, build_seconds))
        hanging = {f"hangs {number}": site.add_project("a") for number in range(MANY)}
        for project in hanging.values():
            if name == "status calls":
                site.fault(Fault("detail", project, action=break_off("hang")))
                continue
            site.outcome(project, "failed")
            answered = {"_id": project, "status": "failed", "created": None}
            first = answer_with(answered, work=False)
            site.fault(Fault("create", project, times=1, action=first))
            site.fault(Fault("create", project, action=break_off("hang")))
        projects = {**hanging, "fine": site.add_project("z")}
        config = {"project filter": "ALL", "timeout minutes": minutes}
        with SimulatorServer(site) as server:
            gear = gear_maker(folder / name, server)
            return Case(gear(**config, **{"attempts per project": attempts}).run(), projects)

    return run_together(
        {
            "second attempts": partial(run, "second attempts", 0.1, 2, 2.0),
            # A status call is given up after ten seconds. All who hang have been asked by then.
            "status calls": partial(run, "status calls", 0.5, 1, 12.0),
        }
    )


@pytest.mark.process
def test_second_attempts_that_hang_do_not_move_the_deadline(held_up: dict[str, Case]) -> None:
    run = held_up["second attempts"].run
    waited = _logged(run, "The time is up") - _logged(run, "; 6 s left")

    assert waited < timedelta(seconds=15)


@pytest.mark.process
@pytest.mark.parametrize("name", ["second attempts", "status calls"])
def test_the_others_are_seen_to_be_complete_meanwhile(held_up: dict[str, Case], name: str) -> None:
    case = held_up[name]

    assert case.run.log.index("1 complete") < case.run.log.index("The time is up")
    assert case.row("fine")["status"] == "complete"


@pytest.mark.process
def test_of_those_that_hang_it_is_not_known_what_becomes_of_them_and_a_retry_looks(
    held_up: dict[str, Case],
) -> None:
    rows = held_up["second attempts"].hanging
    asked = [row for row in rows if "a retry looks for it" in row["error"]]
    assert 0 < len(asked) <= MAX_CONCURRENT_CALLS / 2
    assert {(row["status"], row["snapshot_id"]) for row in asked} == {("pending", "")}


@pytest.mark.process
def test_those_whose_second_attempt_came_too_late_have_failed_for_certain(
    held_up: dict[str, Case],
) -> None:
    rows = held_up["second attempts"].hanging
    late = [row for row in rows if "the time was up before" in row["error"]]
    asked = [row for row in rows if "a retry looks for it" in row["error"]]
    assert len(late) == MANY - len(asked) >= MANY - MAX_CONCURRENT_CALLS / 2
    assert all(row["status"] == "failed" for row in late)
