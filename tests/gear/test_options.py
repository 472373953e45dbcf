"""What an administrator expects around the job: options, metadata, page, coverage."""

import csv
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    refuse,
)
from tests.support.gear import REPORT, GearFolder, GearRun, MakeGear, RunHere
from tests.support.time import FakeClock

COMPLETE, INCOMPLETE = "snapshots-complete", "snapshots-incomplete"


def file_metadata(run: GearRun) -> dict[str, Any]:
    document = json.loads((run.folder / "output" / ".metadata.json").read_text())
    [found] = [file for file in document["project"]["files"] if file["name"] == REPORT]
    assert isinstance(found, dict)
    return found


def qc(run: GearRun) -> dict[str, Any]:
    found: dict[str, Any] = file_metadata(run)["info"]["qc"]["sitewide-snapshot"]["snapshots"]
    return found


@pytest.mark.process
def test_a_dry_run_starts_nothing_and_its_report_cut_down_by_hand_is_a_list_of_what_to_do(
    served: SimulatorServer, gear: MakeGear, tmp_path: Path
) -> None:
    projects = [served.site.add_project(label=f"Study {n}") for n in range(4)]

    dry = gear(**{"project filter": "ALL", "dry run": True}).run()

    assert dry.exit_status == 0, dry.log
    assert dry.statuses == dict.fromkeys(projects, "planned")
    assert served.site.creates() == 0
    assert " WARNING " not in dry.log

    edited = tmp_path / "edited.csv"
    with edited.open("w", newline="") as file:
        rows = csv.DictWriter(file, dry.rows[0])
        rows.writeheader()
        rows.writerows(dry.rows[1:3])
    run = gear().run(retry_failed=edited)

    assert run.exit_status == 0, run.log
    assert [served.site.creates(project) for project in projects] == [0, 1, 1, 0]
    assert run.statuses == {row["project_id"]: "complete" for row in dry.rows[1:3]}


def test_a_snapshot_that_fails_is_started_again_as_often_as_asked(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed", "failed", "complete")

    rows = run_here(attempts=3)

    assert simulated.creates(project) == 3
    assert rows[project]["status"] == "complete"
    assert rows[project]["snapshot_id"] == simulated.snapshots(project)[-1].id


def test_after_the_last_attempt_the_row_tells_how_many_there_were_and_the_log_their_ids(
    simulated: SimulatedSite, run_here: RunHere, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    project = simulated.add_project()
    simulated.outcome(project, *["failed"] * 5)

    rows = run_here(attempts=3)

    assert simulated.creates(project) == 3
    assert rows[project]["status"] == "failed"
    assert "(3 snapshots started in this run)" in rows[project]["error"]
    for snapshot in simulated.snapshots(project):
        assert f"snapshot {snapshot.id} failed" in caplog.text


def test_a_snapshot_that_has_failed_when_its_create_is_answered_is_started_again(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    failed = {"_id": "f" * 24, "status": "failed", "created": "2026-11-22T12:00:00+00:00"}
    simulated.fault(Fault("create", times=1, action=answer_with(failed, work=False)))

    rows = run_here(attempts=2)

    assert simulated.creates(project) == 1
    assert rows[project]["status"] == "complete"


def test_a_project_that_has_gone_meanwhile_gets_no_second_attempt(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed")
    simulated.fault(Fault("project", project, action=refuse(404, "gone")))

    rows = run_here(attempts=3)

    assert simulated.creates(project) == 1
    assert "no such project" in rows[project]["error"]


def test_a_second_attempt_whose_answer_is_lost_is_not_taken_for_the_first(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed", "complete")
    simulated.fault(Fault("create", after=1, times=1, action=refuse(502)))  # nothing was made

    rows = run_here(attempts=2)

    first, second = simulated.snapshots(project)
    assert (rows[project]["status"], rows[project]["snapshot_id"]) == ("complete", second.id)
    assert first.status == "failed"


def test_a_second_attempt_that_is_refused_leaves_the_count_in_the_row(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed")
    simulated.fault(Fault("create", after=1, action=refuse(403, "no more")))

    error = run_here(attempts=3)[project]["error"]

    assert "no more" in error
    assert "(1 snapshot started in this run)" in error


def test_a_second_attempt_gets_no_more_time_than_the_first(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock
) -> None:
    project = simulated.add_project()
    other = simulated.add_project()
    simulated.outcome(project, *["failed"] * 9)
    simulated.outcome(other, "in_progress")

    run_here(attempts=5, timeout_seconds=60.0)

    assert 60 <= clock.seconds < 62


def test_no_second_attempt_is_sent_after_the_deadline(
    simulated: SimulatedSite, run_here: RunHere
) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed")
    simulated.fault(Fault("create", after=1, action=refuse(503, retry_after_seconds=40)))

    run_here(attempts=2, timeout_seconds=20.0)

    sent = [request.time for request in simulated.requests if request.kind == "create"]
    assert len(sent) == 2
    assert sent[-1] - sent[0] < 20


def test_one_attempt_is_the_default(simulated: SimulatedSite, run_here: RunHere) -> None:
    project = simulated.add_project()
    simulated.outcome(project, "failed", "complete")

    run_here()

    assert simulated.creates(project) == 1


@dataclass(frozen=True)
class Incomplete:
    run: GearRun
    retry: GearRun
    site: SimulatedSite


@pytest.fixture
def incomplete(served: SimulatorServer, gear: MakeGear) -> Incomplete:
    """A run with one failed project that is not to fail the job, and its retry."""
    project = served.site.add_project(label="Good")
    served.site.add_project(label="Bad")
    served.site.outcome(project, "failed", "complete")
    run = gear(**{"project filter": "ALL", "fail on incomplete": False}).run()
    asked = len(served.site.requests)
    retry = gear().run(retry_failed=run.report)
    kinds = [request.kind for request in served.site.requests[asked:]]
    assert set(kinds) == {"auth", "job", "project", "create", "detail"}  # none for the metadata
    return Incomplete(run, retry, served.site)


@pytest.mark.process
def test_failed_rows_don_t_fail_the_job_where_that_is_asked_for_and_the_metadata_tells(
    incomplete: Incomplete,
) -> None:
    assert incomplete.run.exit_status == 0, incomplete.run.log
    assert file_metadata(incomplete.run)["tags"] == [INCOMPLETE]
    assert qc(incomplete.run)["counts"] == {"failed": 1, "complete": 1}
    # In a retry it is about the output, not about the input of the same name.
    assert file_metadata(incomplete.retry)["tags"] == [COMPLETE]
    assert qc(incomplete.retry)["state"] == "PASS"


@pytest.mark.process
def test_the_metadata_is_written_for_a_failed_job_too(
    served: SimulatorServer, gear: MakeGear
) -> None:
    project = served.site.add_project()
    served.site.fault(Fault("create", project, action=refuse(403, "no")))

    run = gear(**{"project filter": "ALL"}).run()

    assert run.exit_status == 1
    assert qc(run)["state"] == "FAIL"
    assert (run.folder / "output" / "snapshot_report.html").exists()
    assert "a retry can't help" in run.log


@pytest.mark.process
def test_an_administrator_is_told_what_all_leaves_out(tmp_path: Path) -> None:
    site = SimulatedSite()
    admin = site.add_user(roles=("user", "site_admin"))
    other = site.add_user("other", email="other@example.org")
    site.add_project(label="Seen", members=[admin])
    for group in ("zoo", "archive", "zoo"):
        site.add_project(group=group, members=[other])
    with SimulatorServer(site) as server:
        run = GearFolder(tmp_path, server.api_key(), {"project filter": "ALL"}).run()

    assert run.exit_status == 0, run.log
    assert "You are not a member of 3 projects of the site" in run.log
    assert "in 2 groups: archive, zoo" in run.log
    assert qc(run)["projects not visible"] == 3
    assert qc(run)["groups not visible"] == ["archive", "zoo"]
    assert site.creates() == 1


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("kind", ["users/self", "projects"])
def test_a_site_that_does_not_answer_the_question_of_coverage_fails_and_delays_nothing(
    simulated: SimulatedSite, run_here: RunHere, clock: FakeClock, kind: str, status: int
) -> None:
    simulated.add_user(roles=("user", "site_admin"))
    project = simulated.add_project()
    pages = 2 if kind == "projects" else 0
    simulated.fault(Fault(kind, after=pages, action=refuse(status, "no")))

    assert run_here()[project]["status"] == "complete"
    assert clock.seconds < 2


def test_all_that_is_one_project_brings_the_hint_on_gear_rules(
    simulated: SimulatedSite, run_here: RunHere, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    simulated.add_project()

    run_here()

    assert "a job that a gear rule starts sees its own project only" in caplog.text


@dataclass(frozen=True)
class Fetched:
    run: GearRun
    retry: GearRun
    site: SimulatedSite
    broken: str


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    """A run that fetches its snapshots, one of which can't be had; and its retry, when it can."""
    folder = tmp_path_factory.mktemp("fetched")
    site = SimulatedSite()
    for number in range(3):
        site.add_project(label=f"Study {number}", subjects=number + 1)
    broken = site.add_project(label="Broken")
    with SimulatorServer(site, storage=True) as server:
        site.fault(Fault("download", broken, action=refuse(403, "Not for you"), times=1))
        options = {"project filter": "ALL", "download snapshots": True, "snapshot batch name": "b"}
        run = GearFolder(folder / "run", server.api_key(), options).run()
        again = GearFolder(folder / "again", server.api_key(), {"download snapshots": True})
        retry = again.run(retry_failed=run.report)
    return Fetched(run, retry, site, broken)


@pytest.mark.process
def test_what_can_t_be_fetched_fails_the_job_and_keeps_the_site_s_status(fetched: Fetched) -> None:
    row = fetched.run.row(fetched.broken)

    assert fetched.run.exit_status == 1
    assert row["status"] == "complete"
    assert "download failed" in row["error"]
    assert row["sha256"] == ""
    assert qc(fetched.run)["state"] == "FAIL"


@pytest.mark.process
def test_every_other_snapshot_is_in_one_archive_with_its_checksum_and_the_report(
    fetched: Fetched,
) -> None:
    with zipfile.ZipFile(fetched.run.folder / "output" / "snapshots.zip") as archive:
        sums = archive.read("SHA256SUMS").decode()
        report = archive.read(REPORT).decode()
        names = archive.namelist()

    good = [row for row in fetched.run.rows if row["project_id"] != fetched.broken]
    for row in good:
        name = f"{row['group_label']}/{row['project_label']}/{row['snapshot_id']}.db.gz"
        assert f"{row['sha256']}  {name}\n" in sums
        assert name in names
        assert row["sha256"] in report
    assert [row["subjects"] for row in good] == ["1", "2", "3"]
    assert qc(fetched.run)["fetched"] == 3
    assert qc(fetched.run)["fetched subjects"] == 6


@pytest.mark.process
def test_a_retry_fetches_what_is_not_fetched_yet_and_starts_nothing(fetched: Fetched) -> None:
    assert fetched.retry.exit_status == 0, fetched.retry.log
    assert all(row["sha256"] for row in fetched.retry.rows)
    assert fetched.site.creates() == 4
    with zipfile.ZipFile(fetched.retry.folder / "output" / "snapshots.zip") as archive:
        assert sum(name.endswith(".db.gz") for name in archive.namelist()) == 1


@pytest.mark.process
def test_the_key_is_not_sent_to_the_storage(fetched: Fetched) -> None:
    assert fetched.site.storage_requests
    assert not any(request.authorization for request in fetched.site.storage_requests)


@pytest.mark.process
def test_the_page_says_that_the_batch_s_report_could_not_be_copied(
    served: SimulatorServer, gear: MakeGear, tmp_path: Path
) -> None:
    served.site.add_project()
    (tmp_path / "batches").write_text("no folder")

    run = gear(**{"project filter": "ALL", "copy to": f"file://{tmp_path}"}).run()

    assert run.exit_status == 1
    page = (run.folder / "output" / "snapshot_report.html").read_text()
    assert "; the report itself could not be copied." in page
