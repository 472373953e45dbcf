"""Jobs that run: launched with the real SDK, each a process in a folder of its own."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flywheel
import pytest

from flywheel_site_simulator import Engine, SimulatedSite, SimulatorServer
from flywheel_site_simulator.job import PLATFORM_PATH

GEAR = """
import json, os, pathlib, sys, time
job = json.loads(pathlib.Path("config.json").read_text())
config = job["config"]
print("PATH", os.environ["PATH"], "EXTRA", os.environ.get("EXTRA"))
print("key", job["inputs"]["api-key"]["key"])
given = job["inputs"].get("retry failed")
if given:
    print("given", pathlib.Path(given["location"]["path"]).read_text())
pathlib.Path("output/begun").touch()
while config.get("hang"):
    time.sleep(0.01)
pathlib.Path("output/report.csv").write_text("of " + job["job"]["id"])
file = {"name": "report.csv", "info": {"told": True}, "tags": ["a-tag"]}
pathlib.Path("output/.metadata.json").write_text(json.dumps({"project": {"files": [file]}}))
sys.exit(config.get("exit", 0))
"""


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedSite()) as server:
        yield server


@pytest.fixture
def site(server: SimulatorServer) -> SimulatedSite:
    return server.site


@pytest.fixture
def project(site: SimulatedSite) -> str:
    return site.add_project("admin", "Reports")


@pytest.fixture
def engine(server: SimulatorServer, tmp_path: Path) -> Iterator[Engine]:
    gear = tmp_path / "gear"
    gear.mkdir()
    manifest = {"name": "sitewide-snapshot", "config": {}, "inputs": {}, "environment": {}}
    (gear / "manifest.json").write_text(json.dumps(manifest))
    (gear / "run.py").write_text(GEAR)
    with Engine(server, gear, tmp_path / "jobs", {"EXTRA": "yes"}) as engine:
        yield engine


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[Any]:
    client = flywheel.Client(server.api_key())
    yield client
    client.api_client.rest_client.client.close()


@pytest.fixture
def launch(
    client: Any,
    project: str,
    engine: Engine,  # noqa: ARG001 - it runs what is launched
) -> Callable[..., str]:
    """Launch a job as scripts do, and give its id."""

    def run(inputs: dict[str, Any] | None = None, **config: Any) -> str:
        gear, place = client.lookup("gears/sitewide-snapshot"), client.lookup("admin/Reports")
        assert (place.id, gear.gear.name) == (project, "sitewide-snapshot")
        return str(gear.run(config=config, inputs=inputs or {}, destination=place))

    return run


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def begun(tmp_path: Path, job_id: str) -> Callable[[], bool]:
    return (tmp_path / "jobs" / job_id / "output" / "begun").exists


def test_a_job_that_is_launched_runs_in_its_folder_and_its_outputs_are_in_the_project(
    launch: Callable[..., str], engine: Engine, client: Any, project: str, site: SimulatedSite
) -> None:
    job_id = launch()

    ended = engine.wait(job_id)

    assert ended.exit_status == 0, ended.log
    assert f"PATH {PLATFORM_PATH} EXTRA yes" in ended.log
    assert f"key-of-job-{job_id}" in ended.log
    detail = client.get_job_detail(job_id)
    assert (str(detail.state), detail.attempt, detail.retried) == ("complete", 1, None)
    assert "running" in detail.transitions.to_dict()
    assert [file.object.name for file in detail.outputs] == ["begun", "report.csv"]
    report = client.get_project(project).get_file("report.csv")
    assert (report.info, report.tags) == ({"told": True}, ["a-tag"])
    kinds = {request.kind for request in site.requests}
    assert kinds == {"auth", "lookup", "jobs/add", "job", "project"}


def test_an_output_can_be_the_next_job_s_input(
    launch: Callable[..., str], engine: Engine, client: Any, project: str
) -> None:
    first = launch()
    engine.wait(first)

    second = launch({"retry failed": client.get_project(project).get_file("report.csv")})

    assert f"given of {first}" in engine.wait(second).log


def test_what_a_failed_job_tells_is_not_applied_and_its_outputs_are_flagged(
    launch: Callable[..., str], engine: Engine, client: Any, site: SimulatedSite, project: str
) -> None:
    job_id = launch(exit=1)

    assert engine.wait(job_id).exit_status == 1
    assert str(client.get_job_detail(job_id).state) == "failed"
    report = site.files.of_project(project)["report.csv"]
    assert (report.from_failed_job, report.info, report.tags) == (True, {}, ())


def test_a_job_that_is_cancelled_is_killed(
    launch: Callable[..., str], engine: Engine, client: Any, tmp_path: Path
) -> None:
    job_id = launch(hang=True)
    until(begun(tmp_path, job_id))

    client.change_job_state(job_id, "cancelled")

    assert engine.wait(job_id).exit_status == -9
    assert str(client.get_job_detail(job_id).state) == "cancelled"
    with pytest.raises(flywheel.ApiException, match="has ended"):
        client.change_job_state(job_id, "cancelled")


def test_a_job_whose_machine_dies_keeps_its_state_until_it_is_started_again(
    launch: Callable[..., str],
    engine: Engine,
    client: Any,
    site: SimulatedSite,
    project: str,
    tmp_path: Path,
) -> None:
    job_id = launch(hang=True)
    until(begun(tmp_path, job_id))

    engine.kill(job_id)

    assert engine.wait(job_id).exit_status == -9
    assert str(client.get_job_detail(job_id).state) == "running"
    assert client.jobs.find_first(f"previous_job_id={job_id}") is None
    copy = site.jobs.restart(job_id, "pending")
    until(begun(tmp_path, copy.id))
    assert client.get_job_detail(job_id).retried is not None
    assert client.jobs.find_first(f"previous_job_id={job_id}").id == copy.id
    assert [job.id for job in client.jobs.find(f"previous_job_id={job_id}")] == [copy.id]
    assert [job.attempt for job in client.jobs.iter_find("state=running")] == [2]
    assert site.files.of_project(project) == {}


def test_a_site_can_start_failed_jobs_again_by_itself(
    launch: Callable[..., str], engine: Engine, site: SimulatedSite
) -> None:
    site.behaviour.job_restarts = 2

    launch(exit=1)

    until(lambda: len(engine.ended) == 3)
    assert [(job.attempt, job.state) for job in site.jobs.all()] == [
        (n, "failed") for n in (1, 2, 3)
    ]


def test_a_failed_job_can_be_retried_once_by_hand(
    launch: Callable[..., str], engine: Engine, client: Any
) -> None:
    job_id = launch(exit=1)
    engine.wait(job_id)

    copy = client.retry_job(job_id)

    assert client.get_job_detail(copy).attempt == 2
    with pytest.raises(flywheel.ApiException, match="not retried"):
        client.retry_job(job_id)


@pytest.mark.parametrize(
    ("gear", "destination", "inputs"),
    [
        ("0" * 24, None, {}),
        (None, "0" * 24, {}),
        (None, None, {"retry failed": {"type": "project", "id": "0" * 24, "name": "x"}}),
    ],
)
def test_a_job_of_what_is_not_there_is_refused(
    client: Any,
    project: str,
    site: SimulatedSite,
    gear: str | None,
    destination: str | None,
    inputs: dict[str, Any],
) -> None:
    gear_id = gear or client.lookup("gears/sitewide-snapshot").id
    place = {"type": "project", "id": destination or project}

    with pytest.raises(flywheel.ApiException, match="not found"):
        client.add_job({"gear_id": gear_id, "destination": place, "inputs": inputs})

    assert site.jobs.all() == []


def test_a_path_that_leads_nowhere_is_a_404(client: Any) -> None:
    for path in ("gears/other", "admin/Nothing", "a/b/c"):
        with pytest.raises(flywheel.ApiException, match="Could not resolve"):
            client.lookup(path)
