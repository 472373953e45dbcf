"""How often, and until when, a thing is asked again."""

import math

import pytest

from fw_gear_sitewide_snapshot.errors import (
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
)
from fw_gear_sitewide_snapshot.patience import (
    ATTEMPTS,
    LONGEST_WISH_SECONDS,
    PATIENCE_SECONDS,
    Patience,
    patiently,
    pause_seconds,
)

from .support.time import FakeClock

BUSY = ServiceUnavailableError("busy", 503)


def pauses(
    patience: Patience, clock: FakeClock, error: Exception, takes: float = 0.0
) -> list[float]:
    """What is waited between attempts that all fail so, each after so many seconds."""
    found = []
    clock.seconds += takes
    while math.isfinite(pause := patience.pause(error)):
        found.append(pause)
        clock.seconds += pause + takes
    return found


def test_what_a_site_asks_for_is_waited_for() -> None:
    assert 30 <= pause_seconds(1, ServiceUnavailableError("busy", 503, retry_after=30)) <= 31


def test_pauses_grow_and_stay_bounded() -> None:
    found = [pause_seconds(attempt) for attempt in range(1, 9)]

    assert found[:4] == sorted(found[:4])
    assert max(found) <= 20


def test_it_lasts_for_a_handful_of_attempts_and_about_a_minute(clock: FakeClock) -> None:
    found = pauses(Patience(clock), clock, BUSY)

    assert len(found) == ATTEMPTS - 1
    assert 30 < clock.seconds <= PATIENCE_SECONDS


def test_no_attempt_is_begun_after_a_minute_however_long_each_takes(clock: FakeClock) -> None:
    found = pauses(Patience(clock), clock, OutcomeUnknownError("no answer"), takes=30.0)

    assert len(found) == 1


@pytest.mark.parametrize("wish", [60.0, LONGEST_WISH_SECONDS])
def test_a_pause_that_the_site_itself_asks_for_is_granted_though_it_takes_longer(
    clock: FakeClock, wish: float
) -> None:
    found = pauses(Patience(clock), clock, ServiceUnavailableError("busy", 429, retry_after=wish))

    assert len(found) == ATTEMPTS - 1
    assert min(found) >= wish


def test_a_site_that_asks_for_an_hour_is_not_waited_for(clock: FakeClock) -> None:
    assert (
        pauses(Patience(clock), clock, ServiceUnavailableError("busy", 429, retry_after=3600.0))
        == []
    )


def test_no_attempt_is_begun_after_the_deadline_whatever_the_site_asks_for(
    clock: FakeClock,
) -> None:
    patience = Patience(clock, until=45.0)

    assert len(pauses(patience, clock, ServiceUnavailableError("busy", 429, retry_after=20.0))) == 2
    assert clock.seconds <= 45.0


def test_what_is_refused_is_not_asked_again(clock: FakeClock) -> None:
    asked = []

    def ask() -> None:
        asked.append(clock.seconds)
        raise RejectedError("no", 403)

    with pytest.raises(RejectedError):
        patiently(ask, clock)
    assert asked == [0.0]


def test_the_last_problem_is_told(clock: FakeClock) -> None:
    problems = iter([BUSY, *(OutcomeUnknownError(f"lost {n}") for n in range(1, ATTEMPTS))])

    def ask() -> None:
        raise next(problems)

    with pytest.raises(OutcomeUnknownError, match=f"lost {ATTEMPTS - 1}"):
        patiently(ask, clock)
