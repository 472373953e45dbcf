"""What docs/rules.md says of gear rules, and the FAQ of jobs that are started again.

Each job is a run of the whole gear against the simulated site, which launches it.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flywheel
import pytest

from flywheel_site_simulator import (
    Engine,
    Fault,
    ProjectFile,
    SimulatedSite,
    SimulatorServer,
    SiteJob,
    refuse,
)
from tests.support.gear import REPORT, GearFolder, GearRun, MakeGear, run_together
from tests.support.jobs import Platform, Rule, as_run, engine_for, told
from tests.support.repository import read

COMPLETE, INCOMPLETE = "snapshots-complete", "snapshots-incomplete"
ALL = {"project filter": "ALL"}
RULE_KEY = "rule-key"

# ------------------------------------------------------------------------- what a rule can go by


@pytest.mark.process
def test_a_rule_can_go_by_the_report_s_tag_and_a_job_that_did_not_begin_has_none(
    served: SimulatorServer, gear: MakeGear
) -> None:
    good, bad = (served.site.add_project(label=label) for label in ("Good", "Bad"))
    served.site.outcome(bad, *["failed"] * 9)
    of_good, of_both, of_none = ({"project filter": f} for f in ("label=Good", "ALL", "label=X"))

    runs = run_together(
        {
            "complete": gear(**of_good).run,
            "incomplete": gear(**of_both, **{"fail on incomplete": False}).run,
            "dry": gear(**of_both, **{"dry run": True}).run,
            "not begun": gear(**of_none).run,
        }
    )

    said = {
        name: (run.exit_status, told(run).get("tags"), state(run)) for name, run in runs.items()
    }
    assert said == {
        "complete": (0, [COMPLETE], "PASS"),
        "incomplete": (0, [INCOMPLETE], "FAIL"),
        "dry": (0, [], "NA"),
        "not begun": (2, None, None),
    }
    assert runs["not begun"].files == set()
    assert good in runs["complete"].statuses


def state(run: GearRun) -> str | None:
    info = told(run).get("info")
    return info["qc"]["sitewide-snapshot"]["snapshots"]["state"] if info else None


# --------------------------------------------------------------------- what a rule's job can see


@dataclass(frozen=True)
class Ruled:
    """A site in which a rule's user is a member of one project only."""

    server: SimulatorServer
    own: str
    other: str
    key: str


@pytest.fixture
def ruled() -> Iterator[Ruled]:
    site = SimulatedSite(build_seconds=(0.1, 0.3))
    everyone = site.add_user()
    rule = site.add_user(RULE_KEY, email="rule@example.org")
    own = site.add_project(label="Own", members=[everyone, rule])
    other = site.add_project(label="Other", members=[everyone])
    with SimulatorServer(site) as server:
        yield Ruled(server, own, other, server.api_key(RULE_KEY))


@pytest.mark.process
def test_for_a_rule_s_job_all_is_one_project_and_the_log_says_so(
    ruled: Ruled, tmp_path: Path
) -> None:
    run = GearFolder(tmp_path, ruled.key, dict(ALL)).run()

    assert run.exit_status == 0, run.log
    assert run.statuses == {ruled.own: "complete"}
    assert run.lines("ALL is one project: a job that a gear rule starts sees its own project only")


# ----------------------------------------------------------------------- a rule that retries, once

FIRST_RUN = {"project filter": "label=Own", "fail on incomplete": False}
# What is not verified of a platform, at its worst: whatever can set the rule off does.
WORST = {"file_tags_stay": True, "each_version_is_new": True}


PAGE = "docs/rules.md"


def rule_on_the_page() -> dict[str, str]:
    """Read what the page says to enter, by the rule's field."""
    return dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \|$", read(PAGE), re.MULTILINE))


def conditions(entered: str) -> tuple[tuple[str, str], ...]:
    return tuple(re.findall(r"`(file\.\w+)` is `([^`]+)`", entered))


def test_the_page_says_first_that_the_rule_may_not_be_possible() -> None:
    recipe = read(PAGE).partition("\n## A rule that retries what failed\n")[2]

    assert recipe.lstrip().startswith("**It may not be possible on your site.**")


@pytest.fixture
def rule() -> Rule:
    """Make the page's rule, which finds one project only."""
    entered = rule_on_the_page()
    options = re.findall(r"`([a-z ]+)` \*\*(on|off)\*\*", entered["config"])
    assert options
    assert "`project filter` empty" in entered["config"]
    config = {name: value == "on" for name, value in options}
    return Rule(config, conditions(entered["all"]), conditions(entered["not"]), RULE_KEY)


@pytest.fixture
def make_platform(ruled: Ruled, rule: Rule, tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Make the rule's project; what it is told of the site's behaviour goes there."""
    with engine_for(ruled.server, tmp_path / "jobs") as engine:

        def make(*, file_tags_stay: bool = False, job_restarts: int = 0, **how: Any) -> Platform:
            ruled.server.site.behaviour.file_tags_stay = file_tags_stay
            ruled.server.site.behaviour.job_restarts = job_restarts
            return Platform(ruled.server.site, engine, ruled.own, **{"rule": rule, **how})

        yield make


def test_the_page_s_rule_has_the_fields_and_conditions_that_the_sdk_knows(rule: Rule) -> None:
    entered = rule_on_the_page()

    assert set(entered) <= set(flywheel.GearRuleInput.attribute_map.values())
    assert entered["triggering_input"] == "`retry failed`"
    types = {str(known) for known in flywheel.GearRuleConditionType}
    assert {of for of, _ in (*rule.all, *rule.none)} <= types
    assert (len(rule.all), len(rule.none)) == (2, 1)


@pytest.mark.process
@pytest.mark.parametrize("how", [{}, WORST], ids=["best", "worst"])
def test_an_incomplete_batch_gets_one_retry_and_a_retry_that_completes_it_none(
    ruled: Ruled, make_platform: Callable[..., Platform], how: dict[str, bool]
) -> None:
    ruled.server.site.outcome(ruled.own, "failed", "complete")
    platform = make_platform(**how)

    platform.start(FIRST_RUN)

    assert platform.exit_statuses == [0, 0]
    assert ruled.server.site.creates() == ruled.server.site.creates(ruled.own) == 2
    assert COMPLETE in platform.tags


@pytest.mark.process
def test_a_batch_that_stays_incomplete_gets_one_retry_after_each_run(
    ruled: Ruled, make_platform: Callable[..., Platform]
) -> None:
    ruled.server.site.outcome(ruled.own, *["failed"] * 9)
    platform = make_platform(**WORST)

    platform.start(FIRST_RUN)

    assert platform.exit_statuses == [0, 1]
    assert ruled.server.site.creates() == 2

    platform.start(FIRST_RUN)

    assert platform.exit_statuses == [0, 1, 0, 1]
    assert ruled.server.site.creates() == 4


@pytest.mark.process
def test_a_complete_batch_gets_none_and_where_tags_add_up_later_ones_neither(
    ruled: Ruled, make_platform: Callable[..., Platform]
) -> None:
    ruled.server.site.outcome(ruled.own, "complete", "failed")
    platform = make_platform(**WORST)

    for _ in range(2):
        platform.start(FIRST_RUN)

    assert platform.tags == [COMPLETE, INCOMPLETE]
    assert platform.exit_statuses == [0, 0]
    assert ruled.server.site.creates() == 2


@pytest.mark.process
def test_with_fail_on_incomplete_off_nothing_bounds_the_rule(
    ruled: Ruled, rule: Rule, make_platform: Callable[..., Platform]
) -> None:
    ruled.server.site.outcome(ruled.own, *["failed"] * 9)
    unbounded = replace(rule, config={**rule.config, "fail on incomplete": False})
    platform = make_platform(rule=unbounded, each_version_is_new=True, most_jobs=3)

    platform.start(FIRST_RUN)

    assert platform.exit_statuses == [0, 0, 0]
    assert ruled.server.site.creates() == 3


@pytest.mark.process
def test_a_site_that_starts_failed_jobs_again_does_so_with_the_retry_and_it_ends(
    ruled: Ruled, make_platform: Callable[..., Platform]
) -> None:
    ruled.server.site.outcome(ruled.own, *["failed"] * 9)
    platform = make_platform(**WORST, job_restarts=1)

    platform.start(FIRST_RUN)

    assert platform.exit_statuses == [0, 1, 1]
    assert ruled.server.site.creates() == 3


@pytest.mark.process
def test_a_rule_s_job_can_t_finish_a_batch_of_other_projects_but_a_person_can(
    ruled: Ruled, make_platform: Callable[..., Platform]
) -> None:
    for project in (ruled.own, ruled.other):
        ruled.server.site.outcome(project, "failed", "complete")
    platform = make_platform(**WORST)

    platform.start({**FIRST_RUN, **ALL})

    first, retry = platform.runs
    assert set(first.statuses.values()) == {"failed"}, first.log
    assert retry.exit_status == 1, retry.log
    assert retry.statuses == {ruled.own: "complete", ruled.other: "failed"}
    assert "not authorized" in retry.row(ruled.other)["error"]
    assert ruled.server.site.creates(ruled.other) == 1

    platform.start({}, retry.report)

    assert platform.exit_statuses == [0, 1, 0]
    assert [ruled.server.site.creates(p) for p in (ruled.own, ruled.other)] == [2, 2]


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """Write the report that the page has for trying the rule out."""
    block = re.search(r"^```text\n(group_label.*?)^```$", read(PAGE), re.DOTALL | re.MULTILINE)
    assert block is not None
    report = tmp_path / REPORT
    report.write_text(block[1])
    return report


@pytest.mark.process
def test_the_page_s_trial_of_a_rule_starts_one_job_and_no_snapshot(
    ruled: Ruled, make_platform: Callable[..., Platform], trial: Path
) -> None:
    platform = make_platform(**WORST)

    platform.upload(trial, INCOMPLETE)

    [run] = platform.runs
    assert run.exit_status == 1, run.log
    assert "there is no such project" in run.rows[0]["error"]
    assert ruled.server.site.creates() == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("how", "jobs"),
    [({"each_version_is_new": True}, 1), ({"file_tags_stay": True}, 1), (WORST, 2)],
    ids=["new match", "tags stay", "both"],
)
def test_if_rules_look_at_failed_jobs_two_more_things_must_hold_before_it_loops(
    ruled: Ruled,
    make_platform: Callable[..., Platform],
    trial: Path,
    how: dict[str, bool],
    jobs: int,
) -> None:
    """And the trial shows it: there is a second job."""
    platform = make_platform(rules_see_failed=True, most_jobs=2, **how)

    platform.upload(trial, INCOMPLETE)

    assert platform.exit_statuses == [1] * jobs
    assert ruled.server.site.creates() == 0


@pytest.mark.process
def test_a_rule_that_doesn_t_fill_the_input_starts_nothing(
    ruled: Ruled, rule: Rule, make_platform: Callable[..., Platform]
) -> None:
    platform = make_platform()

    platform.start(rule.config, key=rule.key)

    assert platform.exit_statuses == [2]
    assert ruled.server.site.creates() == 0


# ------------------------------------------------------------ a job that the platform starts again

DAYS = 3 * 86_400.0
STUDIES = {"project filter": "group=study"}


@dataclass(frozen=True)
class Jobs:
    """A site and what runs its jobs."""

    site: SimulatedSite
    engine: Engine
    project: str

    def launch(self, config: Mapping[str, Any], given: Path | None = None) -> SiteJob:
        inputs = {} if given is None else {"retry failed": ProjectFile(REPORT, given)}
        place = self.project
        return self.site.jobs.add(config, inputs=inputs, destination=place, state="pending")

    def restart(self, job: SiteJob) -> SiteJob:
        """Start a job again, as its Retry button does."""
        return self.site.jobs.restart(job.id, "pending")

    def run(self, job: SiteJob) -> GearRun:
        return as_run(self.engine.wait(job.id))

    def creates(self, *projects: str) -> list[int]:
        return [self.site.creates(project) for project in projects]


@pytest.fixture
def jobs(served: SimulatorServer, tmp_path: Path) -> Iterator[Jobs]:
    with engine_for(served, tmp_path / "jobs") as engine:
        yield Jobs(served.site, engine, served.site.add_project("admin", "Snapshots"))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.process
def test_a_job_whose_machine_dies_again_and_again_makes_one_snapshot_of_each_project(
    jobs: Jobs,
) -> None:
    jobs.site.behaviour.build_seconds = (1.0, 3.0)
    studies = [jobs.site.add_project("study", f"Study {n}") for n in range(20)]
    job = jobs.launch(STUDIES)
    for made in (1, 10):
        until(lambda made=made: jobs.site.creates() >= made)  # type: ignore[misc]
        until(lambda job=job: job.state == "running")  # type: ignore[misc]
        jobs.engine.kill(job.id)
        job = jobs.restart(job)

    run = jobs.run(job)

    assert (run.exit_status, job.attempt) == (0, 3), run.log
    assert set(run.statuses.values()) == {"complete"}
    assert jobs.creates(*studies) == [1] * len(studies)


@pytest.mark.process
def test_the_retry_button_does_what_retry_failed_does_also_days_later(jobs: Jobs) -> None:
    good, bad = (jobs.site.add_project("study", label) for label in ("Good", "Bad"))
    jobs.site.outcome(bad, "failed", "failed", "complete")
    first = jobs.launch(STUDIES)
    assert jobs.run(first).exit_status == 1
    second = jobs.restart(first)
    assert jobs.run(second).exit_status == 1
    jobs.site.clock_offset_seconds += DAYS
    run = jobs.run(jobs.restart(second))

    assert run.exit_status == 0, run.log
    assert jobs.creates(good, bad) == [1, 3]


@pytest.mark.process
def test_a_retry_that_is_started_again_starts_what_is_still_missing(
    jobs: Jobs, tmp_path: Path
) -> None:
    good, bad, worse = (jobs.site.add_project("study", name) for name in ("Good", "Bad", "Worse"))
    jobs.site.outcome(bad, "failed", "complete")
    jobs.site.outcome(worse, "failed", "failed", "complete")
    run = jobs.run(jobs.launch(STUDIES))
    given = tmp_path / "given.csv"
    given.write_bytes(run.report.read_bytes())

    retry = jobs.launch({}, given)
    assert jobs.run(retry).exit_status == 1
    run = jobs.run(jobs.restart(retry))

    assert run.exit_status == 0, run.log
    assert jobs.creates(good, bad, worse) == [1, 2, 3]


@pytest.mark.process
def test_a_job_that_may_not_see_itself_is_a_first_attempt(jobs: Jobs) -> None:
    study = jobs.site.add_project("study")
    jobs.site.fault(Fault(kind="job", action=refuse(403)))
    first = jobs.launch(STUDIES)
    assert jobs.run(first).exit_status == 0

    run = jobs.run(jobs.restart(first))

    assert run.exit_status == 0, run.log
    assert jobs.creates(study) == [2]


@pytest.mark.process
def test_with_fail_on_incomplete_off_a_site_that_retries_failed_jobs_has_none_to_retry(
    served: SimulatorServer, gear: MakeGear
) -> None:
    served.site.outcome(served.site.add_project(), "failed")

    run = gear(**ALL, **{"fail on incomplete": False}).run()

    assert run.exit_status == 0
    assert set(run.statuses.values()) == {"failed"}
    assert run.lines(" WARNING ", "run again with the report")
