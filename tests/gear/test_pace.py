"""No ruder than it must be: what a site that limits its callers sees of the whole gear."""

from dataclasses import dataclass

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from fw_gear_sitewide_snapshot.site.rates import MAX_CONCURRENT_CALLS
from tests.support.gear import GearFolder, GearRun

pytestmark = pytest.mark.process

PROJECTS = 60


@dataclass(frozen=True)
class Limited:
    run: GearRun
    site: SimulatedSite
    projects: list[str]


@pytest.fixture(scope="module", params=[True, False], ids=["retry-after", "no-retry-after"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Limited:
    """Run on a site that answers 429 to what comes faster than twenty calls a second."""
    site = SimulatedSite(
        build_seconds=(0.5, 2.0), requests_per_second=20, retry_after=request.param
    )
    projects = [site.add_project(label=f"Study {n}") for n in range(PROJECTS)]
    folder = tmp_path_factory.mktemp("limited")
    with SimulatorServer(site) as server:
        run = GearFolder(folder, server.api_key(), {"project filter": "ALL"}).run()
    return Limited(run, site, projects)


def test_everything_is_done_once(limited: Limited) -> None:
    assert limited.run.exit_status == 0, limited.run.log
    assert limited.run.statuses == dict.fromkeys(limited.projects, "complete")
    assert [limited.site.creates(project) for project in limited.projects] == [1] * PROJECTS


def test_a_429_slows_the_whole_run_down_so_few_calls_are_refused(limited: Limited) -> None:
    refused = sum(request.status == 429 for request in limited.site.requests)

    assert refused <= len(limited.site.requests) / 4


def test_no_more_calls_are_in_flight_than_the_bound(limited: Limited) -> None:
    assert limited.site.most_in_flight <= MAX_CONCURRENT_CALLS
