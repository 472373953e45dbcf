"""How often the site is asked: bounded in any second, and not before it can be worth it."""

import math

import pytest

from fw_gear_sitewide_snapshot.errors import (
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
)
from fw_gear_sitewide_snapshot.site.rates import (
    MAX_CALLS_PER_SECOND,
    Gate,
    RateLimit,
    min_age,
    poll_interval,
)

BUSY = ServiceUnavailableError("the site says 503", 503)
LIMIT = ServiceUnavailableError("the site says 429", 429)
LOST = OutcomeUnknownError("the connection broke")


@pytest.mark.parametrize("pending", [1, 50, 500, 5_000, 20_000, 100_000])
def test_a_turn_needs_no_more_calls_a_second_than_the_bound(pending: int) -> None:
    assert pending / poll_interval(pending) <= MAX_CALLS_PER_SECOND
    assert poll_interval(pending) >= 1.0


@pytest.mark.parametrize(
    ("pending", "seconds"), [(0, 1), (1, 1), (50, 1), (250, 5), (500, 5), (5_000, 20)]
)
def test_the_few_are_asked_every_second_and_the_many_in_turns(pending: int, seconds: float) -> None:
    assert poll_interval(pending) == seconds


@pytest.mark.parametrize(("quickest", "seconds"), [(0.0, 0.0), (4.0, 2.0), (240.0, 5.0)])
def test_half_of_what_the_quickest_took_is_waited_but_never_more_than_five_seconds(
    quickest: float, seconds: float
) -> None:
    assert min_age(quickest) == seconds


def test_what_is_in_flight_and_what_has_ended_within_the_second_counts() -> None:
    rate = RateLimit()
    for at in (0.0, 0.5, 0.9):
        rate.count(at)

    assert rate.left(1.0, in_flight=7) == MAX_CALLS_PER_SECOND - 2 - 7
    assert rate.left(1.95, in_flight=0) == MAX_CALLS_PER_SECOND


def test_a_gate_is_open_until_something_fails() -> None:
    gate = Gate(4)
    gate.sent(1.0)
    gate.answered(1.5, 1.0, None)
    gate.answered(1.5, 1.0, RejectedError("the site says 422", 422))

    assert gate.opens_at(in_flight=16) <= 1.5
    assert gate.outage_seconds(100.0) == 0
    assert gate.problem == ""


def test_a_few_failures_close_nothing_and_as_many_as_that_let_one_call_try() -> None:
    gate = Gate(4)
    for number in range(3):
        gate.answered(10.0 + number, 9.0 + number, BUSY)
        assert gate.opens_at(in_flight=3) <= 10.0 + number
    gate.answered(13.0, 12.0, LOST)

    assert gate.opens_at(in_flight=1) == math.inf
    assert 13.0 < gate.opens_at(in_flight=0) < math.inf
    assert gate.problem == "the connection broke"


def test_what_was_sent_together_and_refused_is_one_piece_of_news() -> None:
    alone, together = Gate(4), Gate(4)
    for _ in range(4):
        alone.answered(1.0, 0.0, BUSY)
        together.answered(1.0, 0.0, BUSY)
    for _ in range(12):
        together.answered(1.0, 0.0, BUSY)

    assert together.opens_at(0) - 1.0 <= 1.25 * (alone.opens_at(0) - 1.0)  # chance is in both


def test_while_nothing_is_answered_the_pauses_grow_to_a_few_calls_a_minute() -> None:
    gate = Gate(4)
    now, sent = 0.0, []
    while now < 600.0:
        now = max(now, gate.opens_at(in_flight=0))
        sent.append(now)
        gate.sent(now)
        gate.answered(now + 0.1, now, BUSY)
        now += 0.1

    assert sum(at > 300.0 for at in sent) <= 5 * 5.5
    assert sent[-1] > 580.0, "it goes on trying"


@pytest.mark.parametrize("error", [None, RejectedError("the site says 403", 403)])
def test_one_answer_opens_it_again(error: Exception | None) -> None:
    gate = Gate(4)
    for number in range(8):
        gate.answered(float(number), float(number), BUSY)
    opens = gate.opens_at(0)
    gate.answered(opens + 0.1, opens, error)

    assert gate.opens_at(in_flight=16) <= opens + 0.1
    assert gate.problem == ""


def test_a_limit_s_own_wish_is_heeded_by_all() -> None:
    gate = Gate(4)
    gate.answered(5.0, 4.9, ServiceUnavailableError("the site says 429", 429, retry_after=20.0))

    assert gate.opens_at(in_flight=0) >= 25.0


def test_an_endless_wish_of_one_answer_holds_all_back_for_a_minute_only() -> None:
    gate = Gate(4)
    gate.answered(5.0, 4.9, ServiceUnavailableError("the site says 429", 429, retry_after=1e6))

    assert 65.0 <= gate.opens_at(in_flight=0) < 70.0


def test_after_a_limit_calls_are_spaced_out_and_each_that_goes_well_narrows_that() -> None:
    gate = Gate(4)
    gate.answered(0.0, 0.0, LIMIT)
    at = gate.opens_at(0)
    gate.sent(at)
    space = gate.opens_at(0) - at
    assert space > 0

    for _ in range(2_000):
        gate.answered(at, at, None)
    now = gate.opens_at(0)
    gate.sent(now)
    assert gate.opens_at(0) == now


def test_a_second_limit_widens_the_space_up_to_seconds() -> None:
    gate = Gate(1_000)
    spaces = []
    for number in range(40):
        at = 100.0 * number
        gate.answered(at, at, LIMIT)
        now = max(at, gate.opens_at(0))
        gate.sent(now)
        spaces.append(gate.opens_at(0) - now)

    assert spaces == sorted(spaces)
    assert spaces[0] < spaces[1]
    assert spaces[-1] <= 2.0


def test_room_on_the_site_ends_our_own_pause_and_not_the_site_s() -> None:
    ours, theirs = Gate(4), Gate(4)
    for number in range(8):
        ours.answered(float(number), float(number), BUSY)
    theirs.answered(7.0, 7.0, ServiceUnavailableError("the site says 429", 429, retry_after=30.0))
    for gate in (ours, theirs):
        gate.end_backoff(8.0)

    assert ours.opens_at(0) <= 8.0
    assert theirs.opens_at(0) >= 37.0


def test_room_on_the_site_does_not_undo_the_spacing_after_a_limit() -> None:
    gate = Gate(4)
    gate.answered(1.0, 0.0, ServiceUnavailableError("the site says 429", 429))
    gate.answered(3.0, 2.0, None)
    gate.sent(3.0)
    gate.end_backoff(3.0)

    assert gate.opens_at(0) > 3.0


def test_outages_count_as_waiting_also_after_their_end() -> None:
    gate = Gate(4)
    gate.answered(11.0, 10.0, BUSY)
    assert gate.outage_seconds(31.0) == 21.0

    gate.answered(31.0, 31.0, None)
    assert gate.outage_seconds(40.0) == 21.0

    gate.answered(101.0, 100.0, BUSY)
    gate.answered(300.0, 300.0, None)
    assert gate.outage_seconds(1_000.0) == 221.0
