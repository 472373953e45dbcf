"""Fixtures with defaults: a clock that passes at once, simulated sites, the gear as a process."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from fw_gear_sitewide_snapshot import main
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support import measure
from tests.support.config import gear_config
from tests.support.direct import DirectTransport, InTurn
from tests.support.gear import REPORT, MakeGear, Reported, RunHere, gear_maker, rows_of
from tests.support.repository import read_manifest
from tests.support.time import FakeClock

gc.disable()  # until all tests are collected
settings.register_profile("patient", deadline=None)  # no test depends on how fast the machine is
settings.load_profile("patient")

# The longest first. The third and the fourth of them mostly wait.
LONGEST = [
    "gear/test_schedules_killed.py",
    "gear/test_schedules.py",
    "project/test_schedules_and_rules.py",
    "gear/test_deadline.py",
    "poller/test_loop_limits.py",
    "gear/test_copies.py",
    "report/test_page_in_browser.py",
    "gear/test_input.py",
    "gear/test_killed.py",
]
WAITS_UNTIL = 0.75  # of all other files: none that waits is among the last


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the longest files come first, and spread the others that mostly wait among the rest.

    So there is always something to compute, and something to wait for.
    """
    files = dict.fromkeys(item.path for item in items)
    longest = [path for name in LONGEST for path in files if path.as_posix().endswith(name)]
    others = [path for path in files if path not in longest]
    waiting = {item.path for item in items if item.get_closest_marker("process")}
    place: dict[Path, float] = {}
    for paths, until in [(others, 1.0), ([p for p in others if p in waiting], WAITS_UNTIL)]:
        place |= {path: n / len(paths) * until for n, path in enumerate(paths)}
    others.sort(key=place.__getitem__)
    # Each worker is given two files at once: behind the two longest are short ones.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    order = [*longest[:workers], *others[:2], *longest[workers:], *others[2:]]
    items.sort(key=lambda item: order.index(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have coverage look away from what is read and rewritten: the gear is imported already."""
    with measure.nothing():
        return (yield)


def pytest_collection_finish() -> None:
    """Have garbage collections, which there are many of, look at what the tests make only."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    in_browser = pyfuncitem.get_closest_marker("browser")  # large pages, which others make too
    if not in_browser and not is_hypothesis_test(pyfuncitem.obj):
        return (yield)
    with measure.nothing():
        return (yield)


@pytest.fixture(scope="class")  # hypothesis refuses what belongs to a single function
def unmeasured() -> Iterator[None]:
    """Have coverage look away from a test that hypothesis doesn't know of."""
    with measure.nothing():
        yield


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulated(clock: FakeClock) -> SimulatedSite:
    """Make a simulated site that lives by the fake clock."""
    return SimulatedSite(clock.unix)


@pytest.fixture
def site(simulated: SimulatedSite, clock: FakeClock) -> Site:
    """Make the gear's view of that site, without sockets."""
    return Site(DirectTransport(simulated, clock), clock)


@pytest.fixture
def workers(clock: FakeClock) -> InTurn:
    return InTurn(clock)


@pytest.fixture
def served() -> Iterator[SimulatorServer]:
    """Serve a simulated site over HTTP, in real time; its snapshots take 0.1 to 0.3 s."""
    with SimulatorServer(SimulatedSite(build_seconds=(0.1, 0.3))) as server:
        yield server


@pytest.fixture
def gear(tmp_path: Path, served: SimulatorServer) -> MakeGear:
    """Make a job's folder for the served site: ``gear(**{"project filter": "ALL"}).run()``."""
    return gear_maker(tmp_path, served)


@pytest.fixture
def run_here(site: Site, workers: InTurn, clock: FakeClock, tmp_path: Path) -> RunHere:
    """Run the gear in the test's own process on the simulated site, by the fake clock."""

    def run(**options: Any) -> Reported:
        config = gear_config(**options)
        main.run(
            config,
            site=site,
            workers=workers,
            clock=clock,
            output=tmp_path,
            work=tmp_path,
        )
        return {row["project_id"]: row for row in rows_of(tmp_path / REPORT)}

    return run


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Make a folder on another file system than the tests' own."""
    path = Path("/dev/shm")
    if not path.is_dir():
        pytest.skip("there is no second file system")
    folder = path / f"sitewide-snapshot-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


@pytest.fixture
def manifest() -> dict[str, Any]:
    return read_manifest()
