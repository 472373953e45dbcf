"""What each end of a call means for a project: values only, no site, no clock, no thread.

Sequences of ends are in test_snapshot_sequences.py, how it ends in test_snapshot_ends.py.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest

from fw_gear_sitewide_snapshot.errors import SiteError
from fw_gear_sitewide_snapshot.models import Project, SnapshotList, SnapshotOrder, SnapshotRecord
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.begin import CUT_OFF_SETTLE_SECONDS, NEW_SECONDS
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, CallValue, ProjectState
from fw_gear_sitewide_snapshot.snapshot.transitions import (
    GONE_SECONDS,
    MAX_UNKNOWN_CREATES,
    SETTLE_SECONDS,
)
from tests.support.states import (
    ACCEPTED,
    BACKOFF,
    FAILED_ID,
    FORBIDDEN,
    ID,
    NOT_DONE,
    NOT_FOUND,
    NOW,
    OTHER_ID,
    PROJECT,
    REFUSED,
    SENT,
    UNKNOWN,
    accepted,
    at,
    creating,
    fresh,
    just_created,
    listed,
    lists_none,
    looking,
    looking_for_cut_off,
    looking_up,
    looking_up_cut_off,
    made,
    missed,
    now,
    polling,
    refused_after_unknown,
)

VALUES: dict[str, CallValue] = {
    "other names": Project("a" * 24, "New", "other"),
    "not done": NOT_DONE,
    "outcome unknown": UNKNOWN,
    "accepted": ACCEPTED,
    "refused": REFUSED,
    "forbidden": FORBIDDEN,
    "not found": NOT_FOUND,
    "pending": made("pending"),
    "running": made("in_progress"),
    "a state nobody knows": made("archiving"),
    "complete": made("complete"),
    "failed": made("failed"),
    "a list of none": listed(),
    "one listed as pending": listed(made("pending")),
    "one listed as running": listed(made("in_progress")),
    "one listed in a state nobody knows": listed(made("archiving")),
    "one listed as complete": listed(made("complete")),
    "one listed as failed": listed(made("failed")),
    "one listed without its time": listed(made(created=None)),
    "one listed of long ago": listed(made(created=-90.0)),
    "last week's": made("complete", -7 * 86_400.0, OTHER_ID),
    "one of minutes ago": made("in_progress", -240.0),
    "one that can't be read": listed(unreadable=(None,)),
    "one of long ago that can't be read": listed(unreadable=(at(-90),)),
}
STATES: dict[str, Callable[[], ProjectState]] = {
    "looking it up": looking_up,
    "looking it up, cut off": looking_up_cut_off,
    "creating": creating,
    "looking for a lost one": looking,
    "looking for an accepted one": accepted,
    "looking for a cut off one": looking_for_cut_off,
    "polling a new one": just_created,
    "polling": polling,
    "looking for a missing one": missed,
}
# what is asked, what comes -> what is asked next, after so many seconds; the row's status
TABLE: dict[tuple[str, str], tuple[Call | None, float, str]] = {
    ("looking it up", "other names"): (Call.CREATE, 0.0, "pending"),
    ("looking it up", "not done"): (Call.LOOK_UP, BACKOFF, "pending"),
    ("looking it up", "outcome unknown"): (Call.LOOK_UP, BACKOFF, "pending"),
    ("looking it up", "refused"): (None, 0.0, "failed"),
    ("looking it up", "not found"): (None, 0.0, "failed"),
    ("looking it up, cut off", "other names"): (Call.LIST, 0.0, "pending"),
    ("looking it up, cut off", "not done"): (Call.LOOK_UP, BACKOFF, "pending"),
    ("looking it up, cut off", "outcome unknown"): (Call.LOOK_UP, BACKOFF, "pending"),
    ("looking it up, cut off", "refused"): (Call.LIST, 0.0, "pending"),
    ("looking it up, cut off", "not found"): (Call.LIST, 0.0, "pending"),
    ("creating", "pending"): (Call.POLL, 0.0, "pending"),
    ("creating", "running"): (Call.POLL, 0.0, "in_progress"),
    ("creating", "a state nobody knows"): (Call.POLL, 0.0, "archiving"),
    ("creating", "complete"): (None, 0.0, "complete"),
    ("creating", "failed"): (None, 0.0, "failed"),
    ("creating", "last week's"): (Call.LIST, 0.0, "pending"),
    ("creating", "one of minutes ago"): (Call.POLL, 0.0, "in_progress"),
    ("creating", "not done"): (Call.CREATE, BACKOFF, "pending"),
    ("creating", "outcome unknown"): (Call.LIST, 0.0, "pending"),
    ("creating", "accepted"): (Call.LIST, 0.0, "pending"),
    ("creating", "refused"): (None, 0.0, "failed"),
    ("creating", "not found"): (None, 0.0, "failed"),
    ("looking for a lost one", "a list of none"): (Call.LIST, 1.0, "pending"),
    ("looking for a lost one", "one listed as pending"): (Call.POLL, 0.0, "pending"),
    ("looking for a lost one", "one listed in a state nobody knows"): (Call.POLL, 0.0, "archiving"),
    ("looking for a lost one", "one listed as complete"): (None, 0.0, "complete"),
    ("looking for a lost one", "one listed as failed"): (Call.LIST, 1.0, "pending"),
    ("looking for a lost one", "one listed without its time"): (Call.LIST, 1.0, "pending"),
    ("looking for a lost one", "one listed of long ago"): (Call.LIST, 1.0, "pending"),
    ("looking for a lost one", "one that can't be read"): (Call.LIST, 1.0, "pending"),
    ("looking for a lost one", "not done"): (Call.LIST, BACKOFF, "pending"),
    ("looking for a lost one", "outcome unknown"): (Call.LIST, BACKOFF, "pending"),
    ("looking for a lost one", "refused"): (None, 0.0, "pending"),
    ("looking for a lost one", "not found"): (None, 0.0, "pending"),
    ("looking for an accepted one", "a list of none"): (Call.LIST, 1.0, "pending"),
    ("looking for an accepted one", "one listed as running"): (Call.POLL, 0.0, "in_progress"),
    ("looking for an accepted one", "one listed as complete"): (None, 0.0, "complete"),
    ("looking for an accepted one", "one listed as failed"): (Call.LIST, 1.0, "pending"),
    ("looking for an accepted one", "one that can't be read"): (Call.LIST, 1.0, "pending"),
    ("looking for an accepted one", "not done"): (Call.LIST, BACKOFF, "pending"),
    ("looking for an accepted one", "outcome unknown"): (Call.LIST, BACKOFF, "pending"),
    ("looking for an accepted one", "refused"): (Call.LIST, BACKOFF, "pending"),
    ("looking for a cut off one", "a list of none"): (Call.CREATE, 0.0, "pending"),
    ("looking for a cut off one", "one listed as running"): (Call.POLL, 0.0, "in_progress"),
    ("looking for a cut off one", "one listed as complete"): (None, 0.0, "complete"),
    ("looking for a cut off one", "one listed as failed"): (Call.CREATE, 0.0, "pending"),
    ("looking for a cut off one", "one listed of long ago"): (Call.CREATE, 0.0, "pending"),
    ("looking for a cut off one", "one listed without its time"): (Call.LIST, 1.0, "pending"),
    ("looking for a cut off one", "one that can't be read"): (Call.LIST, 1.0, "pending"),
    ("looking for a cut off one", "one of long ago that can't be read"): (
        Call.CREATE, 0.0, "pending",
    ),
    ("looking for a cut off one", "not done"): (Call.LIST, BACKOFF, "pending"),
    ("looking for a cut off one", "outcome unknown"): (Call.LIST, BACKOFF, "pending"),
    ("looking for a cut off one", "refused"): (None, 0.0, "pending"),
    ("polling a new one", "not found"): (Call.POLL, BACKOFF, "pending"),
    ("polling", "running"): (Call.POLL, 0.0, "in_progress"),
    ("polling", "a state nobody knows"): (Call.POLL, 0.0, "archiving"),
    ("polling", "complete"): (None, 0.0, "complete"),
    ("polling", "failed"): (None, 0.0, "failed"),
    ("polling", "not done"): (Call.POLL, BACKOFF, "in_progress"),
    ("polling", "outcome unknown"): (Call.POLL, BACKOFF, "in_progress"),
    ("polling", "refused"): (Call.LIST, 0.0, "in_progress"),
    ("polling", "forbidden"): (Call.POLL, BACKOFF, "in_progress"),
    ("polling", "not found"): (Call.LIST, 0.0, "in_progress"),
    ("looking for a missing one", "a list of none"): (Call.POLL, GONE_SECONDS, "in_progress"),
    ("looking for a missing one", "one listed as running"): (Call.POLL, BACKOFF, "in_progress"),
    ("looking for a missing one", "one listed as complete"): (None, 0.0, "complete"),
    ("looking for a missing one", "one listed as failed"): (None, 0.0, "failed"),
    ("looking for a missing one", "one that can't be read"): (Call.POLL, BACKOFF, "in_progress"),
    ("looking for a missing one", "not done"): (Call.POLL, BACKOFF, "in_progress"),
    ("looking for a missing one", "outcome unknown"): (Call.POLL, BACKOFF, "in_progress"),
    ("looking for a missing one", "refused"): (Call.POLL, BACKOFF, "in_progress"),
}  # fmt: skip
CASES = [pytest.param(*case, id=": ".join(case)) for case in TABLE]


@pytest.mark.parametrize(("asked", "came"), CASES)
def test_each_end_of_each_call_has_one_consequence(asked: str, came: str) -> None:
    call, pause, status = TABLE[asked, came]

    after = transitions.apply(STATES[asked](), VALUES[came], now())

    assert (after.call, after.record.status) == (call, status)
    assert after.call is None or after.due - NOW == pytest.approx(pause)


@pytest.mark.parametrize(("asked", "came"), CASES)
def test_what_has_ended_is_complete_or_says_why_not(asked: str, came: str) -> None:
    after = transitions.apply(STATES[asked](), VALUES[came], now())

    assert after.call is not None or after.record.is_complete or after.record.error


@pytest.mark.parametrize("asked", STATES)
def test_the_table_has_every_error_of_every_call(asked: str) -> None:
    """A site's own 404 is a refusal where the table doesn't say otherwise."""
    errors = {"not done", "outcome unknown", "refused"}
    assert asked == "polling a new one" or errors <= {came for what, came in TABLE if what == asked}


# Where it begins


def test_a_normal_run_s_first_create_asks_nothing_before() -> None:
    assert fresh().call == Call.CREATE


def test_a_look_up_goes_before_a_look_at_the_list() -> None:
    assert looking_up_cut_off().call == Call.LOOK_UP


def test_what_an_earlier_run_may_have_started_is_looked_for_before_a_create() -> None:
    assert looking_for_cut_off().call == Call.LIST


@pytest.mark.parametrize(("age", "means"), [(NEW_SECONDS - 1, "new"), (NEW_SECONDS + 1, "old")])
def test_a_404_for_a_snapshot_of_an_earlier_run_counts_unless_it_is_new(
    age: float, means: str
) -> None:
    record = SnapshotRecord(PROJECT, ID, at(-age), status="pending")

    resumed = begin.start(SnapshotOrder(record), 1, 0.0, at(0.0))
    state = transitions.apply(resumed, NOT_FOUND, now(0.0))

    assert state.call == (Call.POLL if means == "new" else Call.LIST)


def test_what_is_complete_or_failed_at_once_is_not_polled() -> None:
    ends = made("complete"), made("failed")
    states = [transitions.apply(creating(), end, now()) for end in ends]

    assert [state.call for state in states] == [None, None]


# Names


def test_the_site_s_names_of_a_project_win_after_a_look_up() -> None:
    state = transitions.apply(looking_up(), Project("a" * 24, "New", "other"), now())

    assert state.record.project.path == "other/New"


def test_a_look_up_that_tells_no_names_keeps_the_row_s() -> None:
    state = transitions.apply(looking_up(), Project("a" * 24, "", ""), now())

    assert state.record.project == PROJECT


# Never twice: a create whose outcome is unknown


def test_before_a_list_has_shown_none_for_half_a_minute_no_create_is_sent_again() -> None:
    assert lists_none(looking(), NOW + SETTLE_SECONDS - 0.1).call == Call.LIST


def test_a_list_that_shows_none_after_half_a_minute_lets_it_be_sent_again() -> None:
    assert lists_none(looking(), NOW + SETTLE_SECONDS).call == Call.CREATE


def test_a_list_speaks_of_the_moment_when_it_was_asked_for() -> None:
    slow = now(NOW + SETTLE_SECONDS + 5, asked=NOW + SETTLE_SECONDS - 1)

    assert transitions.apply(looking(), listed(), slow).call == Call.LIST


def test_a_list_that_is_old_is_not_read_again_at_once() -> None:
    late = NOW + SETTLE_SECONDS + 20

    state = transitions.apply(looking(), listed(), now(late, asked=NOW))

    assert state.call == Call.LIST
    assert state.due > late


def test_the_half_minute_begins_anew_with_each_create_whose_outcome_is_unknown() -> None:
    again = NOW + SETTLE_SECONDS + 1
    second = transitions.apply(lists_none(looking(), again), UNKNOWN, now(again + 1))

    assert lists_none(second, again + SETTLE_SECONDS).call == Call.LIST
    assert lists_none(second, again + 1 + SETTLE_SECONDS).call == Call.CREATE


def test_the_first_of_several_creates_may_still_be_the_one_that_was_done() -> None:
    again = NOW + SETTLE_SECONDS + 1
    second = transitions.apply(lists_none(looking(), again), UNKNOWN, now(again + 1))

    found = transitions.apply(second, listed(made(created=SENT)), now(again + 2))

    assert found.record.snapshot_id == ID


@pytest.mark.parametrize("unreadable", [(None,), (at(SENT),), (at(-90), None)])
def test_a_list_that_may_hide_one_shows_none_never(unreadable: tuple[datetime | None, ...]) -> None:
    late = now(NOW + 10 * SETTLE_SECONDS)

    assert transitions.apply(looking(), listed(unreadable=unreadable), late).call == Call.LIST


def test_a_record_whose_created_can_t_be_read_may_be_the_one() -> None:
    late = now(NOW + 10 * SETTLE_SECONDS)

    assert transitions.apply(looking(), listed(made(created=None)), late).call == Call.LIST


def test_an_unreadable_record_that_was_made_before_hides_nothing() -> None:
    late = now(NOW + SETTLE_SECONDS)

    state = transitions.apply(looking(), listed(unreadable=(at(SENT - 5),)), late)

    assert state.call == Call.CREATE


def test_a_list_that_is_cut_off_before_the_create_shows_none_never() -> None:
    late = now(NOW + 10 * SETTLE_SECONDS)
    cut = SnapshotList((), (), whole_since=at(SENT + 5))

    assert transitions.apply(looking(), cut, late).call == Call.LIST


def test_the_others_of_a_list_with_an_unreadable_record_are_read() -> None:
    state = transitions.apply(looking(), listed(made(), unreadable=(None,)), now())

    assert state.record.snapshot_id == ID


def test_a_snapshot_that_was_made_before_the_create_is_not_taken() -> None:
    state = transitions.apply(looking(), listed(made("complete", SENT - 1.5)), now())

    assert state.record.snapshot_id == ""


def test_a_site_that_tells_whole_seconds_only_loses_no_snapshot() -> None:
    sent = 100.7
    state = transitions.apply(looking(), listed(made(created=100.0)), now(sent=sent))

    assert state.record.snapshot_id == ID


def test_a_snapshot_that_is_known_to_have_failed_is_never_taken() -> None:
    state = transitions.apply(creating(failed_id=FAILED_ID), UNKNOWN, now())

    late = now(NOW + SETTLE_SECONDS)
    state = transitions.apply(state, listed(made("failed", SENT, FAILED_ID)), late)

    assert state.call == Call.CREATE


def test_of_several_the_complete_one_is_taken() -> None:
    several = listed(made("in_progress", SENT, OTHER_ID), made("complete", SENT + 1))

    assert transitions.apply(looking(), several, now(NOW + 5)).record.snapshot_id == ID


def test_of_several_that_are_running_the_oldest_is_taken() -> None:
    several = listed(made("pending", SENT + 1, OTHER_ID), made("pending", SENT))

    assert transitions.apply(looking(), several, now(NOW + 5)).record.snapshot_id == ID


def test_a_create_of_unknown_outcome_whose_snapshot_has_failed_is_its_row_s_failure() -> None:
    state = transitions.apply(looking(), listed(made("failed")), now(NOW + SETTLE_SECONDS))

    assert (state.call, state.record.status, state.record.snapshot_id) == (None, "failed", ID)


def test_after_three_creates_none_of_which_was_done_the_row_fails() -> None:
    state, seconds = creating(), NOW
    for _ in range(MAX_UNKNOWN_CREATES):
        state = transitions.apply(begin.sending(state, seconds), UNKNOWN, now(seconds))
        seconds += SETTLE_SECONDS
        state = lists_none(state, seconds)

    assert (state.call, state.record.status) == (None, "failed")
    assert "3 attempts, none of which was done" in state.record.error
    assert "the site says 502" in state.record.error


def test_a_refusal_after_an_unknown_outcome_is_looked_behind() -> None:
    state = refused_after_unknown()

    assert state.call == Call.LIST
    assert transitions.apply(state, listed(made()), now(NOW + 40)).record.snapshot_id == ID


def test_a_refusal_behind_which_there_is_nothing_fails_the_row_with_the_site_s_words() -> None:
    state = lists_none(refused_after_unknown(), NOW + SETTLE_SECONDS)

    assert (state.call, state.record.status) == (None, "failed")
    assert state.record.error == str(REFUSED)


def test_not_done_after_an_unknown_outcome_is_looked_behind_too() -> None:
    second = replace(looking(), call=Call.CREATE)

    assert transitions.apply(second, NOT_DONE, now()).call == Call.LIST


# Never twice: a create that was accepted


@pytest.mark.parametrize("seconds", [5.0, SETTLE_SECONDS, 590.0, 3600.0])
def test_what_was_accepted_is_looked_for_and_never_asked_for_again(seconds: float) -> None:
    assert lists_none(accepted(), NOW + seconds).call == Call.LIST


def test_looks_become_rarer_and_never_stop() -> None:
    state, seconds, pauses = accepted(), NOW, []
    for _ in range(8):
        state = lists_none(state, seconds)
        pauses.append(state.due - seconds)
        seconds = state.due

    assert pauses == sorted(pauses)
    assert 0 < pauses[0] <= 1
    assert pauses[-1] <= 15


def test_a_failed_one_is_not_taken_for_the_accepted_one_before_that_must_have_been_seen() -> None:
    state = transitions.apply(accepted(), listed(made("failed")), now(NOW + SETTLE_SECONDS - 1))

    assert state.call == Call.LIST


def test_a_refusal_or_an_unknown_outcome_after_it_was_accepted_sends_nothing() -> None:
    for error in (UNKNOWN, REFUSED, NOT_DONE):
        state = transitions.apply(replace(accepted(), call=Call.CREATE), error, now())
        assert lists_none(state, NOW + 10 * SETTLE_SECONDS).call == Call.LIST, error


def test_an_accepted_one_that_has_failed_is_its_row_s_failure() -> None:
    state = transitions.apply(accepted(), listed(made("failed")), now(NOW + SETTLE_SECONDS))

    assert (state.call, state.record.status, state.record.snapshot_id) == (None, "failed", ID)


# What a cut-off run may have started


def test_what_a_cut_off_run_may_have_begun_is_given_ten_seconds() -> None:
    state = looking_for_cut_off()

    assert lists_none(state, CUT_OFF_SETTLE_SECONDS - 0.1).call == Call.LIST
    assert lists_none(state, CUT_OFF_SETTLE_SECONDS).call == Call.CREATE


def test_what_a_cut_off_run_has_started_is_not_counted_as_started_by_this_one() -> None:
    state = transitions.apply(looking_for_cut_off(), listed(made()), now())

    assert state.record.started == 0
    assert state.attempts_left == 1


def test_of_a_project_that_is_gone_what_a_cut_off_run_has_started_is_found() -> None:
    state = transitions.apply(looking_up_cut_off(), NOT_FOUND, now())

    assert transitions.apply(state, listed(made()), now()).record.snapshot_id == ID


def test_of_a_project_that_is_gone_and_has_no_snapshot_the_row_says_so() -> None:
    state = transitions.apply(looking_up_cut_off(), NOT_FOUND, now())
    state = lists_none(state, NOW)

    assert (state.call, state.record.status) == (None, "failed")
    assert "there is no such project" in state.record.error


@pytest.mark.parametrize("error", [REFUSED, NOT_FOUND])
def test_while_the_list_can_t_be_seen_the_row_says_since_when_to_look(error: SiteError) -> None:
    before = looking_for_cut_off()
    after = transitions.apply(before, error, now()).record

    assert replace(after, error="") == before.record
    assert "not known whether a snapshot was started" in after.error
