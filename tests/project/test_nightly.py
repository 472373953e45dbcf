"""``examples/nightly.py`` as cron runs it, against a site whose jobs are runs of a gear.

It is the script itself, but for how long it waits between two looks and where its lock is. Two
tests run the whole gear; in the others a few lines stand for it, so that each can hang or fail.
"""

import ast
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    DEFAULT_KEY,
    Action,
    Engine,
    Fault,
    SimulatedSite,
    SimulatorServer,
    SiteJob,
    answer_with,
    break_off,
    refuse,
    slow_down,
)
from tests.support.forked import start_script
from tests.support.jobs import engine_for
from tests.support.repository import ROOT, read

NIGHTLY = ROOT / "examples" / "nightly.py"
PLACE = "admin/Snapshots"
DENIALS = [refuse(status, "not yours") for status in (401, 403, 404)]
PAGES = [refuse(status, body=b"<html>nginx</html>") for status in (403, 404)]
GEAR = """
import pathlib, sys, time
order = pathlib.Path("{order}")
while not (order.exists() and order.read_text()):  # it is there before its text is
    time.sleep(0.01)
sys.exit(int(order.read_text()))
"""


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass
class Night:
    """A site with a project for the reports, and the script in a home of its own.

    Attributes:
        order: the file that holds the status for jobs to end with; while there is none, they hang.
    """

    server: SimulatorServer
    engine: Engine
    project: str
    home: Path
    order: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> SimulatedSite:
        return self.server.site

    @property
    def jobs(self) -> list[SiteJob]:
        return self.site.jobs.all()

    @contextmanager
    def started(self, *arguments: str, **constants: str) -> Iterator[subprocess.Popen[str]]:
        """Start a copy of the script in which constants are others."""
        text = NIGHTLY.read_text()
        for name, value in {"SECONDS": "0.05", **constants}.items():
            text, count = re.subn(rf"^{name} = [^ ]+", f"{name} = {value}", text, flags=re.M)
            assert count == 1
        script = self.home / "nightly.py"
        script.write_text(text)
        environment = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "FW_API_KEY": self.server.api_key(),
            "FLYWHEEL_SDK_TOTAL_RETRIES": "0",
            **self.environment,
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

    def running_job(self, number: int = 0) -> SiteJob:
        """Wait until so many jobs were launched before one, and it runs."""
        until(lambda: len(self.jobs) > number and self.jobs[number].state == "running")
        return self.jobs[number]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the script; a failure is told in one line that names the script."""
    text, _ = process.communicate(timeout=120)
    if process.returncode == 0:
        assert text == ""
    else:
        assert process.returncode == 1
        assert re.fullmatch(r"nightly\.py: [^\n]+\n", text), text
        assert DEFAULT_KEY not in text
    return process.returncode, text


def make_night(server: SimulatorServer, engine: Engine, tmp_path: Path) -> Night:
    home = tmp_path / "home"
    home.mkdir()
    project = server.site.add_project("admin", "Snapshots")
    return Night(server, engine, project, home, tmp_path / "order")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """Make a site whose gear does what ``order`` says."""
    gear = tmp_path / "gear"
    gear.mkdir()
    manifest = {**json.loads(read("manifest.json")), "environment": {}}
    (gear / "manifest.json").write_text(json.dumps(manifest))
    (gear / "run.py").write_text(GEAR.format(order=tmp_path / "order"))
    with (
        SimulatorServer(SimulatedSite()) as server,
        Engine(server, gear, tmp_path / "jobs") as engine,
    ):
        yield make_night(server, engine, tmp_path)


@pytest.fixture
def whole(served: SimulatorServer, tmp_path: Path) -> Iterator[Night]:
    """Make a site with the gear itself."""
    with engine_for(served, tmp_path / "jobs") as engine:
        yield make_night(served, engine, tmp_path)


# ------------------------------------------------------------------------------------ a good night


@pytest.mark.process
def test_a_night_is_one_job_and_makes_the_snapshots_that_are_not_there_yet(whole: Night) -> None:
    studies = [whole.site.add_project(label=f"Study {n}") for n in range(3)]
    whole.site.outcome(studies[1], "failed", "complete")
    whole.site.add_snapshot(studies[2])

    assert whole.run() == (0, "")

    [job] = whole.jobs
    log = whole.engine.ended[job.id].log
    assert (job.state, job.destination) == ("complete", whole.project), log
    assert [whole.site.creates(study) for study in studies] == [1, 2, 0], log
    assert "snapshot_report.csv" in whole.site.files.of_project(whole.project)


@pytest.mark.process
def test_a_job_whose_machine_dies_is_followed_to_the_end_of_the_one_that_follows_on_it(
    whole: Night,
) -> None:
    studies = [whole.site.add_project(label=f"Study {n}") for n in range(3)]
    whole.site.behaviour.build_seconds = (1.0, 3.0)

    with whole.started(PLACE) as script:
        job = whole.running_job()
        until(lambda: whole.site.creates() == 4)
        whole.engine.kill(job.id)
        copy = whole.site.jobs.restart(job.id, "pending")
        assert ended(script) == (0, "")

    assert (copy.state, copy.attempt) == ("complete", 2)
    assert [whole.site.creates(study) for study in studies] == [1, 1, 1]


def test_the_job_gets_the_options_and_the_project_that_the_script_names(night: Night) -> None:
    night.order.write_text("0")

    assert night.run() == (0, "")

    [job] = night.jobs
    assert job.config["project filter"] == "ALL"
    assert job.config["reuse within hours"] == 20
    assert job.config["fail on incomplete"] is True
    assert set(job.config) <= set(json.loads(read("manifest.json"))["config"])
    assert (job.destination, job.inputs) == (night.project, {})


@pytest.mark.process
def test_the_last_report_there_is_handed_over_and_tells_what_is_gone(whole: Night) -> None:
    studies = [whole.site.add_project("neuro", f"Study {n}") for n in range(2)]
    assert whole.run() == (0, "")
    whole.site.remove_project(studies[0])

    assert whole.run() == (0, "")

    first, second = whole.jobs
    assert (list(first.inputs), list(second.inputs)) == ([], ["previous-report"])
    log = whole.engine.ended[second.id].log
    assert f"Gone, or no longer visible to you: neuro/Study 0 ({studies[0]})" in log
    report = whole.site.files.of_project(whole.project)["snapshot_report.csv"]
    assert report.tags == ("snapshots-complete", "content-lost")


@pytest.mark.parametrize(
    "answers",
    [
        *([action] * 5 for action in (refuse(502), break_off(), *PAGES)),
        *([action, slow_down(0), action] for action in DENIALS),
        [DENIALS[0], refuse(502), DENIALS[0]],
        [PAGES[0], DENIALS[1], PAGES[0], DENIALS[1]],
        DENIALS,
    ],
)
def test_what_is_odd_for_a_while_is_asked_again(night: Night, answers: list[Action]) -> None:
    odd = [night.site.fault(Fault(kind="job", times=1, action=action)) for action in answers]
    with night.started(PLACE) as script:
        until(lambda: odd[-1].hits or script.poll() is not None)
        night.order.write_text("0")

        assert ended(script) == (0, "")
    assert [fault.hits for fault in odd] == [1] * len(odd)


# -------------------------------------------------------------------- jobs that are started again


def test_a_failed_job_that_the_site_starts_again_by_itself_is_followed(night: Night) -> None:
    night.site.behaviour.job_restarts = 2
    with night.started(PLACE) as script:
        job = night.running_job()
        night.site.jobs.end(job.id, "failed")
        again = night.running_job(1)
        night.site.jobs.end(again.id, "failed")
        last = night.running_job(2)
        night.order.write_text("0")

        assert ended(script) == (0, "")

    assert (last.state, last.attempt) == ("complete", 3)


@pytest.mark.parametrize("found", ["none", "another"])
def test_a_copy_that_is_not_in_the_list_yet_is_waited_for(night: Night, found: str) -> None:
    other = night.site.jobs.restart(night.site.jobs.add().id)
    answer = [] if found == "none" else [other.record()]
    with night.started(PLACE) as script:
        job = night.running_job(2)
        hidden = night.site.fault(Fault(kind="jobs", times=3, action=answer_with(answer)))
        night.site.jobs.restart(job.id, "pending")
        until(lambda: hidden.hits == 3)
        night.order.write_text("0")

        assert ended(script) == (0, "")


def test_the_last_of_several_attempts_decides(night: Night) -> None:
    night.site.behaviour.job_restarts = 1
    night.order.write_text("1")

    status, said = night.run()

    assert status == 1
    assert f"job {night.jobs[1].id} is failed: see its log, and snapshot_report.csv in" in said


# --------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ends_otherwise_than_complete_is_told(night: Night, state: str) -> None:
    with night.started(PLACE) as script:
        job = night.running_job()
        night.site.jobs.end(job.id, state)

        status, said = ended(script)

    assert status == 1
    assert f"job {job.id} is {state}: see its log, and snapshot_report.csv in {PLACE}" in said


def test_when_its_time_is_up_it_cancels_the_job(night: Night) -> None:
    with night.started(PLACE) as script:
        job = night.running_job()
        script.send_signal(signal.SIGALRM)  # what its own timer sends

        status, said = ended(script)

    assert status == 1
    assert f"not finished after 6 hours; job {job.id} is cancelled" in said
    assert night.engine.wait(job.id).exit_status == -signal.SIGKILL
    assert job.state == "cancelled"


def test_its_time_is_up_by_its_own_timer_wherever_it_hangs(night: Night) -> None:
    night.site.fault(Fault(kind=None, action=break_off("hang")))

    status, said = night.run(HOURS="3/3600")

    assert status == 1
    assert "could not reach the site: not finished after" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_cancels_the_job_that_follows_on_its_own(
    night: Night, number: signal.Signals
) -> None:
    with night.started(PLACE) as script:
        copy = night.site.jobs.restart(night.running_job().id, "pending")
        script.send_signal(number)

        status, said = ended(script)

    assert status == 1
    assert f"stopped by {number.name}; job {copy.id} is cancelled" in said
    assert copy.state == "cancelled"


def test_told_to_stop_while_the_job_starts_it_cancels_that_too(night: Night) -> None:
    night.site.fault(Fault(kind="jobs/add", action=slow_down(1)))
    with night.started(PLACE) as script:
        until(lambda: len(night.jobs) == 1)
        script.send_signal(signal.SIGTERM)

        status, said = ended(script)

    assert status == 1
    [job] = night.jobs
    assert f"stopped by SIGTERM; job {job.id} is cancelled" in said


def test_a_job_that_can_t_be_cancelled_is_told(night: Night) -> None:
    night.site.fault(Fault(kind="jobs/change", action=refuse(403, "not yours, {key}")))
    with night.started(PLACE) as script:
        night.running_job()
        script.send_signal(signal.SIGTERM)

        status, said = ended(script)

    assert status == 1
    assert "; the job may still run, as it could not be cancelled: not yours" in said


@pytest.mark.parametrize("denial", DENIALS)
def test_what_the_site_denies_twice_ends_it(night: Night, denial: Action) -> None:
    denied = night.site.fault(Fault(kind="job", times=2, action=denial))

    status, said = night.run()

    assert (status, denied.hits) == (1, 2)
    [job] = night.jobs
    assert f"could not wait for job {job.id}: not yours; job {job.id} is cancelled" in said


def test_it_never_runs_twice_at_a_time(night: Night) -> None:
    with night.started(PLACE) as first:
        night.running_job()
        status, said = night.run()

        assert status == 1
        assert "another run of this script is not finished" in said
        night.order.write_text("0")
        assert ended(first) == (0, "")
    assert len(night.jobs) == 1
    assert night.run() == (0, "")


def test_a_run_that_was_killed_holds_up_none_that_follows(night: Night) -> None:
    with night.started(PLACE) as first:
        night.running_job()
        first.kill()
        first.wait()
    night.order.write_text("0")

    assert night.run() == (0, "")


@pytest.mark.parametrize(
    ("environment", "arguments", "told"),
    [
        (
            {"FW_API_KEY": " "},
            [PLACE],
            "there is no API key in the environment variable FW_API_KEY",
        ),
        ({"FW_API_KEY": ""}, [PLACE], "there is no API key in the environment variable FW_API_KEY"),
        ({"FW_API_KEY": "nonsense"}, [PLACE], "could not reach the site: "),
        ({"FW_API_KEY": "127.0.0.1:1:__force_insecure:k"}, [PLACE], "could not reach the site: "),
        ({"HTTPS_PROXY": "nonsense://"}, [PLACE], "could not reach the site: "),
        ({}, [PLACE, "more"], "which project keeps the reports? Usage: nightly.py GROUP/PROJECT"),
        ({}, ["admin/Other"], "could not find the project admin/Other: Could not resolve"),
        ({"HOME": "/proc"}, [PLACE], "could not lock /proc/.nightly-snapshots.lock: "),
    ],
    ids=[
        "blank key",
        "no key",
        "no such key",
        "no site",
        "proxy",
        "arguments",
        "no project",
        "no lock",
    ],
)
def test_what_can_t_begin_says_why(
    night: Night, environment: dict[str, str], arguments: list[str], told: str
) -> None:
    night.environment = environment

    status, said = night.run(*arguments)

    assert status == 1
    assert told in said
    assert night.jobs == []


def test_without_the_project_s_name_it_says_how_it_is_called(night: Night) -> None:
    with night.started() as script:
        assert "Usage: nightly.py GROUP/PROJECT" in ended(script)[1]


def test_a_key_that_the_site_refuses_is_not_in_the_message(night: Night) -> None:
    night.site.remove_key()

    status, said = night.run()

    assert (status, night.jobs) == (1, [])
    assert "could not reach the site: Invalid API key" in said


def test_a_job_of_which_it_is_not_known_whether_it_was_started_is_told(night: Night) -> None:
    night.site.fault(Fault(kind="jobs/add", action=refuse(504)))

    status, said = night.run()

    assert status == 1
    assert "could not start a job, or learn that it has started: " in said


def test_without_the_sdk_it_says_what_to_install(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-S", str(NIGHTLY), PLACE],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "install flywheel-sdk for" in run.stderr
    assert run.stderr.count("\n") == 1


def test_it_is_short_enough_to_be_read() -> None:
    docstring, *statements = ast.parse(NIGHTLY.read_text()).body

    assert docstring.end_lineno is not None
    assert statements
    lines = NIGHTLY.read_text().splitlines()[docstring.end_lineno :]
    assert len([line for line in lines if line.strip()]) <= 100
