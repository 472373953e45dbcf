"""How often, and until when, what a site can't answer is asked again."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.errors import (
    AcceptedError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from fw_gear_sitewide_snapshot.site.retry import (
    MAX_RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
    backoff_seconds,
    call_with_retries,
)
from tests.support.time import FakeClock

UNAVAILABLE = ServiceUnavailableError("not now", 503)
UNKNOWN = OutcomeUnknownError("no answer")


def asks_to_wait(seconds: float) -> ServiceUnavailableError:
    return ServiceUnavailableError("not now", 429, retry_after=seconds)


def begun(
    clock: FakeClock, error: SiteError, seconds: float = RETRY_SECONDS, takes: float = 0.0
) -> list[float]:
    """When calls were begun that all end so, each after a time; until it was given up."""
    times = []

    def call() -> None:
        times.append(clock.seconds)
        clock.seconds += takes
        raise error

    with pytest.raises(type(error)):
        call_with_retries(call, clock, seconds)
    return times


def site_that_is_back_at(clock: FakeClock, when: float, error: SiteError, takes: float) -> object:
    def call() -> str:
        if clock.seconds >= when:
            return "answer"
        clock.seconds += takes
        raise error

    return call_with_retries(call, clock, 30.0)


# Pauses


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = [backoff_seconds(failures) for failures in range(1, 20)]
    assert pauses[:4] == sorted(pauses[:4])
    assert 0.8 <= pauses[0] <= 1.0
    assert 12.0 <= pauses[-1] <= 15.0


def test_calls_that_failed_together_do_not_come_back_together() -> None:
    assert len({backoff_seconds(3) for _ in range(10)}) > 1


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0.0, max_value=1e9))
def test_the_longer_pause_is_made_of_the_sites_and_our_own(failures: int, asked: float) -> None:
    pause = backoff_seconds(failures, asks_to_wait(asked))
    assert pause >= asked
    assert pause >= 0.8
    assert pause <= max(asked, 15.0)


@pytest.mark.parametrize("error", [None, UNKNOWN, RejectedError("no", 403), LookupError()])
def test_who_asks_for_nothing_gets_our_own_pause(error: Exception | None) -> None:
    assert 0.8 <= backoff_seconds(1, error) <= 1.0


# Outages


@pytest.mark.parametrize("takes", [0.0, 0.5, 6.0, 10.0, 29.9, 30.0, 120.0])
@pytest.mark.parametrize(
    "error",
    [UNAVAILABLE, UNKNOWN, *map(asks_to_wait, (0.0, 1.0, 7.0, 20.0, 30.0))],
    ids=["503", "unknown", "0 s", "1 s", "7 s", "20 s", "30 s"],
)
def test_half_a_minute_is_always_bridged(clock: FakeClock, error: SiteError, takes: float) -> None:
    assert site_that_is_back_at(clock, 30.0, error, takes) == "answer"


@pytest.mark.parametrize("seconds", [30.0, RETRY_SECONDS])
@pytest.mark.parametrize("takes", [0.0, 10.0, 30.0])
def test_a_site_that_never_answers_is_given_up(
    clock: FakeClock, seconds: float, takes: float
) -> None:
    times = begun(clock, UNKNOWN, seconds, takes)
    assert seconds <= times[-1] <= max(seconds, times[-2] + takes) + 1.0
    assert times[-2] < seconds
    assert len(times) < 12


def test_a_site_is_never_asked_twice_within_a_moment(clock: FakeClock) -> None:
    times = begun(clock, UNAVAILABLE)
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.8


def test_a_site_is_not_asked_more_often_than_it_wants(clock: FakeClock) -> None:
    times = begun(clock, asks_to_wait(20.0))
    assert min(later - earlier for earlier, later in pairwise(times)) >= 20.0


@pytest.mark.parametrize("asked", [60.0, MAX_RETRY_AFTER_SECONDS])
def test_a_pause_that_the_site_asks_for_does_not_use_up_the_time(
    clock: FakeClock, asked: float
) -> None:
    times = begun(clock, asks_to_wait(asked))
    assert len(times) >= 3
    assert times[-1] <= RETRY_SECONDS + 2 * asked


def test_a_site_that_asks_for_an_hour_is_not_waited_for(clock: FakeClock) -> None:
    assert begun(clock, asks_to_wait(3600.0)) == [0.0]


# What ends it


@pytest.mark.parametrize(
    "error", [RejectedError("no", 403), NotFoundError("gone", 404), AcceptedError("yes", 202)]
)
def test_what_is_certain_is_not_asked_again(clock: FakeClock, error: SiteError) -> None:
    assert begun(clock, error) == [0.0]


def test_an_answer_is_returned_as_soon_as_there_is_one(clock: FakeClock) -> None:
    ends: list[SiteError | str] = [UNAVAILABLE, UNKNOWN, "answer"]

    def call() -> str:
        end = ends.pop(0)
        if isinstance(end, SiteError):
            raise end
        return end

    assert call_with_retries(call, clock) == "answer"
    assert len(clock.slept) == 2


def test_the_last_problem_is_told(clock: FakeClock) -> None:
    asked = 0

    def call() -> None:
        nonlocal asked
        asked += 1
        raise OutcomeUnknownError(f"lost {asked}")

    with pytest.raises(OutcomeUnknownError) as raised:
        call_with_retries(call, clock)
    assert str(raised.value) == f"lost {asked}"


def test_each_pause_is_logged_with_its_reason(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    begun(clock, asks_to_wait(60.0), seconds=1.0)
    assert "not now; asking again in 60 s" in caplog.messages


def test_what_is_no_problem_of_the_site_is_raised_at_once(clock: FakeClock) -> None:
    call: Callable[[], object] = {}.popitem
    with pytest.raises(KeyError):
        call_with_retries(call, clock)
    assert clock.slept == []
