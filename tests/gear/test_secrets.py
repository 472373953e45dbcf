"""The API key is nowhere in what a run leaves behind, whatever the site says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pytest

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    refuse,
)
from tests.support.gear import GearRun, gear_maker, run_together

pytestmark = pytest.mark.process

KEY = "kEy0of1the2user3that4started5the6job"
ECHO = "Who is {key}?"
PAGE = b"<html>Who is {key}?</html>"


@dataclass(frozen=True)
class Case:
    """What the site answers to a kind of request, to which key, and what the run then ends with."""

    exit_status: int
    answers: Mapping[str, Action] = field(default_factory=dict)
    outcome: str = "complete"  # of the snapshot; one that fails says why
    key: Callable[[str], str] = str


CASES = {
    "all goes well": Case(0),
    "creates are refused": Case(1, {"create": refuse(403, ECHO)}),
    "the snapshot fails": Case(1, outcome="failed"),
    "the snapshot's state has the key in it": Case(1, outcome=f"waiting for {KEY}"),
    "status calls fail for good": Case(1, {"detail": refuse(500, ECHO)}),
    "status calls are answered by a page": Case(1, {"detail": answer_with(PAGE)}),
    "the filter is refused": Case(2, {"projects": refuse(400, ECHO)}),
    "the key is refused": Case(2, {"auth": refuse(401, ECHO)}),
    "the key has no host": Case(2, key=lambda key: key.rsplit(":", 1)[-1]),
    "the key has a port that is none": Case(2, key=lambda key: key.replace(":", ":x", 1)),
}
BOTH = [(name, debug) for name in CASES for debug in (False, True)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], GearRun]:
    """Run each case, without debug and with it."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, debug: bool) -> GearRun:
        case = CASES[name]
        site = SimulatedSite()
        site.add_user(KEY)
        project = site.add_project()
        site.outcome(project, case.outcome)
        site.failure_reason(project, ECHO.format(key=KEY))
        for kind, action in case.answers.items():
            site.fault(Fault(kind, action=action))
        with SimulatorServer(site) as server:
            gear = gear_maker(folder / f"{name} {debug}", server)
            config = {"project filter": "ALL", "timeout minutes": 0.02, "debug": debug}
            return gear(case.key(server.api_key(KEY)), **config).run()

    return run_together({(name, debug): partial(run, name, debug) for name, debug in BOTH})


@pytest.mark.parametrize(("name", "debug"), BOTH)
def test_the_key_is_in_no_line_of_the_log(
    runs: dict[tuple[str, bool], GearRun], name: str, debug: bool
) -> None:
    run = runs[name, debug]

    assert run.exit_status == CASES[name].exit_status, run.log
    assert run.lines(KEY) == []


@pytest.mark.parametrize(("name", "debug"), BOTH)
def test_the_key_is_in_no_file_of_the_output(
    runs: dict[tuple[str, bool], GearRun], name: str, debug: bool
) -> None:
    files = [path for path in (runs[name, debug].folder / "output").rglob("*") if path.is_file()]

    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    "name",
    [
        "creates are refused",
        "the snapshot fails",
        "status calls fail for good",
        "the filter is refused",
        "the key is refused",
    ],
)
def test_what_the_site_said_is_shown_without_the_key_that_it_echoed(
    runs: dict[tuple[str, bool], GearRun], name: str
) -> None:
    assert runs[name, False].lines("Who is [API key]?")
