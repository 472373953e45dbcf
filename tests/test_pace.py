"""How often the site is asked: bounded in any second, and not before it can be worth it."""

import pytest

from fw_gear_sitewide_snapshot.pace import MOST_CALLS_PER_SECOND, Pace, turn_seconds


@pytest.mark.parametrize("out", [1, 50, 500, 5_000, 20_000, 100_000])
def test_a_turn_needs_no_more_calls_a_second_than_the_bound(out: int) -> None:
    assert out / turn_seconds(out) <= MOST_CALLS_PER_SECOND
    assert turn_seconds(out) >= 1.0


@pytest.mark.parametrize(("out", "seconds"), [(1, 1), (50, 1), (250, 5), (500, 5), (5_000, 20)])
def test_the_few_are_asked_every_second_and_the_many_in_turns(out: int, seconds: float) -> None:
    assert turn_seconds(out) == seconds


def test_what_is_in_flight_and_what_was_answered_within_the_second_counts() -> None:
    pace = Pace()
    for at in (0.0, 0.5, 0.9):
        pace.answered(at)

    assert pace.calls_left(1.0, in_flight=7) == MOST_CALLS_PER_SECOND - 2 - 7
    assert pace.calls_left(1.95, in_flight=0) == MOST_CALLS_PER_SECOND


def test_before_anything_is_finished_every_snapshot_may_be() -> None:
    assert Pace().is_old_enough(0.0)


def test_half_of_what_the_quickest_took_is_waited_but_never_more_than_five_seconds() -> None:
    pace = Pace()
    pace.finished(240.0)
    assert [pace.is_old_enough(age) for age in (4.9, 5.0)] == [False, True]

    pace.finished(4.0)
    pace.finished(60.0)
    assert [pace.is_old_enough(age) for age in (1.9, 2.0)] == [False, True]
