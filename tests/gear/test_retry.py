"""Run, report, retry: the real files of one run are the input of the next."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import (
    Fault,
    LoggedRequest,
    SimulatedSite,
    SimulatorServer,
    lose_answer,
    refuse,
)
from tests.support.gear import GearRun, MakeGear, RunHere, gear_maker, run_together
from tests.support.time import START

pytestmark = pytest.mark.process

COLUMNS = "group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status,error"


# ------------------------------------------------------ the makers of both stories, and their runs


@dataclass(frozen=True)
class Step:
    """One run of a story: how it ended, what it asked, how many snapshots it had made."""

    run: GearRun
    requests: list[LoggedRequest]
    creates: dict[str, int]


@dataclass(frozen=True)
class Story:
    projects: dict[str, str]
    first: Step
    second: Step
    third: Step
    fourth: Step


def _story(folder: Path) -> Story:
    """Run a batch that takes three runs to be complete, and a fourth that finds nothing to do."""
    site = SimulatedSite()
    names = ("complete", "failing", "refused", "unanswered")
    projects = {name: site.add_project("neuro", name) for name in names}
    other = site.add_project("cardio", "of the filter")
    site.outcome(projects["failing"], "failed", "failed", "complete")
    site.fault(Fault("create", projects["refused"], times=1, action=refuse(403, "Not yet")))
    unanswered = site.fault(Fault("detail", projects["unanswered"], action=refuse(503)))

    with SimulatorServer(site) as server:
        gear = gear_maker(folder, server)

        def step(*, retry_failed: Path | None, **config: Any) -> Step:
            asked = len(site.requests)
            before = {name: site.creates(project) for name, project in projects.items()}
            run = gear(**config).run(retry_failed)
            creates = {name: site.creates(p) - before[name] for name, p in projects.items()}
            return Step(run, site.requests[asked:], creates)

        again = {"project filter": "group=cardio", "snapshot batch name": "Autumn"}
        first = step(
            retry_failed=None,
            **{
                "project filter": "group=neuro",
                "snapshot batch name": "Spring",
                "timeout minutes": 0.05,
            },
        )
        unanswered.times = 0
        second = step(retry_failed=first.run.report, **again)
        third = step(retry_failed=second.run.report, **again)
        fourth = step(retry_failed=third.run.report)
        assert site.creates(other) == 0
        return Story(projects, first, second, third, fourth)


@dataclass(frozen=True)
class Retry:
    """One retry of a report that holds every kind of row, by a name for each."""

    run: GearRun
    site: SimulatedSite
    projects: dict[str, str]
    snapshots: dict[str, str]
    """The snapshot that each project had before, or that somebody made of it."""

    def row(self, name: str) -> dict[str, str]:
        return self.run.row(self.projects[name])

    def creates(self, name: str) -> int:
        return self.site.creates(self.projects[name])


def _retry(folder: Path) -> Retry:
    """Retry the report, which takes a while: some rows are only decided after seconds."""
    site = SimulatedSite()
    cut_off = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    soon_after = cut_off.timestamp() + 20.0
    long_before = cut_off.timestamp() - 3600.0
    # What the report says (status, with a snapshot id or not), and the snapshot that the site has.
    cases: dict[str, tuple[str, bool, dict[str, Any] | None]] = {
        "planned": ("planned", False, None),
        "failed, never started": ("failed", False, None),
        "failed snapshot": ("failed", True, {"status": "failed"}),
        "failed, project gone": ("failed", True, None),
        "running": ("in_progress", True, {"build_seconds": 3.0, "created": site.now()}),
        "running, in fact complete": ("pending", True, {"status": "complete"}),
        "running, in fact failed": ("in_progress", True, {"status": "failed"}),
        "running, deleted": ("in_progress", True, None),
        "running, failed, another since": ("in_progress", True, {"status": "failed"}),
        "unknown state": ("archiving", True, {"status": "complete"}),
        "cut off, made since": ("pending", False, {"created": soon_after}),
        "cut off, older one": ("pending", False, {"created": long_before}),
        "cut off, none": ("in_progress", False, None),
        "cut off, project gone": ("pending", False, None),
    }
    projects, snapshots, lines = {}, {}, [COLUMNS]
    for number, (name, (status, known, made)) in enumerate(cases.items()):
        projects[name] = project = site.add_project("neuro", f"Study {number:02d}")
        snapshot = site.add_snapshot(project, **(made or {}))
        snapshots[name] = snapshot
        if "another since" in name:  # of a run whose report was lost
            snapshots[name] = site.add_snapshot(project, created=soon_after)
        if made is None:
            site.delete_snapshot(project, snapshot)
        if "project gone" in name:
            site.remove_project(project)
        batch = "Spring" if number % 2 else ""
        identifier = snapshot if known else ""
        time = cut_off.isoformat()
        lines.append(f"neuro,Study {number:02d},{project},{identifier},{time},{batch},{status},old")
    report = folder / "snapshot_report.csv"
    report.write_text("\n".join(lines) + "\n")
    with SimulatorServer(site) as server:
        run = gear_maker(folder, server)(**{"snapshot batch name": "Autumn"}).run(report)
        return Retry(run, site, projects, snapshots)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story | Retry]:
    """Both are mostly waiting: at the same time."""
    stories: dict[str, Callable[[], Story | Retry]] = {
        "story": partial(_story, tmp_path_factory.mktemp("story")),
        "retry": partial(_retry, tmp_path_factory.mktemp("retry")),
    }
    return run_together(stories)


@pytest.fixture(scope="module")
def story(both: dict[str, Story | Retry]) -> Story:
    found = both["story"]
    assert isinstance(found, Story)
    return found


@pytest.fixture(scope="module")
def retry(both: dict[str, Story | Retry]) -> Retry:
    found = both["retry"]
    assert isinstance(found, Retry)
    return found


# --------------------------------------------------------------------- a batch over several retries


def _statuses(story: Story, step: Step) -> dict[str, str]:
    return {name: step.run.statuses[project] for name, project in story.projects.items()}


def test_the_first_run_reports_what_failed_and_what_is_not_finished(story: Story) -> None:
    assert story.first.run.exit_status == 1, story.first.run.log
    assert _statuses(story, story.first) == {
        "complete": "complete",
        "failing": "failed",
        "refused": "failed",
        "unanswered": "pending",
    }


def test_a_retry_starts_exactly_one_snapshot_of_each_that_failed(story: Story) -> None:
    assert story.second.creates == {"complete": 0, "failing": 1, "refused": 1, "unanswered": 0}
    assert story.third.creates == {"complete": 0, "failing": 1, "refused": 0, "unanswered": 0}


def test_a_retry_waits_for_the_snapshot_that_was_still_running(story: Story) -> None:
    project = story.projects["unanswered"]

    before, after = story.first.run.row(project), story.second.run.row(project)
    assert after["status"] == "complete"
    assert after["snapshot_id"] == before["snapshot_id"] != ""


def test_a_retry_ends_with_1_until_the_whole_batch_is_complete(story: Story) -> None:
    assert _statuses(story, story.second)["failing"] == "failed"
    assert story.second.run.exit_status == 1, story.second.run.log
    assert set(_statuses(story, story.third).values()) == {"complete"}
    assert story.third.run.exit_status == 0, story.third.run.log


def test_a_complete_row_is_carried_over_to_the_letter(story: Story) -> None:
    project = story.projects["complete"]

    lines = {
        line
        for step in (story.first, story.second, story.third, story.fourth)
        for line in step.run.report.read_text(encoding="utf-8").splitlines()
        if project in line
    }
    assert len(lines) == 1


def test_nothing_is_asked_about_a_complete_row(story: Story) -> None:
    for step in (story.second, story.third):
        assert story.projects["complete"] not in {asked.project_id for asked in step.requests}


def test_every_report_speaks_of_the_whole_batch(story: Story) -> None:
    for step in (story.first, story.second, story.third, story.fourth):
        assert set(step.run.statuses) == set(story.projects.values())


def test_the_batch_keeps_the_name_that_the_report_gives_it(story: Story) -> None:
    for step in (story.first, story.second, story.third, story.fourth):
        assert {row["batch_label"] for row in step.run.rows} == {"Spring"}


def test_the_report_wins_over_the_filter_and_the_log_says_so(story: Story) -> None:
    assert "projects" not in {asked.kind for asked in story.second.requests}
    assert story.second.run.lines(" INFO ", "report", "wins", "project filter")


def test_a_failed_row_is_looked_up_before_its_snapshot_is_started(story: Story) -> None:
    project = story.projects["failing"]

    kinds = [asked.kind for asked in story.third.requests if asked.project_id == project]
    assert kinds[:2] == ["project", "create"]


def test_a_retry_of_a_complete_batch_has_nothing_to_do_and_ends_with_0(story: Story) -> None:
    assert story.fourth.run.exit_status == 0, story.fourth.run.log
    assert {asked.kind for asked in story.fourth.requests} <= {"auth", "job"}
    assert story.fourth.run.report.read_bytes() == story.third.run.report.read_bytes()


# ---------------------------------------------------------------------- every row that there can be


@pytest.mark.parametrize(
    "name",
    [
        "planned",
        "failed, never started",
        "failed snapshot",
        "running, in fact failed",
        "running, deleted",
        "cut off, older one",
        "cut off, none",
    ],
)
def test_a_row_without_a_usable_snapshot_gets_exactly_one(retry: Retry, name: str) -> None:
    assert retry.creates(name) == 1
    assert retry.row(name)["status"] == "complete"
    assert retry.row(name)["snapshot_id"] != retry.snapshots[name]


@pytest.mark.parametrize(
    "name",
    [
        "running",
        "running, in fact complete",
        "running, failed, another since",
        "unknown state",
        "cut off, made since",
    ],
)
def test_a_snapshot_that_there_is_already_is_taken(retry: Retry, name: str) -> None:
    assert retry.creates(name) == 0
    assert retry.row(name)["status"] == "complete"
    assert retry.row(name)["snapshot_id"] == retry.snapshots[name]


@pytest.mark.parametrize("name", ["failed, project gone", "cut off, project gone"])
def test_no_snapshot_is_started_of_a_project_that_is_gone(retry: Retry, name: str) -> None:
    assert retry.creates(name) == 0
    assert (retry.row(name)["status"], retry.row(name)["snapshot_id"]) == ("failed", "")
    assert "no such project" in retry.row(name)["error"]


def test_only_the_projects_that_are_gone_keep_the_batch_from_being_complete(retry: Retry) -> None:
    assert retry.run.exit_status == 1, retry.run.log
    assert sorted(retry.run.statuses.values()) == ["complete"] * 12 + ["failed"] * 2


def test_what_a_row_said_of_an_earlier_failure_is_gone_once_it_is_complete(retry: Retry) -> None:
    complete = [row for row in retry.run.rows if row["status"] == "complete"]

    assert {row["error"] for row in complete} == {""}


def test_the_batch_name_of_the_config_fills_the_rows_that_have_none(retry: Retry) -> None:
    names = [row["batch_label"] for row in retry.run.rows]

    assert names == ["Autumn" if number % 2 == 0 else "Spring" for number in range(14)]


def test_a_snapshot_that_is_taken_over_brings_the_time_that_it_was_made(retry: Retry) -> None:
    (snapshot,) = retry.site.snapshots(retry.projects["cut off, made since"])

    made = datetime.fromisoformat(retry.row("cut off, made since")["timestamp"])
    assert made.timestamp() == snapshot.created


@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize("lost", [1, None], ids=["one answer is lost", "all are"])
def test_a_time_ahead_of_the_site_s_clock_makes_no_snapshot_twice(
    simulated: SimulatedSite, run_here: RunHere, tmp_path: Path, is_running: bool, lost: int | None
) -> None:
    project = simulated.add_project()
    failing = simulated.add_snapshot(project, "failed", simulated.now() - 60.0, build_seconds=65.0)
    simulated.fault(Fault("create", project, times=lost, action=lose_answer(504)))
    ahead = (START + timedelta(seconds=30)).isoformat()
    report = tmp_path / "edited.csv"
    row = f"neuro,Study,{project},{failing if is_running else ''},{ahead},,in_progress,"
    report.write_text(f"{COLUMNS}\n{row}\n")

    reported = run_here(retry_report=report)[project]

    assert reported["status"] == "complete"
    assert simulated.creates(project) == 1


# ------------------------------------------------------------------- reports from other hands

P1, P2, P3 = (digit * 24 for digit in "123")
S1, S2 = "a" * 24, "b" * 24

VERSION_0_0_4 = f"""\
group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status
neuro,001,{P1},{S1},2023-11-29 14:05,Autumn,SnapshotState.complete
neuro,NA,{P2},{S2},2023-11-29 14:05,Autumn,SnapshotState.failed
cardio,"Herz, Lunge",{P3},,2023-11-29 14:06,Autumn,failed
"""

SPREADSHEET = f"""\
Status;note;BATCH_LABEL;Project_ID;project_label;group_label;snapshot_id;timestamp;error

COMPLETE;mine;Autumn;{P1};'=1+1;neuro;{S1};2026-01-31T12:00:00+00:00;
Failed;;Autumn;{P2.upper()};NA;neuro;{S2.upper()};2026-01-31T12:00:00Z;why
Failed;;Autumn;{P2.upper()};NA;neuro;{S2.upper()};2026-01-31T12:00:00Z;why
;;;;;;;;
planned;;Autumn;{P3};"Herz, Lunge";cardio;;;
"""

FILES = {
    "of version 0.0.4": VERSION_0_0_4.encode(),
    "edited with a spreadsheet": SPREADSHEET.replace("\n", "\r\n").encode("utf-8-sig"),
}


@pytest.fixture(scope="module")
def retried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[GearRun, SimulatedSite]]:
    """Retry each of these reports, against a site that has their three projects."""
    folder = tmp_path_factory.mktemp("retried")

    def run(name: str) -> tuple[GearRun, SimulatedSite]:
        site = SimulatedSite()
        for project in (P1, P2, P3):
            site.add_project(project_id=project)
        report = folder / f"{name}.csv"
        report.write_bytes(FILES[name])
        with SimulatorServer(site) as server:
            return gear_maker(folder / name, server)().run(report), site

    return run_together({name: partial(run, name) for name in FILES})


@pytest.mark.parametrize("name", FILES)
def test_such_a_report_is_retried_like_one_of_our_own(
    retried: dict[str, tuple[GearRun, SimulatedSite]], name: str
) -> None:
    run, site = retried[name]

    assert run.exit_status == 0, run.log
    assert [site.creates(project) for project in (P1, P2, P3)] == [0, 1, 1]
    assert run.statuses == dict.fromkeys((P3, P1, P2), "complete")
    assert run.row(P1)["snapshot_id"] == S1


@pytest.mark.parametrize("name", FILES)
def test_what_such_a_report_names_comes_back_as_it_was_but_for_names_that_the_site_has_told(
    retried: dict[str, tuple[GearRun, SimulatedSite]], name: str
) -> None:
    run, _ = retried[name]

    complete = "001" if "0.0.4" in name else "'=1+1"
    assert run.row(P1)["project_label"] == complete
    assert {run.row(project)["project_label"] for project in (P2, P3)} == {"Study"}
    assert {row["batch_label"] for row in run.rows} == {"Autumn"}


def test_a_report_of_version_0_0_4_comes_back_with_times_that_name_their_zone(
    retried: dict[str, tuple[GearRun, SimulatedSite]],
) -> None:
    run, _ = retried["of version 0.0.4"]

    assert run.row(P1)["timestamp"] == "2023-11-29T14:05:00+00:00"


def test_a_dry_run_can_be_edited_by_hand_and_carried_out(
    served: SimulatorServer, gear: MakeGear
) -> None:
    wanted, unwanted = (served.site.add_project(label=label) for label in ("wanted", "unwanted"))
    plan = gear(**{"project filter": "ALL", "dry run": True}).run()
    text = plan.report.read_text(encoding="utf-8")
    plan.report.write_text(re.sub(f".*{unwanted}.*\n", "", text), encoding="utf-8")

    run = gear().run(plan.report)

    assert run.exit_status == 0, run.log
    assert run.statuses == {wanted: "complete"}
    assert (served.site.creates(wanted), served.site.creates(unwanted)) == (1, 0)
