"""What version 0.0.4 did wrong, case by case: what its users run again must come out right here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer, refuse
from tests.support.gear import REPORT, GearRun, MakeGear, RunHere, gear_maker, run_together
from tests.support.time import FakeClock

ALL = {"project filter": "ALL"}
DONE, FAILED, RUNNING = (digit * 24 for digit in "123")
OLD, DEAD, ALIVE = (digit * 24 for digit in "abc")
# As version 0.0.4 left it; the snapshot that was running is complete by now.
REPORT_0_0_4 = f"""\
group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status
neuro,Done,{DONE},{OLD},2023-11-29 14:05,November,complete
neuro,Failed,{FAILED},{DEAD},2023-11-29 14:05,November,failed
neuro,Running,{RUNNING},{{alive}},2023-11-29 14:06,November,in_progress
"""


@dataclass(frozen=True)
class Case:
    """A run on a site with the projects of the report, and what goes wrong there."""

    arrange: Callable[[SimulatedSite], object] = lambda _: None
    config: dict[str, Any] = field(default_factory=lambda: dict(ALL))
    retry: bool = False


@dataclass(frozen=True)
class Ended:
    run: GearRun
    site: SimulatedSite

    @property
    def creates(self) -> list[int]:
        return [self.site.creates(project) for project in (DONE, FAILED, RUNNING)]


def _refused(kind: str, status: int, times: int | None = None) -> Callable[[SimulatedSite], object]:
    return lambda site: site.fault(Fault(kind, FAILED, times, action=refuse(status)))


def _every_snapshot_fails(site: SimulatedSite) -> None:
    for project in (DONE, FAILED, RUNNING):
        site.outcome(project, "failed")


def _a_project_is_gone(site: SimulatedSite) -> None:
    site.remove_project(FAILED)


CASES = {
    "retry": Case(config={"snapshot batch name": "December"}, retry=True),
    "retry, a project is gone": Case(_a_project_is_gone, {}, retry=True),
    "a create fails": Case(_refused("create", 403)),
    "a poll fails": Case(_refused("detail", 500, 2)),
    "a lookup fails": Case(_refused("project", 403), {}, retry=True),
    "every snapshot fails": Case(_every_snapshot_fails),
    "nothing matches": Case(config={"project filter": "group=nobody"}),
    "an empty filter": Case(config={"project filter": ""}),
    "an unknown state": Case(
        lambda site: site.outcome(FAILED, "archiving"), {**ALL, "timeout minutes": 0.03}
    ),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    folder = tmp_path_factory.mktemp("ended")

    def run(name: str) -> Ended:
        case = CASES[name]
        site = SimulatedSite()
        for label, project in (("Done", DONE), ("Failed", FAILED), ("Running", RUNNING)):
            site.add_project("neuro", label, project)
        report = None
        if case.retry:
            report = folder / f"{name}.csv"
            report.write_text(REPORT_0_0_4.format(alive=site.add_snapshot(RUNNING)))
        case.arrange(site)
        with SimulatorServer(site) as server:
            return Ended(gear_maker(folder / name, server)(**case.config).run(report), site)

    return run_together({name: partial(run, name) for name in CASES})


@pytest.mark.process
def test_retry_failed_retries_what_failed(ended: dict[str, Ended]) -> None:
    case = ended["retry"]

    assert case.creates == [0, 1, 0]
    assert case.run.statuses == dict.fromkeys((DONE, FAILED, RUNNING), "complete")
    assert case.run.exit_status == 0, case.run.log


@pytest.mark.process
def test_retry_failed_takes_a_running_row(ended: dict[str, Ended]) -> None:
    case = ended["retry"]

    (alive,) = case.site.snapshots(RUNNING)
    assert case.run.row(RUNNING)["snapshot_id"] == alive.id


@pytest.mark.process
def test_the_batch_name_of_a_retry_is_that_of_the_report(ended: dict[str, Ended]) -> None:
    assert {row["batch_label"] for row in ended["retry"].run.rows} == {"November"}


@pytest.mark.process
@pytest.mark.parametrize("name", ["a create fails", "a lookup fails", "retry, a project is gone"])
def test_one_call_that_fails_loses_neither_the_report_nor_the_others(
    ended: dict[str, Ended], name: str
) -> None:
    case = ended[name]

    assert case.run.statuses == {DONE: "complete", FAILED: "failed", RUNNING: "complete"}
    assert case.run.row(FAILED)["error"]
    assert case.creates[1] == 0
    assert case.run.exit_status == 1, case.run.log


@pytest.mark.process
def test_one_poll_that_fails_loses_nothing(ended: dict[str, Ended]) -> None:
    case = ended["a poll fails"]

    assert case.run.statuses == dict.fromkeys((DONE, FAILED, RUNNING), "complete")
    assert case.creates == [1, 1, 1]
    assert case.run.exit_status == 0, case.run.log


@pytest.mark.process
def test_a_batch_in_which_every_snapshot_failed_is_a_failed_job(ended: dict[str, Ended]) -> None:
    case = ended["every snapshot fails"]

    assert set(case.run.statuses.values()) == {"failed"}
    assert case.run.exit_status == 1, case.run.log


@pytest.mark.process
def test_a_filter_that_matches_nothing_is_an_error_and_leaves_no_empty_report(
    ended: dict[str, Ended],
) -> None:
    case = ended["nothing matches"]

    assert case.run.exit_status == 2, case.run.log
    assert REPORT not in case.run.files


@pytest.mark.process
def test_an_empty_filter_does_not_snapshot_the_whole_site(ended: dict[str, Ended]) -> None:
    case = ended["an empty filter"]

    assert case.run.exit_status == 2, case.run.log
    assert case.creates == [0, 0, 0]


@pytest.mark.process
def test_an_unknown_state_is_reported_as_it_is(ended: dict[str, Ended]) -> None:
    case = ended["an unknown state"]

    assert case.run.statuses == {DONE: "complete", FAILED: "archiving", RUNNING: "complete"}
    assert case.run.exit_status == 1, case.run.log


# ------------------------------------------------------------------------------------- 500 projects


@pytest.mark.process
def test_hundreds_of_projects_are_started_several_at_a_time(
    served: SimulatorServer, gear: MakeGear
) -> None:
    projects = [served.site.add_project(label=f"Study {number}") for number in range(300)]
    served.site.behaviour.create_seconds = 0.1

    run = gear(**ALL).run()

    assert run.exit_status == 0, run.log
    assert run.statuses == dict.fromkeys(projects, "complete")
    assert {served.site.creates(project) for project in projects} == {1}
    assert 4 <= served.site.most_in_flight <= 32  # however busy the machine is


@pytest.fixture
def simulated(clock: FakeClock) -> SimulatedSite:
    """The site that version 0.0.4 was measured on, by a clock that passes at once."""
    return SimulatedSite(clock.unix, build_seconds=(5.0, 30.0))


def test_500_projects_are_done_soon_after_the_last_build_with_few_calls_each(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock
) -> None:
    projects = [simulated.add_project(label=f"Study {number}") for number in range(500)]

    rows = run_here()

    assert {rows[project]["status"] for project in projects} == {"complete"}
    assert len(simulated.requests) <= 6 * len(projects)
    last = max(made.finishes for project in projects for made in simulated.snapshots(project))
    assert clock.unix() - last < 6.0  # a turn of asking all 500 is five seconds
