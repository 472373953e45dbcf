"""Never twice, never lost: whole runs under random faults, then retries to the end."""

from hypothesis import given

from tests.support.schedules import Schedule, check, half_of_them, schedules


@half_of_them
@given(schedules(are_killed=False))
def test_every_project_has_exactly_one_complete_snapshot_in_the_end(schedule: Schedule) -> None:
    check(schedule)
