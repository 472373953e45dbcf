"""Second attempts: how many at a time, until when, and what becomes of those that come too late."""

from collections.abc import Callable

import pytest

from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord, SnapshotStatus
from fw_gear_sitewide_snapshot.restarts import CALLS_EACH, Restart, Restarts

from .support.time import FakeClock

PLENTY = 250
UNTIL = 600.0


def failed(number: int) -> SnapshotRecord:
    project = Project(f"{number:024x}", f"Study {number}", "neuro")
    return SnapshotRecord(project, "e" * 24, status=SnapshotStatus.FAILED, error="it failed")


def again(record: SnapshotRecord) -> Restart:
    """A restart that tells until when it was given."""
    pending = SnapshotRecord(record.project)
    return Restart(
        record, pending, lambda until: SnapshotRecord(record.project, error=f"until {until:g}")
    )


@pytest.fixture
def restarts(clock: FakeClock) -> Restarts:
    return Restarts(lambda records: [again(record) for record in records], clock)


def prepared(restarts: Restarts, many: int) -> list[SnapshotRecord]:
    rows = [failed(number) for number in range(many)]
    for row in rows:
        restarts.add(row)
    restarts.prepare(at_once=True)
    return rows


def next_ones(restarts: Restarts, most: int = PLENTY) -> list[Callable[[], SnapshotRecord]]:
    return list(restarts.next_ones(most, UNTIL))


def test_half_of_the_workers_are_left_to_those_that_ask(restarts: Restarts) -> None:
    prepared(restarts, 20)

    first = next_ones(restarts)
    assert len(first) == 8
    assert next_ones(restarts) == []

    restarts.came(first[0]())
    assert len(next_ones(restarts)) == 1


def test_no_more_are_sent_than_the_site_may_have_calls(restarts: Restarts) -> None:
    prepared(restarts, 20)

    assert len(next_ones(restarts, most=2 * CALLS_EACH + 1)) == 2
    assert next_ones(restarts, most=-7) == []


def test_each_is_told_until_when_it_may_try(restarts: Restarts) -> None:
    prepared(restarts, 1)

    [work] = next_ones(restarts)
    assert work().error == "until 600"


def test_one_that_no_worker_was_free_for_in_time_leaves_its_row_as_it_was(
    restarts: Restarts, clock: FakeClock
) -> None:
    [row] = prepared(restarts, 1)

    [work] = next_ones(restarts)
    clock.seconds = UNTIL
    assert work() == row


def test_none_is_sent_when_the_time_is_up(restarts: Restarts, clock: FakeClock) -> None:
    [row] = prepared(restarts, 1)
    clock.seconds = UNTIL

    assert next_ones(restarts) == []
    assert list(restarts.given_up()) == [(row, False)]


def test_of_one_that_is_under_way_it_is_not_known_what_becomes_of_it(restarts: Restarts) -> None:
    [row] = prepared(restarts, 1)
    next_ones(restarts)

    assert list(restarts.given_up()) == [(SnapshotRecord(row.project), True)]


def test_failures_are_gathered_for_some_seconds_unless_nothing_else_is_waited_for(
    restarts: Restarts, clock: FakeClock
) -> None:
    prepared(restarts, 1)
    restarts.add(failed(1))

    assert restarts.prepare(at_once=False) == []
    clock.seconds += 5.0
    assert len(restarts.prepare(at_once=False)) == 1
    restarts.add(failed(2))
    assert len(restarts.prepare(at_once=True)) == 1


def test_it_is_busy_until_the_last_one_has_come(restarts: Restarts) -> None:
    busy = [restarts.is_busy]
    restarts.add(failed(0))
    busy.append(restarts.is_busy)
    restarts.prepare(at_once=True)
    busy.append(restarts.is_busy)
    [work] = next_ones(restarts)
    busy.append(restarts.is_busy)
    restarts.came(work())
    busy.append(restarts.is_busy)

    assert busy == [False, True, True, True, False]
