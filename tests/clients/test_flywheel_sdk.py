"""flywheel-sdk: what an administrator's scripts ask, up to a run of the gear and its report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flywheel
import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.support.gear import REPORT
from tests.support.jobs import engine_for


@pytest.fixture
def plain(site: SimulatedSite) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as running:
        yield running


@pytest.fixture
def client(plain: SimulatorServer) -> Iterator[Any]:
    made = flywheel.Client(plain.api_key())
    yield made
    made.api_client.rest_client.client.close()


def test_projects_are_found_at_once_and_one_by_one(client: Any, site: SimulatedSite) -> None:
    made = [site.add_project("neuro", f"Study {number}") for number in range(3)]
    other = site.add_project("cardio", "Other")
    assert [project.id for project in client.projects.find("group=neuro")] == made
    assert [project.id for project in client.projects.iter_find(limit=2)] == [*made, other]
    assert client.projects.find_first("label=Other").id == other
    assert client.projects.find_one('label="Study 1"').id == made[1]
    assert client.projects.find(sort="label:desc", limit=1)[0].id == made[2]


def test_a_project_is_had_by_path_and_by_id_with_its_group(
    client: Any, site: SimulatedSite
) -> None:
    made = site.add_project("neuro", "Ageing")
    assert client.lookup("neuro/Ageing").id == made
    assert [node.id for node in client.resolve("neuro/Ageing").path] == ["neuro", made]
    assert (client.get(made).label, client.get("neuro").label) == ("Ageing", "neuro")
    assert client.get_group("neuro").id == "neuro"
    with pytest.raises(flywheel.ApiException, match="404"):
        client.lookup("neuro/Nothing")


def test_information_that_a_script_writes_is_there_for_filters(
    client: Any, site: SimulatedSite
) -> None:
    made = site.add_project(info={"site": "Berlin"})
    client.get_project(made).update_info(snapshots="nightly")
    assert client.get_project(made).info == {"site": "Berlin", "snapshots": "nightly"}
    assert [project.id for project in client.projects.find("info.snapshots=nightly")] == [made]
    client.get_project(made).delete_info("site")
    assert client.get_project(made).reload().info == {"snapshots": "nightly"}


def test_a_project_is_copied_from_a_snapshot(client: Any, site: SimulatedSite) -> None:
    made = site.add_project("neuro", "Ageing")
    snapshot = site.add_snapshot(made)
    copy = client.project_copy(
        made, flywheel.ProjectCopyInput("neuro", "As it was", snapshot_id=snapshot)
    )
    assert copy.snapshot_id == snapshot
    project = client.get_project(copy.project_id)
    assert (project.label, project.copy_status) == ("As it was", "completed")


def test_the_gear_is_run_and_its_job_looked_at(
    client: Any, site: SimulatedSite, plain: SimulatorServer, tmp_path: Path
) -> None:
    site.add_project("admin", "Reports")
    project = site.add_project("neuro", "Ageing")
    with engine_for(plain, tmp_path) as engine:
        gear = client.lookup("gears/sitewide-snapshot")
        job_id = gear.run(
            config={"project filter": "group=neuro"}, destination=client.lookup("admin/Reports")
        )
        engine.wait(job_id)
    job = client.get_job_detail(job_id)
    assert job.state == "complete", engine.ended[job_id].log
    assert REPORT in [output.object.name for output in job.outputs]
    assert REPORT in [file.name for file in client.lookup("admin/Reports").files]
    assert [found.id for found in client.jobs.find("state=complete")] == [job_id]
    assert [snapshot.status for snapshot in site.snapshots(project)] == ["complete"]
