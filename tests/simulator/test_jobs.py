"""Jobs: their keys, their records, and how the platform starts them again."""

from functools import partial
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    DEFAULT_USER,
    Fault,
    ProjectFile,
    Request,
    Response,
    SimulatedSite,
    SiteJob,
    answer_with,
    refuse,
)
from tests.simulator.caller import Caller, Clock


def detail(caller: Caller, job: SiteJob) -> Response:
    return caller.ask("GET", f"/api/jobs/{job.id}/detail")


def test_a_job_s_key_acts_for_its_user_and_says_which_job_it_is(
    site: SimulatedSite, caller: Caller
) -> None:
    project = site.add_project(members=[DEFAULT_USER])
    job = site.jobs.add()

    own = Caller(site, job.key)

    session = own.ask("GET", "/api/auth/status").document
    assert session["origin"] == {"type": "job", "id": job.id}
    assert session["user_id"] == DEFAULT_USER
    assert own.create(project).status == 201
    assert caller.ask("GET", "/api/auth/status").document["origin"]["type"] == "user"


@pytest.mark.parametrize("state", ["complete", "failed", "cancelled"])
def test_a_job_s_key_dies_with_it(site: SimulatedSite, caller: Caller, state: str) -> None:
    job = site.jobs.add()

    site.jobs.end(job.id, state)

    assert detail(Caller(site, job.key), job).status == 401
    assert detail(caller, job).document["state"] == state


def test_the_detail_of_a_job_has_what_the_facts_say(
    site: SimulatedSite, caller: Caller, clock: Clock
) -> None:
    job = site.jobs.add({"debug": True}, state="pending")
    clock.advance(60)
    assert site.jobs.take() is job
    assert site.jobs.take() is None

    told = detail(caller, job).document

    assert told["_id"] == job.id
    assert told["config"]["config"] == {"debug": True}
    assert (told["attempt"], told["state"]) == (1, "running")
    assert (told["previous_job_id"], told["original_job_id"], told["retried"]) == (None,) * 3
    assert told["created"] == "2027-01-15T08:00:00.000+00:00"
    assert told["transitions"]["running"] == "2027-01-15T08:01:00.000+00:00"
    assert told["outputs"] == []
    assert [request.kind for request in site.requests] == ["job"]


def test_a_job_that_is_started_again_is_a_copy_that_follows_on_it(
    site: SimulatedSite, caller: Caller, clock: Clock
) -> None:
    first = site.jobs.add({"project filter": "ALL"})
    clock.advance(60)
    second = site.jobs.restart(first.id)
    clock.advance(60)
    third = site.jobs.restart(second.id)

    old, copy = detail(caller, first).document, detail(caller, third).document
    assert (old["state"], old["retried"]) == ("failed", "2027-01-15T08:01:00.000+00:00")
    assert (copy["state"], copy["attempt"], copy["retried"]) == ("running", 3, None)
    assert (copy["previous_job_id"], copy["original_job_id"]) == (second.id, first.id)
    assert copy["created"] == "2027-01-15T08:02:00.000+00:00"
    assert copy["config"] == old["config"]
    keys = [Caller(site, job.key).projects().status for job in (first, second, third)]
    assert keys == [401, 401, 200]


def test_a_job_is_started_again_once(site: SimulatedSite) -> None:
    job = site.jobs.add()
    site.jobs.restart(job.id)
    with pytest.raises(ValueError, match="already"):
        site.jobs.restart(job.id)


def test_a_job_that_has_ended_stays_so(site: SimulatedSite) -> None:
    job = site.jobs.add()
    site.jobs.end(job.id)
    with pytest.raises(ValueError, match="it is complete"):
        site.jobs.end(job.id, "failed")


def test_a_job_is_shown_to_who_launched_it_and_to_administrators(
    site: SimulatedSite, caller: Caller
) -> None:
    site.add_user("other-key", email="stranger@example.org")
    site.add_user("admin-key", ("user", "site_admin"), email="admin@example.org")
    job = site.jobs.add()
    stranger, admin = Caller(site, "other-key"), Caller(site, "admin-key")

    assert detail(stranger, job).status == 403
    assert detail(admin, job).status == 200
    assert admin.ask("GET", f"/api/jobs/{job.id}").document["_id"] == job.id
    assert caller.ask("GET", f"/api/jobs/{job.id}").status == 403
    assert caller.ask("GET", "/api/jobs/nonsense/detail").status == 404
    assert stranger.ask("GET", "/api/jobs").document == []


def test_the_detail_of_a_job_can_be_refused_or_odd(site: SimulatedSite, caller: Caller) -> None:
    job = site.jobs.add()

    for status in (401, 403, 404):
        site.fault(Fault(kind="job", times=1, action=refuse(status)))
        assert detail(caller, job).status == status
    site.fault(Fault(kind="job", times=1, action=answer_with(["odd"])))
    assert detail(caller, job).document == ["odd"]
    assert detail(caller, job).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/jobs/{job}", b"", 400),
        ("/api/jobs/{job}", b"[]", 400),
        ("/api/jobs/{job}", b'{"state": "complete"}', 403),
        ("/api/jobs/{other}", b'{"state": "cancelled"}', 403),
        ("/api/jobs/nonsense", b'{"state": "cancelled"}', 404),
        ("/api/jobs/{job}/logs", b'{"state": "cancelled"}', 404),
        ("/api/jobs/add", b'{"state": "cancelled"}', 404),
    ],
)
def test_a_change_that_a_caller_can_t_make_is_refused(
    site: SimulatedSite, path: str, body: bytes, status: int
) -> None:
    site.add_user("other-key", email="stranger@example.org")
    job, other = site.jobs.add(), site.jobs.add(key="other-key")
    headers = {"authorization": f"scitran-user {job.key}"}

    request = Request("PUT", path.format(job=job.id, other=other.id), {}, headers, body)

    assert site.handle(request).status == status
    assert (job.state, other.state) == ("running", "running")


def test_jobs_are_listed_by_filter_and_in_pages(site: SimulatedSite, caller: Caller) -> None:
    first, second, third = (site.jobs.add() for _ in range(3))
    site.jobs.end(second.id)

    def ids(**query: str) -> list[str]:
        return [job["_id"] for job in caller.ask("GET", "/api/jobs", **query).document]

    assert ids() == [first.id, second.id, third.id]
    assert ids(limit="2") == [first.id, second.id]
    assert ids(limit="2", after_id=second.id) == [third.id]
    assert ids(filter="state=running,attempt=1") == [first.id, third.id]


def test_nobody_s_key_launches_no_job(site: SimulatedSite) -> None:
    with pytest.raises(KeyError):
        site.jobs.add(key="nobody's")


def test_a_new_version_of_a_file_keeps_its_id_and_its_information(
    site: SimulatedSite, caller: Caller, tmp_path: Path
) -> None:
    report = partial(ProjectFile, "report.csv", tmp_path / "report.csv")
    project = site.add_project()
    old = site.files.put(project, report(tags=("old",), info={"a": 1, "b": 1}))
    site.files.put(project, report(tags=("new",), info={"b": 2}))

    [file] = caller.project(project).document["files"]
    assert (file["file_id"], file["info"]) == (old.file_id, {"a": 1, "b": 2})
    assert file["tags"] == ["new"]
    site.behaviour.file_tags_stay = True
    site.files.put(project, report(tags=("newer", "new")))
    assert site.files.of_project(project)["report.csv"].tags == ("new", "newer")


def test_each_version_of_a_file_can_be_fetched(
    site: SimulatedSite, caller: Caller, tmp_path: Path
) -> None:
    project, path = site.add_project(), "/api/projects/{}/files/a%20report.csv"
    for number in (1, 2):
        (tmp_path / str(number)).write_text(f"version {number}")
        kept = site.files.put(project, ProjectFile("a report.csv", tmp_path / str(number)))
        assert kept.document()["version"] == number

    def fetch(**query: str) -> Response:
        return caller.ask("GET", path.format(project), **query)

    assert fetch(version="1").content == b"version 1"
    assert fetch(version="2").content == fetch().content == b"version 2"
    assert fetch(version="3").status == 404
    assert caller.ask("GET", f"/api/projects/{project}/files/other").status == 404
    closed = site.add_project(members=[])
    assert caller.ask("GET", path.format(closed)).status == 403
