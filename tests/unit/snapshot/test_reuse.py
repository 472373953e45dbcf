"""A snapshot that is new enough will do; an audit only says whether there is one."""

from dataclasses import replace
from datetime import datetime

import pytest

from fw_gear_sitewide_snapshot.models import (
    Origin,
    Snapshot,
    SnapshotList,
    SnapshotOrder,
    SnapshotRecord,
    UnreadableSnapshot,
)
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.deadline import give_up
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, ProjectState
from tests.support.states import (
    ID,
    NOT_DONE,
    NOW,
    OTHER_ID,
    PROJECT,
    REFUSED,
    UNKNOWN,
    at,
    fresh,
    listed,
    made,
    now,
)

HOUR = 3600.0
SINCE = at(-24 * HOUR)


def reusing(since: datetime = SINCE, **order: object) -> ProjectState:
    """Return a project of which a snapshot since then will do; the batch begins at 0."""
    return fresh(reuse_since=since, **order)


def auditing() -> ProjectState:
    return reusing(is_audit=True)


def after(state: ProjectState, *snapshots: Snapshot) -> ProjectState:
    return transitions.apply(state, listed(*snapshots), now())


def test_it_is_looked_for_before_anything_is_started() -> None:
    assert reusing().call == Call.LIST


def test_after_a_look_up_it_is_looked_for_too() -> None:
    assert transitions.apply(reusing(look_up=True), PROJECT, now()).call == Call.LIST


def test_a_complete_one_is_kept_and_said_to_be_reused() -> None:
    state = after(reusing(), made("complete", -2 * HOUR))

    assert state.call is None
    assert (state.record.snapshot_id, state.record.origin) == (ID, Origin.REUSED)
    assert state.record.timestamp == at(-2 * HOUR)


def test_one_that_is_being_built_is_awaited() -> None:
    state = after(reusing(), made("in_progress", -2 * HOUR))

    assert state.call == Call.POLL
    assert transitions.apply(state, made("complete", -2 * HOUR), now()).record.origin == "reused"


@pytest.mark.parametrize(
    "snapshots",
    [
        [],
        [made("complete", -25 * HOUR)],
        [made("failed", -1 * HOUR)],
    ],
    ids=["none", "too old", "failed"],
)
def test_where_none_will_do_one_is_started_at_once(snapshots: list[Snapshot]) -> None:
    state = after(reusing(), *snapshots)

    assert (state.call, state.due) == (Call.CREATE, NOW)


def test_what_is_started_then_is_no_reused_one() -> None:
    sent = begin.sending(after(reusing()), NOW)

    assert transitions.apply(sent, made(created=NOW), now()).record.origin == Origin.STARTED


def test_of_several_the_newest_complete_one_is_kept() -> None:
    older, newer = made("complete", -9 * HOUR, OTHER_ID), made("complete", -3 * HOUR)
    building = made("in_progress", -1 * HOUR, "9" * 24)

    assert after(reusing(), older, building, newer).record.snapshot_id == ID


def test_a_lost_create_is_not_answered_by_one_that_was_there_before() -> None:
    lost = transitions.apply(begin.sending(after(reusing()), NOW), UNKNOWN, now())

    assert after(lost, made("complete", -1 * HOUR)).record.snapshot_id == ""


def test_a_list_that_is_refused_keeps_no_snapshot_from_being_started() -> None:
    assert transitions.apply(reusing(), REFUSED, now()).call == Call.CREATE


def test_one_since_the_first_attempt_is_the_batch_s_own_an_older_one_is_reused() -> None:
    resumed = fresh(wanted_since=at(0), reuse_since=SINCE)

    assert after(resumed, made("complete", 5.0)).record.origin == Origin.STARTED
    assert after(resumed, made("complete", -5.0)).record.origin == Origin.REUSED


def test_where_nothing_was_started_the_row_does_not_say_that_something_may_have_been() -> None:
    waiting = transitions.apply(reusing(), NOT_DONE, now())

    record = give_up(waiting, "10 min", at(700), was_told=False)

    assert record.error == f"no snapshot was started within 10 min: {NOT_DONE}"


def test_one_that_is_gone_may_have_been_replaced_by_an_earlier_attempt() -> None:
    """Of a row that was given as running to a job that was started again."""
    row = replace(fresh().record, snapshot_id=OTHER_ID, status="in_progress")
    order = SnapshotOrder(row, wanted_since=at(0))
    state = begin.start(order, 1, 0.0, at(100))
    failed = transitions.apply(state, made("failed", -50.0, OTHER_ID), now())

    again = begin.start_again(failed, NOW, at(NOW))
    looked_up = transitions.apply(again, PROJECT, now())

    assert looked_up.call == Call.LIST
    assert after(looked_up, made("pending", 50.0)).record.snapshot_id == ID


# An audit


def test_an_audit_shows_the_snapshot_that_is_new_enough() -> None:
    state = after(auditing(), made("complete", -2 * HOUR))

    assert (state.call, state.record.status, state.record.snapshot_id) == (None, "complete", ID)


@pytest.mark.parametrize(
    ("snapshots", "words"),
    [
        ([], "no complete snapshot"),
        ([made("complete", NOW - 31 * HOUR)], "the newest complete snapshot is 31 h old"),
        ([made("failed", -1.0)], "no complete snapshot"),
        ([made("complete", None)], "no complete snapshot, as far as the site's list can be read"),
    ],
)
def test_an_audit_plans_what_has_none_and_says_how_old_the_newest_is(
    snapshots: list[Snapshot], words: str
) -> None:
    state = after(auditing(), *snapshots)

    assert (state.call, state.record.status, state.record.error) == (None, "planned", words)
    assert state.record.snapshot_id == ""


def test_an_audit_does_not_wait_for_what_is_being_built() -> None:
    state = after(auditing(), made("in_progress", -60.0))

    assert (state.call, state.record.status) == (None, "in_progress")
    assert state.record.error == "a snapshot is being built"


def test_an_audit_starts_nothing_where_the_list_is_refused() -> None:
    state = transitions.apply(auditing(), REFUSED, now())

    assert (state.call, state.record.status) == (None, "failed")
    assert state.record.error == str(REFUSED)


def test_an_audit_asks_again_while_the_site_can_t_answer_and_says_so_in_the_end() -> None:
    state = transitions.apply(auditing(), NOT_DONE, now())

    assert state.call == Call.LIST
    assert give_up(state, "10 min", at(700), was_told=False).error == (
        f"not known within 10 min whether there is a snapshot: {NOT_DONE}"
    )


def test_an_audit_keeps_since_when_to_look_for_what_a_cut_off_run_may_have_started() -> None:
    state = after(fresh(wanted_since=at(-60), reuse_since=SINCE, is_audit=True))

    assert (state.call, state.record.status) == (None, "pending")
    assert state.record.error == "no complete snapshot"


def test_what_a_cut_off_run_has_started_is_taken_although_it_is_older_than_what_will_do() -> None:
    cut_off = reusing(since=at(-1 * HOUR), wanted_since=at(-5 * HOUR))

    assert after(cut_off, made("complete", -4 * HOUR)).record.snapshot_id == ID


def test_an_audit_takes_nothing_older_however_long_ago_the_row_was_cut_off() -> None:
    state = after(
        fresh(wanted_since=at(-72 * HOUR), reuse_since=SINCE, is_audit=True),
        made("complete", -71 * HOUR),
    )

    assert (state.call, state.record.status) == (None, "pending")
    assert state.record.error == "the newest complete snapshot is 71 h old"


def audit_of(row: SnapshotRecord) -> ProjectState:
    order = SnapshotOrder(
        row.reset_to_pending(at(0)), reuse_since=SINCE, is_audit=True, audited=row
    )
    return begin.start(order, 1, 0.0, at(0))


def earlier(status: str) -> SnapshotRecord:
    """Return a row of an earlier batch, whose snapshot was started two hours ago."""
    return SnapshotRecord(
        PROJECT,
        ID,
        at(-2 * HOUR),
        status=status,
        origin=Origin.STARTED,
        finished_at=at(-1 * HOUR),
        copied_to="s3://bucket/a",
    )


def test_an_audit_leaves_a_row_whose_own_snapshot_is_new_enough_as_it_was() -> None:
    state = after(
        audit_of(earlier("complete")),
        made("complete", -2 * HOUR),
        made("complete", -1 * HOUR, OTHER_ID),
    )

    assert (state.call, state.record) == (None, earlier("complete"))


@pytest.mark.parametrize("status", ["complete", "in_progress"])
def test_where_an_audit_is_told_nothing_the_row_keeps_its_snapshot_and_is_not_green(
    status: str,
) -> None:
    refused = transitions.apply(audit_of(earlier(status)), REFUSED, now()).record
    unanswered = transitions.apply(audit_of(earlier(status)), NOT_DONE, now())

    for row in (refused, give_up(unanswered, "10 min", at(700), was_told=False)):
        assert (row.snapshot_id, row.status, row.timestamp) == (ID, "pending", at(-2 * HOUR))
        assert row.error


@pytest.mark.parametrize(
    "answer",
    [
        SnapshotList((replace(made("complete", 0.0), created=None),)),
        SnapshotList((), (UnreadableSnapshot(None),)),
        SnapshotList((), (), at(HOUR)),
    ],
    ids=["no created", "unreadable", "cut"],
)
def test_nothing_is_started_at_once_where_the_list_may_hide_one_that_will_do(
    answer: SnapshotList,
) -> None:
    state = transitions.apply(reusing(), answer, now(1.0))

    assert state.call == Call.LIST
    assert after(state, made("complete", -2 * HOUR)).record.origin == Origin.REUSED
    for _ in range(5):
        state = transitions.apply(state, answer, now(state.due))
    assert state.call == Call.CREATE, "but not for ever"
    assert state.due == pytest.approx(31.0)


def test_a_list_from_before_the_run_does_not_show_that_there_is_none() -> None:
    state = transitions.apply(reusing(), listed(), now(1.0, asked=-7_200.0))

    assert state.call == Call.LIST


def test_a_job_that_was_started_again_takes_its_own_before_somebody_s_newer_one() -> None:
    restarted = reusing(wanted_since=at(-60.0))

    state = after(restarted, made("in_progress", -50.0), made("in_progress", -40.0, OTHER_ID))

    assert state.record.snapshot_id == ID
