"""How a site's 429 slows the whole run down, and how the run gets its pace back."""

import math
import threading
from itertools import pairwise

import pytest

from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.throttle import Throttle
from tests.support.time import FakeClock


@pytest.fixture
def throttle(clock: FakeClock) -> Throttle:
    return Throttle(clock)


def spaces(throttle: Throttle, clock: FakeClock, calls: int) -> list[float]:
    """Seconds between calls that each follow the one before at once."""
    times = []
    for _ in range(calls + 1):
        throttle.admit()
        times.append(clock.monotonic())
    return [later - earlier for earlier, later in pairwise(times)]


def widen(throttle: Throttle, clock: FakeClock, times: int = 1) -> None:
    """Have so many calls refused, one after the other, without a wait that is asked for."""
    for _ in range(times):
        clock.seconds += 1.0
        throttle.slow_down(throttle.admit(), 0.0)


def test_while_all_is_well_nobody_waits(throttle: Throttle, clock: FakeClock) -> None:
    spaces(throttle, clock, 100)
    assert clock.slept == []


def test_a_call_is_told_when_it_may_be_sent(throttle: Throttle, clock: FakeClock) -> None:
    clock.seconds = 7.0
    throttle.slow_down(throttle.admit(), 3.0)
    assert throttle.admit() == 10.0


@pytest.mark.parametrize("seconds", [0.0, 3.0, 60.0])
def test_a_refusal_holds_every_call_back_as_long_as_the_site_asks(
    throttle: Throttle, clock: FakeClock, seconds: float
) -> None:
    throttle.slow_down(throttle.admit(), seconds)
    throttle.admit()
    assert clock.seconds == seconds


def test_who_waits_already_is_held_back_by_a_later_refusal_too(
    throttle: Throttle, clock: FakeClock
) -> None:
    first = throttle.admit()
    throttle.slow_down(first, 1.0)
    refuse_once = iter([4.0])

    def slept(seconds: float) -> None:  # while it sleeps, another call is refused
        for asked in refuse_once:
            throttle.slow_down(first, asked)
        clock.seconds += seconds

    clock.sleep = slept  # type: ignore[method-assign]
    assert throttle.admit() >= 4.0


def test_a_refusal_that_does_not_say_how_long_holds_calls_back_for_a_second(
    throttle: Throttle, clock: FakeClock
) -> None:
    throttle.slow_down(throttle.admit(), None)
    throttle.admit()
    assert clock.seconds == 1.0


@pytest.mark.parametrize("seconds", [61.0, 3600.0, math.inf])
def test_no_refusal_holds_the_run_back_for_more_than_a_minute(
    throttle: Throttle, clock: FakeClock, seconds: float
) -> None:
    throttle.slow_down(throttle.admit(), seconds)
    throttle.admit()
    assert clock.seconds == 60.0


def test_a_shorter_hold_does_not_cut_a_longer_one(throttle: Throttle, clock: FakeClock) -> None:
    sent = throttle.admit()
    throttle.slow_down(sent, 10.0)
    throttle.slow_down(sent, 1.0)
    throttle.admit()
    assert clock.seconds == 10.0


def test_calls_after_a_refusal_are_spaced_evenly(throttle: Throttle, clock: FakeClock) -> None:
    throttle.slow_down(throttle.admit(), 0.0)
    assert spaces(throttle, clock, 10) == pytest.approx([0.04] * 10)


def test_each_further_refusal_widens_the_space(throttle: Throttle, clock: FakeClock) -> None:
    widen(throttle, clock)
    before = spaces(throttle, clock, 1)[0]
    widen(throttle, clock)
    assert spaces(throttle, clock, 1)[0] == pytest.approx(1.5 * before)


def test_the_space_has_a_limit(throttle: Throttle, clock: FakeClock) -> None:
    widen(throttle, clock, 50)
    assert spaces(throttle, clock, 3) == pytest.approx([2.0] * 3)


def test_refusals_of_calls_that_were_sent_together_are_one_piece_of_news(
    throttle: Throttle, clock: FakeClock
) -> None:
    sent = [throttle.admit() for _ in range(16)]
    for number, when in enumerate(sent):
        clock.seconds = 0.1 + number / 100
        throttle.slow_down(when, 0.0)
    assert spaces(throttle, clock, 3) == pytest.approx([0.04] * 3)


def test_a_call_that_goes_well_narrows_the_space(throttle: Throttle, clock: FakeClock) -> None:
    widen(throttle, clock, 5)
    before = spaces(throttle, clock, 1)[0]
    for _ in range(140):
        throttle.went_well()
    assert spaces(throttle, clock, 1)[0] == pytest.approx(before / 2, rel=0.02)


def test_the_space_closes_once_calls_have_long_gone_well(
    throttle: Throttle, clock: FakeClock
) -> None:
    throttle.slow_down(throttle.admit(), 0.0)
    for _ in range(1000):
        throttle.went_well()
    throttle.admit()
    assert spaces(throttle, clock, 10) == [0.0] * 10


def test_the_run_settles_below_what_the_site_allows(throttle: Throttle, clock: FakeClock) -> None:
    allowed_each_seconds, free, refused = 0.2, 0.0, 0
    calls = 2000
    for _ in range(calls):
        sent = throttle.admit()
        if sent < free:
            refused += 1
            throttle.slow_down(sent, None)
        else:
            free = sent + allowed_each_seconds
            throttle.went_well()
    assert refused < calls * 0.05
    assert clock.seconds < 2 * calls * allowed_each_seconds


def test_a_run_that_is_to_end_is_not_held_back() -> None:
    stop = threading.Event()
    throttle = Throttle(SystemClock(stop))
    throttle.slow_down(throttle.admit(), 60.0)
    stop.set()
    with pytest.raises(TerminatedError):
        throttle.admit()
