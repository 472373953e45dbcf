"""A job that the platform starts again finishes its first attempt's batch, and makes nothing twice.

Real processes against the site over HTTP, killed at random moments that are drawn anew in each run
of the tests; ``make soak`` tries a hundred. Nothing of what a killed attempt has put out is there
for the next one.
"""

import os
import random
import signal
import time
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer, SiteJob, refuse
from tests.support.gear import GearFolder, GearRun

pytestmark = pytest.mark.process

BATCHES = int(os.environ.get("MOMENTS", "4"))
AT_A_TIME = 4
PROJECTS = 40
PATIENCE_SECONDS = 60
CONFIG = {"project filter": "ALL", "snapshot batch name": "nightly"}


def lay_out(folder: Path, server: SimulatorServer, job: SiteJob) -> GearFolder:
    """Make the folder of a job of the site, whose key is the job's own."""
    return GearFolder(folder / job.id, server.api_key(job.key), CONFIG, job.id)


def kill(folder: GearFolder, site: SimulatedSite, after_seconds: float) -> None:
    """Run the gear, and kill it so long after the first create that it sends."""
    folder.prepare()
    before = sum(request.kind == "create" for request in site.requests)
    with folder.started() as process:
        end = time.monotonic() + PATIENCE_SECONDS
        while sum(request.kind == "create" for request in site.requests) == before:
            if process.poll() is not None:  # there was nothing left to start
                return
            assert time.monotonic() < end, "the gear never asked for a snapshot"
            time.sleep(0.01)
        time.sleep(after_seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Batch:
    """A batch whose job was killed twice, and its third attempt."""

    moments: tuple[float, float]
    site: SimulatedSite
    projects: list[str]
    jobs: list[SiteJob]
    last: GearRun

    def __str__(self) -> str:
        return f"killed after {self.moments} s:\n{self.last.log}"


def kill_twice(folder: Path) -> Batch:
    site = SimulatedSite(build_seconds=(0.2, 1.0), create_seconds=0.3, status_seconds=0.02)
    projects = [site.add_project(label=f"Study {n}") for n in range(PROJECTS)]
    moments = random.uniform(0.0, 1.5), random.uniform(0.0, 1.0)
    with SimulatorServer(site) as server:
        jobs = [site.jobs.add(CONFIG)]
        for moment in moments:
            kill(lay_out(folder, server, jobs[-1]), site, moment)
            jobs.append(site.jobs.restart(jobs[-1].id))
        last = lay_out(folder, server, jobs[-1]).run()
    return Batch(moments, site, projects, jobs, last)


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    folders = [tmp_path_factory.mktemp("restarted") for _ in range(BATCHES)]
    with ThreadPool(AT_A_TIME) as pool:
        return pool.map(kill_twice, folders)


def test_each_project_has_exactly_one_snapshot_and_it_is_complete(batches: list[Batch]) -> None:
    for batch in batches:
        made = {project: batch.site.snapshots(project) for project in batch.projects}
        assert {project: len(found) for project, found in made.items()} == dict.fromkeys(
            batch.projects, 1
        ), batch
        assert {s.status for found in made.values() for s in found} == {"complete"}, batch


def test_the_last_attempt_s_report_has_them_all_as_the_batch_s_own(batches: list[Batch]) -> None:
    for batch in batches:
        assert batch.last.exit_status == 0, batch
        rows = {row["project_id"]: row for row in batch.last.rows}
        for project in batch.projects:
            [made] = batch.site.snapshots(project)
            assert rows[project]["snapshot_id"] == made.id, batch
        assert {row["origin"] for row in rows.values()} == {"started"}, batch


def test_the_log_says_since_when_and_of_which_job(batches: list[Batch]) -> None:
    for batch in batches:
        [line] = batch.last.lines(f"Attempt 3 of job {batch.jobs[0].id}, which began ")
        assert " INFO " in line


# What a run is told of its job


def test_the_job_s_id_is_taken_from_the_key_where_the_config_has_none(
    served: SimulatorServer, tmp_path: Path
) -> None:
    site = served.site
    project = site.add_project()
    first = site.jobs.add(CONFIG)
    site.add_snapshot(project)
    again = site.jobs.restart(first.id)

    run = GearFolder(tmp_path / "again", served.api_key(again.key), CONFIG, "").run()

    assert run.exit_status == 0
    assert site.creates(project) == 0
    assert run.lines("Attempt 2 of job")


def test_a_first_attempt_costs_one_call_more_and_says_nothing(
    served: SimulatorServer, tmp_path: Path
) -> None:
    project = served.site.add_project()
    job = served.site.jobs.add(CONFIG)

    run = lay_out(tmp_path, served, job).run()

    assert run.exit_status == 0
    assert [r.kind for r in served.site.requests].count("job") == 1
    assert [r.kind for r in served.site.requests].count("list") == 0
    assert served.site.creates(project) == 1
    assert not run.lines("first attempt") + run.lines("Attempt ")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_where_the_site_does_not_tell_of_the_job_the_run_is_a_first_attempt(
    status: int, served: SimulatorServer, tmp_path: Path
) -> None:
    site = served.site
    project = site.add_project()
    again = site.jobs.restart(site.jobs.add(CONFIG).id)
    site.fault(Fault("job", action=refuse(status)))

    run = lay_out(tmp_path, served, again).run()

    assert run.exit_status == 0
    assert site.creates(project) == 1
    [line] = run.lines("Taken for a first attempt")
    assert " INFO " in line
    assert str(status) in line


def test_a_retry_that_is_started_again_starts_only_what_is_still_missing(
    served: SimulatorServer, tmp_path: Path
) -> None:
    site = served.site
    failing = [site.add_project(label=f"Failing {n}") for n in range(6)]
    for project in failing:
        site.outcome(project, "failed")
    whole = site.add_project(label="Whole")
    first = GearFolder(tmp_path / "first", served.api_key(), CONFIG, site.jobs.add(CONFIG).id).run()
    assert first.exit_status == 1
    retry = site.jobs.add({})
    folder = lay_out(tmp_path, served, retry)
    folder.prepare(first.report)
    with folder.started() as process:
        while sum(map(site.creates, failing)) < len(failing) + 2:
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)

    again = lay_out(tmp_path, served, site.jobs.restart(retry.id)).run(first.report)

    assert again.exit_status == 0
    assert again.statuses == dict.fromkeys([*failing, whole], "complete")
    for project in failing:
        assert [s.status for s in site.snapshots(project)] == ["failed", "complete"]
    assert site.creates(whole) == 1
