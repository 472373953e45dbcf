"""The benchmark says what is beyond its limit, and its run in injected time is a whole run."""

import json
import subprocess
import sys

from benchmarks.cases import CASES
from benchmarks.figures import Figure, of_memory, of_rate, of_run, run_row
from benchmarks.measure import Measured
from tests.support.repository import ROOT

RUN = Measured(
    projects=500,
    complete=500,
    wall_seconds=34.0,
    site_seconds=33.0,
    calls=4.0,
    rate=100.0,
    most_in_flight=16,
    most_calls_per_second=200,
    timeouts=0,
    peak_mib=100.0,
)


def changed(**fields: float) -> Measured:
    return Measured(**{**vars(RUN), **fields})


def beyond(name: str, measured: Measured) -> list[str]:
    return [figure.what for figure in of_run(name, CASES[name], measured) if not figure.holds]


def test_a_figure_is_beside_its_limit_and_says_whether_it_holds() -> None:
    assert str(Figure("a", "b", 1.04999, 1.05)) == "| a | b | 1.05 | ≤ 1.05 | yes |"
    assert str(Figure("a", "b", 2.5, 2.0, " s")) == "| a | b | 2.5 s | ≤ 2 s | **no** |"
    assert str(Figure("a", "b", 9.0, 8.5, is_least=True)) == "| a | b | 9 | ≥ 8.5 | yes |"


def test_a_run_is_held_against_what_holds_in_its_case() -> None:
    assert beyond("five-hundred", RUN) == []
    assert beyond("five-hundred", changed(wall_seconds=60.0)) == ["wall / limit"]
    assert beyond("five-hundred", changed(calls=4.6)) == ["calls a project"]
    assert beyond("five-hundred", changed(most_in_flight=17)) == ["calls in flight"]
    assert beyond("five-hundred", changed(complete=499)) == ["complete"]
    slow = changed(complete=600, wall_seconds=32.0, timeouts=1)
    assert beyond("slows-down", slow) == ["wall / limit", "time-outs"]


def test_a_site_that_slows_down_is_to_be_asked_as_much_as_the_best_pool_does() -> None:
    case, pools = CASES["slows-down"], {2: changed(rate=60.0), 4: changed(rate=110.0)}
    rates = (90.0, 93.0, 94.0, 110.0)
    held = [of_rate("slows-down", case, changed(rate=rate), pools).holds for rate in rates]
    assert held == [False, False, True, True]
    alone = of_rate("slows-down", case, changed(rate=0.9 * case.best_rate), {})
    assert alone.holds


def test_memory_is_told_by_the_project() -> None:
    figure = of_memory("a", RUN, changed(projects=1_524, peak_mib=102.0))
    assert (figure.measured, figure.holds) == (2.0, True)


def test_a_run_in_injected_time_is_a_whole_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulated", "hundred-thousand", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    measured = Measured(**told["measured"])
    assert (measured.projects, measured.complete, measured.timeouts) == (20, 20, 0)
    assert 2.0 < measured.calls < 40.0
    assert measured.wall_seconds >= measured.site_seconds > 5.0
    assert told["page_mib"] > 0.0
    assert run_row(CASES["five"], "the gear", measured, is_first=True).count("|") == 13
