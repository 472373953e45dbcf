"""``examples/by_group.py`` against a site whose jobs are runs of a gear.

It is the script itself, but for how long it waits between two looks. One test runs the whole gear
for each of 40 groups; in the others a few lines stand for it, so that each can hang or fail.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    DEFAULT_KEY,
    Action,
    Engine,
    Fault,
    ProjectFile,
    SimulatedSite,
    SimulatorServer,
    SiteJob,
    answer_with,
    break_off,
    lose_answer,
    refuse,
    slow_down,
)
from tests.support.forked import start_script
from tests.support.gear import Reported, rows_of
from tests.support.jobs import as_run, engine_for
from tests.support.jobs_in_process import JobsInProcess
from tests.support.repository import ROOT, read
from tests.support.time import FakeClock

BY_GROUP = ROOT / "examples" / "by_group.py"
PLACE = "admin/Snapshots"
ODD_GROUPS = ["2024", "null", "5" * 24, "a.b", "axb", "x,y", "-dash (1)*", 'quo"te', "=SUM(1)"]
GEAR = """
import json, pathlib, shutil, sys, time
options = json.loads(pathlib.Path("config.json").read_text())["config"]
orders = pathlib.Path("{orders}") / options["project filter"][len("group=~^"):-1]
while not (orders / "status").exists():
    time.sleep(0.01)
if (orders / "report.csv").exists():
    shutil.copy(orders / "report.csv", "output/snapshot_report.csv")
sys.exit(int((orders / "status").read_text()))
"""
HEADER = "group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status"
OF_ANOTHER_JOB = f"{HEADER}\ncardio,Study,{'d' * 24},{'e' * 24},,,complete\n".encode()
UNUSABLE = [OF_ANOTHER_JOB, b"\xff\xfe\x00", b"a,b\n1,2\n"]
NOT_DONE = [refuse(503), *(refuse(status, body=b"<html>nginx</html>") for status in (403, 404))]


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Groups:
    """A site with a project for the reports, and the script in a folder of its own."""

    server: SimulatorServer
    folder: Path
    key: str

    def __post_init__(self) -> None:
        self.folder.mkdir()

    @property
    def site(self) -> SimulatedSite:
        return self.server.site

    @property
    def reported(self) -> Reported:
        """The rows of the reports put together, by project."""
        return {row["project_id"]: row for row in rows_of(self.folder / "by_group_report.csv")}

    def add(self, *names: str) -> list[str]:
        """Make groups with one project each."""
        return [self.site.add_project(name, f"Study in {name}") for name in names]

    def order(self, group: str, project: str = "", status: str = "complete") -> None:
        """Let a group's job end, with a report of one project or without any; not the gear's."""
        folder = self.folder / "orders" / group
        folder.mkdir(parents=True, exist_ok=True)
        if project:
            row = f"{group},Study,{project},{'e' * 24},2026-01-31T12:00:00+00:00,,{status}"
            (folder / "report.csv").write_text(f"{HEADER}\n{row}\n")
        (folder / "new").write_text("0" if project else "2")
        (folder / "new").rename(folder / "status")

    def jobs_of(self, group: str) -> list[SiteJob]:
        wanted = f"group=~^{re.escape(group)}$".replace(",", r"\,")
        return [job for job in self.site.jobs.all() if job.config["project filter"] == wanted]

    def running_job(self, group: str, number: int = 0) -> SiteJob:
        """Wait until a group's job runs, or one of those that follow on it."""
        until(lambda: [job.state for job in self.jobs_of(group)[number:]] == ["running"])
        return self.jobs_of(group)[number]

    @contextmanager
    def started(self, *arguments: str, **constants: str) -> Iterator[subprocess.Popen[str]]:
        """Start a copy of the script in which constants are others."""
        text = BY_GROUP.read_text()
        for name, value in {"SECONDS": "0.05", **constants}.items():
            text, count = re.subn(rf"^{name} = [^ ]+", f"{name} = {value}", text, flags=re.M)
            assert count == 1
        script = self.folder / "by_group.py"
        script.write_text(text)
        environment = {
            "HOME": str(self.folder),
            "PATH": "/usr/bin:/bin",
            "FW_API_KEY": self.key,
            "FLYWHEEL_SDK_TOTAL_RETRIES": "0",
        }
        process = start_script(script, *arguments, environment=environment)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def run(self, *arguments: str, **constants: str) -> tuple[int, str]:
        """Run the script to its end; gives its exit status and what it says."""
        with self.started(*(arguments or (PLACE,)), **constants) as process:
            return ended(process)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the script; each of its lines names the script, and none the key."""
    text, _ = process.communicate(timeout=120)
    assert all(" by_group.py: " in line for line in text.splitlines()), text
    assert DEFAULT_KEY not in text
    return process.returncode, text


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    """Make a site whose gear does what it is ordered, with groups that are not all snapshotted."""
    gear, folder = tmp_path / "gear", tmp_path / "here"
    gear.mkdir()
    manifest = {**json.loads(read("manifest.json")), "environment": {}}
    (gear / "manifest.json").write_text(json.dumps(manifest))
    (gear / "run.py").write_text(GEAR.format(orders=folder / "orders"))
    with (
        SimulatorServer(SimulatedSite()) as server,
        Engine(server, gear, tmp_path / "jobs"),
    ):
        server.site.add_project("admin", "Snapshots")
        yield Groups(server, folder, server.api_key())


# ---------------------------------------------------------------------------------- the whole gear


def test_forty_groups_are_forty_jobs_four_at_a_time_and_a_retry_finishes_what_failed(
    tmp_path: Path, clock: FakeClock, simulated: SimulatedSite
) -> None:
    names = ["fails", "lost", *ODD_GROUPS, *(f"group-{number:02}" for number in range(28))]
    with (
        SimulatorServer(simulated) as server,
        JobsInProcess(simulated, clock, tmp_path, together=4, lost=["group=~^lost$"]) as engine,
    ):
        groups = Groups(server, tmp_path / "here", server.api_key())
        places = groups.add("admin")
        fails, *others = [*groups.add(*names), *groups.add(*names)]
        projects = [*places, fails, *others]
        simulated.outcome(fails, "failed", "failed", "failed")

        status, said = groups.run("admin/Study in admin")
        rows, jobs = groups.reported, simulated.jobs.all()
        output = engine.run({}, groups.folder / "by_group_report.csv")

    assert status == 1
    assert "38 of 40 groups complete: by_group_report.csv" in said
    assert 'give that file to the gear as "retry failed", or run this again\n' in said
    assert (len(jobs), engine.most) == (40, 4)
    assert all(len(groups.jobs_of(name)) == 1 for name in ["admin", *names])
    assert set(rows) == set(projects)
    incomplete = [row for row in rows.values() if row["status"] != "complete"]
    assert [(row["group_label"], row["status"]) for row in incomplete] == [
        ("fails", "failed"),
        ("lost", "pending"),
        ("lost", "pending"),
    ]
    retried = {row["project_id"]: row for row in rows_of(output / "snapshot_report.csv")}
    assert set(retried) == set(projects)
    assert {row["status"] for row in retried.values()} == {"complete"}
    creates = {project: simulated.creates(project) for project in projects}
    assert creates == {**dict.fromkeys(projects, 1), fails: 4}


@pytest.mark.process
def test_a_retry_takes_what_a_job_that_was_killed_has_made(
    served: SimulatorServer, tmp_path: Path
) -> None:
    served.site.behaviour.build_seconds = (1.0, 2.0)
    with engine_for(served, tmp_path / "jobs") as engine:
        groups = Groups(served, tmp_path / "here", served.api_key())
        projects = groups.add("killed", "x,y", "admin")
        with groups.started("admin/Study in admin", "killed", "x,y") as script:
            job = groups.running_job("killed")
            until(lambda: served.site.creates(projects[0]) == 1)
            engine.kill(job.id)
            served.site.jobs.end(job.id, "failed")
            status, said = ended(script)
        together = ProjectFile("by_group_report.csv", groups.folder / "by_group_report.csv")
        inputs = {"retry failed": together}
        retry = served.site.jobs.add(inputs=inputs, destination=projects[2], state="pending")
        run = as_run(engine.wait(retry.id))

    assert (status, groups.reported[projects[1]]["status"]) == (1, "complete"), said
    assert run.exit_status == 0, run.log
    assert run.statuses == dict.fromkeys(projects[:2], "complete")
    assert [served.site.creates(project) for project in projects] == [1, 1, 0]


# ----------------------------------------------------------------------------- reports put together


def test_all_that_the_jobs_report_is_in_one_file(groups: Groups) -> None:
    first, second = groups.add("cardio", "neuro")
    groups.order("cardio", first)
    groups.order("neuro", second)

    assert groups.run(PLACE, "cardio", "neuro")[0] == 0

    rows = groups.reported
    assert [(rows[key]["group_label"], rows[key]["status"]) for key in (first, second)] == [
        ("cardio", "complete"),
        ("neuro", "complete"),
    ]
    [job] = groups.jobs_of("neuro")
    assert set(job.config) <= set(json.loads(read("manifest.json"))["config"])
    assert job.config["reuse within hours"] == 20


def test_only_groups_that_are_named_and_have_projects_get_a_job(groups: Groups) -> None:
    _, project = groups.add("cardio", "neuro")
    groups.order("neuro", project)

    status, said = groups.run(PLACE, "none", "neuro")

    assert status == 1
    assert "none: you are a member of no project in it; 0 of 0 complete" in said
    assert len(groups.site.jobs.all()) == 1
    assert list(groups.reported) == [project]


def test_a_project_that_its_job_s_report_leaves_out_is_not_complete(groups: Groups) -> None:
    told, left_out = groups.add("neuro", "neuro")
    groups.order("neuro", told)

    status, said = groups.run(PLACE, "neuro")

    assert (status, groups.reported[left_out]["status"]) == (1, "pending")
    assert "1 of 2 complete" in said


@pytest.mark.parametrize(
    ("kind", "action", "told"),
    [
        ("job", refuse(404, "gone"), "may still run: could not check job {}: gone"),
        ("file", refuse(404, "gone"), "could not read the report of job {}: gone"),
        *(("file", answer_with(body), "job {} is failed, without a report") for body in UNUSABLE),
    ],
)
def test_what_no_look_can_read_leaves_the_rows_pending(
    groups: Groups, kind: str, action: Action, told: str
) -> None:
    [project] = groups.add("neuro")
    groups.order("neuro", project)
    (groups.folder / "orders/neuro/status").write_text("1")
    odd = groups.site.fault(Fault(kind=kind, action=action))

    status, said = groups.run(PLACE, "neuro")

    assert (status, odd.hits) == (1, 2)
    assert f" neuro: {told.format(groups.jobs_of('neuro')[0].id)}; 0 of 1 complete" in said
    assert {key: row["status"] for key, row in groups.reported.items()} == {project: "pending"}


def test_what_a_report_lacks_is_no_formula(groups: Groups) -> None:
    project = groups.site.add_project("neuro", '=cmd|" /C calc"!A0,;+1')
    groups.order("neuro")

    assert groups.run(PLACE, "neuro")[0] == 1

    row = groups.reported[project]
    assert not re.search(r"[=+@,;|]", row["project_label"])
    assert "failed, without a report" in row["error"]


# --------------------------------------------------------------------------- jobs that go otherwise


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ends_otherwise_holds_up_no_other(groups: Groups, state: str) -> None:
    bad, good = groups.add("cardio", "neuro")
    groups.order("neuro", good)
    with groups.started(PLACE, "cardio", "neuro") as script:
        job = groups.running_job("cardio")
        groups.site.jobs.end(job.id, state)

        status, said = ended(script)

    assert status == 1
    assert f"cardio: job {job.id} is {state}, without a report; 0 of 1 complete" in said
    assert groups.reported[good]["status"] == "complete"
    row = groups.reported[bad]
    assert (row["status"], row["snapshot_id"]) == ("pending", "")
    assert abs(time.time() - job.created) < 60
    assert row["timestamp"] >= time.strftime("%Y-%m-%dT%H:%M", time.gmtime(job.created))


def test_a_failed_job_s_report_counts_as_any(groups: Groups) -> None:
    [project] = groups.add("neuro")
    groups.order("neuro", project, "failed")
    (groups.folder / "orders/neuro/status").write_text("1")

    status, said = groups.run(PLACE, "neuro")

    assert (status, groups.reported[project]["status"]) == (1, "failed")
    assert "without a report" not in said


def test_a_job_that_the_site_starts_again_is_followed(groups: Groups) -> None:
    groups.site.behaviour.job_restarts = 1
    [project] = groups.add("neuro")
    with groups.started(PLACE, "neuro") as script:
        groups.site.jobs.end(groups.running_job("neuro").id, "failed")
        copy = groups.running_job("neuro", 1)
        groups.order("neuro", project)

        status, said = ended(script)

    assert (status, copy.state, copy.attempt) == (0, "complete", 2), said


def test_a_failed_job_that_the_site_starts_again_a_while_later_is_followed(groups: Groups) -> None:
    [project] = groups.add("neuro")
    with groups.started(PLACE, "neuro", SECONDS="2") as script:
        job = groups.running_job("neuro")
        groups.site.jobs.end(job.id, "failed")
        seen = groups.site.fault(Fault(kind="job", times=1, action=slow_down(0)))
        until(lambda: seen.hits == 1)
        groups.site.jobs.restart(job.id, "pending")
        groups.order("neuro", project)

        status, said = ended(script)

    assert (status, len(groups.jobs_of("neuro"))) == (0, 2), said


def test_a_job_that_is_refused_is_told_and_the_others_go_on(groups: Groups) -> None:
    refused, good = groups.add("cardio", "neuro")
    groups.order("neuro", good)
    groups.site.fault(Fault(kind="jobs/add", times=1, action=refuse(403, "not yours, {key}")))

    status, said = groups.run(PLACE, "cardio", "neuro")

    assert status == 1
    assert "could not start a job: not yours" in said
    assert groups.reported[refused]["status"] == "planned"
    assert groups.reported[good]["status"] == "complete"


@pytest.mark.parametrize("action", [lose_answer(504), lose_answer("reset"), *NOT_DONE])
def test_a_start_that_is_not_answered_makes_one_job(groups: Groups, action: Action) -> None:
    [project] = groups.add("neuro")
    groups.order("neuro", project)
    groups.site.fault(Fault(kind="jobs/add", times=1, action=action))

    status, said = groups.run(PLACE, "neuro")

    assert status == 0, said
    assert len(groups.site.jobs.all()) == 1


@pytest.mark.parametrize(
    ("times", "action"),
    [
        *((5, action) for action in (*NOT_DONE, refuse(502), break_off())),
        *((1, refuse(status)) for status in (401, 403, 404)),
    ],
)
def test_what_is_odd_for_a_while_is_asked_again(groups: Groups, times: int, action: Action) -> None:
    projects = groups.add("cardio", "neuro")
    odd = [groups.site.fault(Fault(kind, None, times, action=action)) for kind in ("job", "file")]
    seen = groups.site.fault(Fault(kind="job", action=slow_down(0)))
    with groups.started(PLACE, "cardio", "neuro", AT_ONCE="1") as script:
        until(lambda: seen.hits == 2)
        assert groups.jobs_of("neuro") == []
        groups.order("cardio", projects[0])
        groups.order("neuro", projects[1])

        status, said = ended(script)

    assert (status, [fault.hits for fault in odd]) == (0, [times, times]), said
    assert len(groups.site.jobs.all()) == 2


# ------------------------------------------------------------------------------ stopped, and twice


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGALRM])
def test_told_to_stop_it_says_what_runs_and_writes_what_there_is(
    groups: Groups, number: signal.Signals
) -> None:
    names = ["a", "b", "c", "d"]
    projects = groups.add(*names)
    groups.order("a", projects[0])
    with groups.started(PLACE, *names, AT_ONCE="2") as script:
        running = [groups.running_job(name) for name in ("b", "c")]
        script.send_signal(number)

        status, said = ended(script)

    assert status == 1
    assert f"stopped by {number.name}" in said
    for name, job in zip("bc", running, strict=True):
        assert re.search(f"{name}: may still run: job {job.id} ", said)
        assert job.state == "running"
    statuses = [groups.reported[project]["status"] for project in projects]
    assert statuses == ["complete", "pending", "pending", "planned"]
    assert "1 of 4 groups complete" in said
    assert said.endswith("or run this again\n")


def test_it_never_runs_twice_at_a_time(groups: Groups) -> None:
    [project] = groups.add("neuro")
    with groups.started(PLACE, "neuro") as first:
        job = groups.running_job("neuro")
        status, said = groups.run(PLACE, "neuro")
        assert (status, "another run of this script is not finished" in said) == (2, True)
        first.kill()
        first.wait()
    before = (groups.folder / "by_group_report.csv").read_bytes()
    status, said = groups.run(PLACE, "neuro")
    assert (status, f"job {job.id} is running in {PLACE}: wait for it" in said) == (2, True)
    assert (groups.folder / "by_group_report.csv").read_bytes() == before
    groups.order("neuro", project)
    until(lambda: job.is_final)
    assert groups.run(PLACE, "neuro")[0] == 0


@pytest.mark.parametrize(
    ("key", "arguments", "told"),
    [
        (" ", [PLACE], "usage: FW_API_KEY=... by_group.py GROUP/PROJECT [GROUP ...]"),
        ("", [PLACE], "usage: FW_API_KEY=... by_group.py GROUP/PROJECT [GROUP ...]"),
        ("127.0.0.1:1:__force_insecure:k", [PLACE], "nothing was started"),
        (None, ["admin/Other"], "Could not resolve"),
        (None, [PLACE, "cardio"], "nothing was started"),
    ],
    ids=["blank key", "no key", "no site", "no project", "no group"],
)
def test_what_can_t_begin_says_why(
    groups: Groups, key: str | None, arguments: list[str], told: str
) -> None:
    groups.key = groups.key if key is None else key

    status, said = groups.run(*arguments)

    assert status == 2
    assert told in said
    assert groups.site.jobs.all() == []


def test_where_every_job_is_refused_nothing_was_started(groups: Groups) -> None:
    groups.add("neuro")
    groups.site.fault(Fault(kind="jobs/add", action=refuse(422, "no such option")))

    status, said = groups.run(PLACE, "neuro")

    assert (status, groups.site.jobs.all()) == (2, [])
    assert "no such option" in said


def test_without_the_sdk_it_says_what_is_missing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-S", str(BY_GROUP), PLACE],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "FW_API_KEY": "host:key"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert "No module named 'flywheel'" in run.stderr
    assert "Traceback" not in run.stderr
