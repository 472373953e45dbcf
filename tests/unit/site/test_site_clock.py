"""The site's time, told from the dates of its answers, some of which are wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.site.site_clock import SiteClock
from tests.support.time import START

HOURS = 7200.0


class Answers:
    """A site whose clock is so many seconds ahead of this machine's; answers at monotonic times."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self.monotonic = 1000.0
        self.clock = SiteClock(START, self.monotonic)

    def true_time(self, monotonic: float) -> datetime:
        return START + timedelta(seconds=monotonic - 1000.0 + self.ahead)

    def answer(
        self, *, is_service: bool, is_cached: bool = False, odd: float = 0.0, took: float = 0.0
    ) -> None:
        """Have an answer come, a second after the last one; its date may be so much off."""
        self.monotonic += 1.0
        written = self.true_time(self.monotonic - took) + timedelta(seconds=odd)
        date = written.replace(microsecond=0)
        self.clock.observe(date, self.monotonic, is_service=is_service, is_cached=is_cached)

    def is_right(self) -> bool:
        """Whether the clock is right: up to two seconds late, and never ahead."""
        late = self.true_time(self.monotonic) - self.clock.at(self.monotonic)
        return timedelta(0) <= late <= timedelta(seconds=2)


def test_until_the_site_has_told_the_time_this_machines_stands_in() -> None:
    clock = SiteClock(START, 1000.0)
    assert clock.at(1000.0) == START
    assert clock.at(1600.0) == START + timedelta(minutes=10)
    assert clock.at(940.0) == START - timedelta(minutes=1)


@pytest.mark.parametrize("ahead", [-90_000.0, -300.25, 0.5, 300.75, 90_000.0])
@pytest.mark.parametrize("is_service", [False, True])
def test_the_time_is_the_sites_and_never_ahead_of_it(ahead: float, is_service: bool) -> None:
    site = Answers(ahead)
    for took in (0.0, 0.9, 0.3):
        site.answer(is_service=is_service, took=took)
        assert site.is_right()


def test_the_time_passes_between_answers() -> None:
    site = Answers()
    site.answer(is_service=True)
    an_hour = site.clock.at(site.monotonic + 3600.0) - site.clock.at(site.monotonic)
    assert an_hour == timedelta(hours=1)


def test_the_snapshot_service_is_believed_before_the_others() -> None:
    site = Answers(ahead=300.0)
    for _ in range(9):
        site.answer(is_service=False, odd=-300.0)
    for _ in range(2):
        site.answer(is_service=True)
    assert site.is_right()


def test_what_a_cache_has_kept_counts_while_nothing_else_is_known() -> None:
    site = Answers(ahead=300.0)
    for is_service in (False, True, True):
        site.answer(is_service=is_service, is_cached=True)
        assert site.is_right()


@pytest.mark.parametrize("is_service", [False, True])
def test_what_a_cache_has_kept_does_not_count_beside_anything_else(is_service: bool) -> None:
    site = Answers(ahead=300.0)
    for _ in range(3):
        site.answer(is_service=True, is_cached=True, odd=-HOURS)
    site.answer(is_service=is_service)
    assert site.is_right()


# One date that contradicts the others


@pytest.mark.parametrize("odd", [-HOURS, -10.0, 10.0, HOURS])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("is_service", [False, True])
def test_one_odd_date_among_three_or_more_is_outvoted(
    odd: float, place: int, is_service: bool
) -> None:
    site = Answers()
    for number in range(5):
        site.answer(is_service=is_service, odd=odd if number == place else 0.0)
        assert number < 2 or site.is_right()


@pytest.mark.parametrize("odd", [-HOURS, HOURS])
def test_one_odd_date_of_the_service_is_outvoted_by_the_other_calls(odd: float) -> None:
    site = Answers()
    for _ in range(3):
        site.answer(is_service=False)
    site.answer(is_service=True, odd=odd)
    assert site.is_right()


@pytest.mark.parametrize("odd", [-HOURS, HOURS])
@pytest.mark.parametrize("is_first", [False, True])
def test_of_two_dates_of_the_service_the_one_that_the_other_calls_bear_out_is_believed(
    odd: float, is_first: bool
) -> None:
    site = Answers()
    for _ in range(3):
        site.answer(is_service=False)
    site.answer(is_service=True, odd=odd if is_first else 0.0)
    site.answer(is_service=True, odd=0.0 if is_first else odd)
    assert site.is_right()


def test_of_two_dates_an_old_one_from_a_cache_is_not_believed() -> None:
    site = Answers()
    site.answer(is_service=False)
    site.answer(is_service=False, odd=-HOURS)
    assert site.is_right()


def test_of_two_other_dates_the_one_that_the_service_bears_out_is_believed() -> None:
    site = Answers()
    site.answer(is_service=False, odd=HOURS)
    site.answer(is_service=False)
    site.answer(is_service=True)
    assert site.is_right()


def test_a_clock_that_is_set_anew_is_followed() -> None:
    site = Answers()
    for _ in range(20):
        site.answer(is_service=True)
    site.ahead += 60.0
    for _ in range(9):
        site.answer(is_service=True)
    assert site.is_right()


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 0.9)), min_size=3, max_size=30),
    st.integers(0, 29),
    st.floats(-1e6, 1e6),
)
def test_no_single_date_moves_the_clock(
    answers: list[tuple[bool, float]], place: int, odd: float
) -> None:
    site = Answers()
    for number, (is_service, took) in enumerate(answers):
        is_odd = number == place
        site.answer(is_service=is_service, odd=odd if is_odd else 0.0, took=took)
    off = abs((site.clock.at(site.monotonic) - site.true_time(site.monotonic)).total_seconds())
    service = sum(is_service for is_service, _ in answers)
    if service != 2 or len(answers) - service > 2:
        assert off < 8.0


# The end of all time


@pytest.mark.parametrize(
    "date",
    [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(100, 1, 1, tzinfo=UTC)],
)
def test_no_date_ends_the_run(date: datetime) -> None:
    clock = SiteClock(START, 0.0)
    clock.observe(date, 10.0, is_service=True)
    assert clock.at(10.0) == date
    assert clock.at(1e9).tzinfo is not None
