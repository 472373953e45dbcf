"""A site that slows down the more it is asked at a time."""

import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer, slow_down
from flywheel_site_simulator.__main__ import make_site, parse_arguments
from tests.simulator.caller import Caller, Clock
from tests.support.loop import Loop
from tests.support.time import FakeClock

SECONDS: dict[str, Any] = {
    "create_seconds": 1.0,
    "status_seconds": 2.0,
    "list_seconds": 3.0,
    "page_seconds": 4.0,
}


def test_answers_take_longer_the_more_requests_are_under_way(clock: Clock) -> None:
    site = SimulatedSite(clock, slows_down_at=2, **SECONDS)
    caller, project = Caller(site), site.add_project()
    created = caller.create(project)
    late = [
        created,
        caller.detail(project, created.document["_id"]),
        caller.list(project),
        caller.projects(),
    ]
    assert [answer.delay_seconds for answer in late] == [
        1.0 * (1 + 0.5**2),
        2.0 * (1 + 1.0**2),
        3.0 * (1 + 1.5**2),
        4.0 * (1 + 2.0**2),
    ]


def test_what_is_answered_burdens_no_longer(clock: Clock) -> None:
    site = SimulatedSite(clock, create_seconds=1.0, slows_down_at=1)
    caller, project = Caller(site), site.add_project()
    assert [caller.create(project).delay_seconds for _ in range(2)] == [2.0, 5.0]
    clock.advance(2)
    assert caller.create(project).delay_seconds == 5.0
    clock.advance(5)
    assert caller.create(project).delay_seconds == 2.0


def test_a_fault_s_delay_burdens_for_as_long_as_it_lasts_and_does_not_grow(clock: Clock) -> None:
    site = SimulatedSite(clock, create_seconds=1.0, slows_down_at=1)
    caller, project = Caller(site), site.add_project()
    site.fault(Fault(times=1, action=slow_down(10.0)))
    assert caller.create(project).delay_seconds == 12.0
    clock.advance(11)
    assert caller.create(project).delay_seconds == 5.0


def test_a_site_never_slows_down_unless_asked(clock: Clock) -> None:
    site = SimulatedSite(clock, create_seconds=1.0)
    caller, project = Caller(site), site.add_project()
    assert {caller.create(project).delay_seconds for _ in range(20)} == {1.0}


def test_the_command_line_says_where_it_slows_down() -> None:
    options = ["--projects", "1", "--create-seconds", "1", "--slows-down-at", "0.5"]
    caller = Caller(make_site(parse_arguments(options)))
    [project] = [record["_id"] for record in caller.projects().document]
    assert caller.create(project).delay_seconds >= 5.0


@pytest.mark.parametrize("slows_down_at", [None, 4.0])
def test_in_injected_time_calls_last_as_long_as_the_load_has_them(
    slows_down_at: float | None, tmp_path: Path
) -> None:
    loop = Loop(FakeClock(), tmp_path, create_seconds=1.0, slows_down_at=slows_down_at)
    loop.projects(16)
    loop.run()
    lasted = [call.ended - call.sent for call in loop.transport.carried if call.method == "POST"]
    assert min(lasted) == (1.0 if slows_down_at is None else 1.0 + 0.25**2)
    assert (max(lasted) > 2.0) == (slows_down_at is not None)


def test_requests_whose_client_has_left_are_counted() -> None:
    site = SimulatedSite(page_seconds=600.0)
    with SimulatorServer(site) as server:
        address = f"{server.url}/api/projects"
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(address, timeout=0.5)
        deadline = time.monotonic() + 60
        while not site.traffic.given_up and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (site.traffic.given_up, site.traffic.in_flight) == (1, 0)
