"""How many calls the site is sent: as many as get most done, and no more than it bears."""

import math
from collections.abc import Callable
from itertools import islice

import pytest

from fw_gear_sitewide_snapshot.errors import (
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
)
from fw_gear_sitewide_snapshot.site.rates import (
    MAX_CONCURRENT_CALLS,
    ConcurrencyLimit,
    Gate,
)

BUSY = ServiceUnavailableError("the site says 503", 503)
LIMIT = ServiceUnavailableError("the site says 429", 429)
LOST = OutcomeUnknownError("the connection broke")


# How many calls at a time

CREATE, POLL = "create", "poll"


class SiteUnderLoad:
    """A site whose answers' time depends on how many calls it is asked at a time."""

    def __init__(self, most_calls: int = MAX_CONCURRENT_CALLS) -> None:
        self.limit = ConcurrencyLimit(most_calls)
        self.now = 0.0
        self.most = 0

    def ask(
        self,
        calls: int,
        seconds: Callable[[int], float],
        kind: str = CREATE,
        most_seconds: float = math.inf,
    ) -> None:
        """Keep as many calls in flight as the limit says, until so many have been answered."""
        for _ in range(calls):
            at_once = self.limit.calls
            self.most = max(self.most, at_once)
            took = seconds(at_once)
            self.now += took / at_once
            self.limit.answered(kind, self.limit.era, took, (at_once, at_once), most_seconds)


def peaks_at(best: float, idle_seconds: float = 0.1) -> Callable[[int], float]:
    return lambda at_once: idle_seconds * (1 + (at_once / best) ** 2)


def test_a_site_that_does_not_mind_is_asked_sixteen_at_a_time_after_a_few_answers() -> None:
    site = SiteUnderLoad()
    site.ask(2 * (4 + 8), lambda _: 0.1)

    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_where_fetches_have_some_of_the_calls_the_others_are_judged_likewise() -> None:
    site = SiteUnderLoad(most_calls=12)
    site.ask(200, peaks_at(100))
    assert site.limit.calls == 12

    site.ask(200, peaks_at(3))
    assert site.limit.calls <= 4


@pytest.mark.parametrize("best", [1, 1.5, 2, 3, 4, 5, 6, 8, 11, 16, 30])
def test_nearly_as_much_gets_done_as_with_the_best_number(best: float) -> None:
    seconds = peaks_at(best)
    site = SiteUnderLoad()
    site.ask(2_000, seconds)

    most_done = max(calls / seconds(calls) for calls in range(1, MAX_CONCURRENT_CALLS + 1))
    assert site.limit.calls / seconds(site.limit.calls) >= 0.85 * most_done
    assert 2_000 / site.now >= 0.85 * most_done, "trials included"


def test_a_site_that_gets_no_more_done_is_not_asked_more_at_a_time() -> None:
    site = SiteUnderLoad()
    asked = []
    for _ in range(500):
        site.ask(1, lambda at_once: 0.1 * max(1.0, at_once / 4))
        asked.append(site.limit.calls)

    assert sum(calls == 4 for calls in asked) >= 0.85 * 500
    assert site.most == 8


def test_where_twice_as_many_are_worse_they_are_tried_less_and_less_often() -> None:
    site = SiteUnderLoad()
    tried = []
    for place in range(4_000):
        site.ask(1, peaks_at(4))
        if site.limit.calls > 4:
            tried.append(place)

    assert len(tried) < 4_000 / 20
    assert site.most == 8


def test_a_site_that_becomes_slower_is_asked_fewer_at_a_time_and_more_when_it_recovers() -> None:
    site = SiteUnderLoad()
    site.ask(200, peaks_at(100))
    assert site.limit.calls == MAX_CONCURRENT_CALLS

    site.ask(100, peaks_at(3))
    assert site.limit.calls <= 4
    site.ask(2_000, peaks_at(100))
    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_a_site_that_bore_one_call_at_a_time_for_long_is_asked_more_when_it_recovers() -> None:
    site = SiteUnderLoad()
    site.ask(5_000, peaks_at(0.5))
    assert site.limit.calls == 1

    site.ask(64 * 4 + 400, lambda _: 0.1)
    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_quick_polls_do_not_make_a_trial_with_creates_a_success() -> None:
    site = SiteUnderLoad()
    site.ask(1, lambda _: 0.001, POLL)
    site.ask(5, peaks_at(3))
    while site.limit.calls != 8:
        site.ask(1, peaks_at(3))
    while site.limit.calls == 8:
        site.ask(1, lambda _: 0.001, POLL)

    assert site.limit.calls == 4


def test_answers_that_were_all_held_up_once_are_no_news() -> None:
    site = SiteUnderLoad()
    site.ask(200, lambda _: 0.1)
    for _ in range(20):
        site.ask(16, lambda _: 0.5)
        assert site.limit.calls == MAX_CONCURRENT_CALLS
        site.ask(32, lambda _: 0.1)


def test_another_kind_of_call_is_tried_with_fewer_at_first() -> None:
    site = SiteUnderLoad()
    site.ask(200, lambda _: 0.1, CREATE)
    site.ask(1, lambda _: 0.001, POLL)

    assert site.limit.calls < MAX_CONCURRENT_CALLS
    site.ask(100, lambda _: 0.001, POLL)
    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_a_mixture_of_slow_and_quick_calls_is_no_slowness() -> None:
    site = SiteUnderLoad()
    for kind, seconds in islice(((CREATE, 0.5), (POLL, 0.01)) * 500, 1_000):
        site.ask(1, lambda _, seconds=seconds: seconds, kind)  # type: ignore[misc]

    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_what_was_not_asked_beside_as_many_as_may_be_says_nothing_of_the_limit() -> None:
    limit = ConcurrencyLimit()
    for _ in range(100):
        limit.answered(POLL, limit.era, 0.1, (1, 1))

    assert limit.calls == 4


def test_calls_that_are_not_answered_in_time_get_nothing_done() -> None:
    limit = ConcurrencyLimit()
    for _ in range(400):
        at_once = limit.calls
        seconds = min(1.5 * at_once, 10.0)  # one after the other, and given up after ten
        limit.answered(POLL, limit.era, seconds, (at_once, at_once), 10.0)

        assert at_once <= 4


def test_no_more_are_tried_where_their_answers_could_come_too_late() -> None:
    site = SiteUnderLoad()
    site.ask(400, lambda _: 2.0, most_seconds=3.9)
    assert site.most == 4

    site.ask(400, lambda _: 0.9, most_seconds=3.9)
    assert site.limit.calls == MAX_CONCURRENT_CALLS


def test_a_kind_of_call_that_is_new_is_tried_with_no_more_than_the_others_bore() -> None:
    site = SiteUnderLoad()
    site.ask(400, peaks_at(0.5), CREATE)
    assert site.limit.calls == 1

    site.ask(1, peaks_at(0.5), POLL)
    assert site.limit.calls == 1


def test_an_answer_tells_only_of_the_limit_of_when_its_call_was_sent() -> None:
    limit = ConcurrencyLimit()
    limit.answered(POLL, limit.era, 1.0, (4, 4))
    before = limit.era
    for _ in range(4):
        limit.answered(POLL, limit.era, 1.0, (4, 4))
    assert limit.calls == 8

    for _ in range(100):
        limit.answered(POLL, before, 0.1, (4, 4))
    assert limit.calls == 8


def test_before_a_kind_was_answered_it_may_take_as_long_as_the_others() -> None:
    site = SiteUnderLoad()
    site.ask(100, lambda _: 3.0, CREATE)

    assert site.limit.hanging_seconds(POLL) == site.limit.hanging_seconds(CREATE) > 3.0


def test_what_lasts_far_longer_than_usual_hangs() -> None:
    site = SiteUnderLoad()
    assert site.limit.hanging_seconds(CREATE) == 3.0
    site.ask(100, lambda _: 0.1)
    assert site.limit.hanging_seconds(CREATE) == 2.0

    site.ask(100, lambda _: 3.0)
    assert site.limit.hanging_seconds(CREATE) == pytest.approx(12.0)


# What the site refuses


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


def test_however_wide_the_space_has_become_it_is_gone_within_a_minute_of_success() -> None:
    gate = Gate(1_000)
    for number in range(40):
        gate.answered(float(number), float(number), LIMIT)
    began = now = gate.opens_at(0)
    spaces = []
    while now < began + 60.0:
        gate.sent(now)
        gate.answered(now, now, None)
        spaces.append(gate.opens_at(0) - now)
        now = max(gate.opens_at(0), now + 0.01)

    assert spaces[0] == pytest.approx(2.0)
    assert spaces[-1] <= 0


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


def test_the_pauses_that_a_site_asks_for_between_calls_that_it_serves_are_no_outage() -> None:
    gate = Gate(4)
    for second in range(1_000):
        gate.answered(second + 0.5, second, ServiceUnavailableError("busy", 429, 1.0))
        gate.answered(second + 1.0, second, None)

    assert gate.outage_seconds(1_000.0) == 0.0


def test_outages_count_as_waiting_also_after_their_end() -> None:
    gate = Gate(4)
    gate.answered(11.0, 10.0, BUSY)
    assert gate.outage_seconds(31.0) == 21.0

    gate.answered(31.0, 31.0, None)
    assert gate.outage_seconds(40.0) == 21.0

    gate.answered(101.0, 100.0, BUSY)
    gate.answered(300.0, 300.0, None)
    assert gate.outage_seconds(1_000.0) == 221.0
