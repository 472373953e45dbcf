"""The calls in flight: what each one's end tells, and which of them hang."""

import pytest

from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError, RejectedError
from fw_gear_sitewide_snapshot.poller.in_flight import CallsInFlight
from fw_gear_sitewide_snapshot.site.rates import ConcurrencyLimit
from fw_gear_sitewide_snapshot.snapshot.project_state import Call

LOST = OutcomeUnknownError("the site did not answer within 30 s")


@pytest.fixture
def calls() -> CallsInFlight:
    return CallsInFlight(ConcurrencyLimit())


def test_a_call_is_overdue_a_second_after_its_own_time(calls: CallsInFlight) -> None:
    for call in Call:
        calls.add(call, call, 5.0)

    assert calls.overdue() == {
        Call.LIST: 16.0,
        Call.POLL: 16.0,
        Call.CREATE: 36.0,
        Call.LOOK_UP: 36.0,
    }


def test_the_creates_are_counted(calls: CallsInFlight) -> None:
    calls.add("a", Call.CREATE, 0.0)
    calls.add("b", Call.POLL, 0.0)
    assert (calls.creates, len(calls)) == (1, 2)

    assert calls.end("a", 1.0, None, 1.0).sent == 0.0
    assert (calls.creates, len(calls)) == (0, 1)


def test_a_project_is_slow_whose_last_call_has_failed_after_long(calls: CallsInFlight) -> None:
    for seconds, error, is_slow in ((4.0, LOST, False), (6.0, LOST, True), (6.0, None, False)):
        calls.add("a", Call.POLL, 0.0)
        calls.end("a", seconds, error, seconds)

        assert ("a" in calls.slow) == is_slow


def test_of_creates_that_take_long_one_hangs_at_the_most(calls: CallsInFlight) -> None:
    for number in range(4):
        calls.add(f"create {number}", Call.CREATE, 0.1 * number)
    calls.add("poll", Call.POLL, 0.5)

    assert calls.live(1.0) == [Call.CREATE] * 4 + [Call.POLL]
    assert calls.live(10.0) == [Call.CREATE] * 3


@pytest.mark.parametrize("error", [None, RejectedError("the site says 422", 422)])
def test_those_hang_that_were_sent_before_one_that_was_answered(
    calls: CallsInFlight, error: Exception | None
) -> None:
    for number in range(4):
        calls.add(f"create {number}", Call.CREATE, float(number))

    calls.end("create 2", 4.0, error, 2.0)

    assert calls.live(20.0) == [], "and one more, which was sent after it, may"
    calls.add("create 4", Call.CREATE, 4.0)
    assert calls.live(20.0) == [Call.CREATE]
