"""Never twice, never lost: whole runs under random faults and kills, then retries to the end."""

from hypothesis import example, given

from tests.support.schedules import Kill, Schedule, check, half_of_them, schedules

# What fifty thousand random ones found once: a job that is started again sees its row's snapshot
# fail and looks for another one, but is killed; the next run has to look since as long ago.
STARTED_AGAIN_AND_KILLED = Schedule(
    projects=1,
    attempts=1,
    build_seconds=0.0,
    timeout_seconds=60.0,
    offset=-333.3,
    shape="bare",
    whole_seconds=False,
    per_second=None,
    most_builds=None,
    list_lag_seconds=0.0,
    detail_lag_seconds=0.0,
    gap_seconds=0.0,
    old_snapshots=[],
    failing={0: 1},
    deleted=[],
    faults=[],
    kills=[
        Kill(5, "no", gently=True, dry_run_after=False, is_restarted=False),
        Kill(10, "no", gently=False, dry_run_after=False, is_restarted=True),
        Kill(4, "no", gently=False, dry_run_after=False, is_restarted=False),
    ],
)


@example(STARTED_AGAIN_AND_KILLED)
@half_of_them
@given(schedules(are_killed=True))
def test_every_project_has_exactly_one_complete_snapshot_in_the_end(schedule: Schedule) -> None:
    check(schedule)
