import os

import pytest

from flywheel_site_simulator import SimulatedSite
from tests.simulator.caller import Caller, Clock

# Read when flywheel is imported: one answer a call, so that the tests count calls and never sleep.
os.environ.setdefault("FLYWHEEL_SDK_TOTAL_RETRIES", "0")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(clock: Clock) -> SimulatedSite:
    return SimulatedSite(clock)


@pytest.fixture
def caller(site: SimulatedSite) -> Caller:
    return Caller(site)
