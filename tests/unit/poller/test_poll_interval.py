"""How long a running snapshot is left alone: no longer than it is worth it."""

import pytest

from fw_gear_sitewide_snapshot.poller.poll_interval import PollInterval


def interval_after(
    finished: list[bool], pending: int, *, age: float = 20.0, quiet: float = 0.0
) -> float:
    """The interval after polls at the same time, and one in vain after the quiet."""
    interval = PollInterval()
    for is_finished in finished:
        interval.found(is_finished=is_finished, pending=pending, newest=0.0, now=age - quiet)
    interval.found(is_finished=False, pending=pending, newest=0.0, now=age)
    return interval.seconds


def test_what_is_asked_in_vain_is_asked_less_often_and_what_is_found_makes_it_more_often() -> None:
    in_vain = interval_after([False] * 100, pending=500)

    assert in_vain > 4.0
    assert interval_after([False] * 100 + [True] * 50, pending=500) < in_vain / 2


def test_it_is_in_balance_where_three_of_five_find_a_finished_snapshot() -> None:
    after_a_while = [False] * 100
    balanced = [True, False, True, False, True] * 100

    before = interval_after(after_a_while, pending=500)
    assert interval_after(after_a_while + balanced, pending=500) == pytest.approx(before, rel=0.2)
    assert interval_after(after_a_while + [True, False] * 100, pending=500) > 1.5 * before


@pytest.mark.parametrize(
    ("pending", "seconds"),
    [(1, 0.25), (10, 1.0), (100, 10.0), (900, 30.0), (10_000, 100.0)],
    ids=str,
)
def test_however_much_is_asked_in_vain_a_few_are_asked_soon(pending: int, seconds: float) -> None:
    assert interval_after([False] * 100_000, pending, age=0.0) == pytest.approx(seconds)


@pytest.mark.parametrize(("age", "seconds"), [(1.0, 0.25), (60.0, 0.3), (3_600.0, 18.0)])
def test_while_none_is_finished_no_more_often_than_by_a_two_hundredth_of_the_age(
    age: float, seconds: float
) -> None:
    assert interval_after([], pending=5_000, age=age) == pytest.approx(seconds, rel=0.05)


@pytest.mark.parametrize(
    ("quiet", "seconds"), [(0.0, 0.25), (5.0, 0.25), (60.0, 3.0), (360.0, 18.0), (3_000.0, 18.0)]
)
def test_once_one_is_finished_the_others_are_asked_soon_however_old_they_are(
    quiet: float, seconds: float
) -> None:
    after = interval_after([True], pending=5_000, age=3_600.0, quiet=quiet)

    assert after == pytest.approx(seconds, rel=0.05)
