"""A normal run of the whole gear, as a process, against the site."""

import pytest

from flywheel_site_simulator import SimulatorServer
from tests.support.gear import MakeGear

pytestmark = pytest.mark.process


def test_every_project_of_the_site_gets_one_snapshot(
    served: SimulatorServer, gear: MakeGear
) -> None:
    projects = [served.site.add_project(label=f"Study {n}") for n in range(5)]

    run = gear(**{"project filter": "ALL"}).run()

    assert run.exit_status == 0, run.log
    assert run.statuses == dict.fromkeys(projects, "complete")
    assert [served.site.creates(project) for project in projects] == [1] * 5
