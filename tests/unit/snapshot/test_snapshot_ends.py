"""How a project's run ends, and begins anew: gone, started again, given up. Values only."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fw_gear_sitewide_snapshot.errors import SiteError
from fw_gear_sitewide_snapshot.models import SnapshotList, SnapshotRecord, UnreadableSnapshot
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.deadline import give_up, was_asked
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, CallValue, ProjectState
from fw_gear_sitewide_snapshot.snapshot.transitions import GONE_SECONDS, SETTLE_SECONDS
from tests.support.states import (
    ACCEPTED,
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

# Never lost: what was there and can't be found


def polled_again(state: ProjectState, seconds: float) -> ProjectState:
    """Have the next poll of a missing one say 404, too."""
    return transitions.apply(state, NOT_FOUND, now(seconds))


def test_one_that_two_lists_some_seconds_apart_lack_is_gone_and_its_row_keeps_its_time() -> None:
    state = lists_none(missed(), NOW)
    state = lists_none(polled_again(state, NOW + GONE_SECONDS), NOW + GONE_SECONDS)

    assert (state.call, state.record.status, state.record.snapshot_id) == (None, "failed", ID)
    assert state.record.timestamp == at(SENT)
    assert "gone" in state.record.error


def test_one_list_that_lacks_it_is_not_enough() -> None:
    state = lists_none(missed(), NOW)

    assert lists_none(polled_again(state, NOW + 1), NOW + 1).call == Call.POLL


@pytest.mark.parametrize("between", [made("in_progress"), NOT_DONE, UNKNOWN, FORBIDDEN])
def test_an_answer_between_the_two_begins_anew(between: CallValue) -> None:
    state = transitions.apply(lists_none(missed(), NOW), between, now(NOW + 3))
    state = lists_none(polled_again(state, NOW + GONE_SECONDS), NOW + GONE_SECONDS)

    assert state.call == Call.POLL


def test_what_a_list_may_hide_is_not_gone() -> None:
    state, late = missed(), NOW
    for _ in range(3):
        late += 10 * GONE_SECONDS
        state = transitions.apply(state, listed(unreadable=(None,)), now(late))
        state = polled_again(state, late)

    assert state.call == Call.LIST


UNDATED = listed(made("complete", None, OTHER_ID))
UNREADABLE = SnapshotList((), (UnreadableSnapshot(at(SENT + 5), OTHER_ID),))


@pytest.mark.parametrize("other", [UNDATED, UNREADABLE])
def test_another_record_that_can_t_be_read_hides_nothing(other: SnapshotList) -> None:
    state = transitions.apply(missed(), other, now())
    state = polled_again(state, NOW + GONE_SECONDS)

    assert transitions.apply(state, other, now(NOW + GONE_SECONDS)).call is None


def test_its_own_record_that_can_t_be_read_says_that_it_is_there() -> None:
    own = SnapshotList((), (UnreadableSnapshot(None, ID),))
    state = transitions.apply(missed(), own, now())
    state = polled_again(state, NOW + GONE_SECONDS)

    assert transitions.apply(state, own, now(NOW + GONE_SECONDS)).call == Call.POLL


def test_right_after_its_create_a_404_counts_for_nothing_for_half_a_minute() -> None:
    state = transitions.apply(just_created(), NOT_FOUND, now(NOW + 31))

    assert (state.call, state.record.snapshot_id) == (Call.POLL, ID)


# Second attempts


def failed(attempts: int = 2) -> ProjectState:
    """A project whose first snapshot has failed."""
    state = replace(creating(), attempts_left=attempts)
    return transitions.apply(state, made("failed", snapshot_id=FAILED_ID), now())


def started_again() -> ProjectState:
    return begin.start_again(failed(), NOW, at(NOW))


@pytest.mark.parametrize(("attempts", "again"), [(1, False), (2, True), (5, True)])
def test_a_failed_one_is_started_again_while_there_are_attempts(attempts: int, again: bool) -> None:
    assert begin.starts_again(failed(attempts)) is again


def test_one_that_is_gone_is_started_again_as_one_that_failed() -> None:
    state = lists_none(replace(missed(), attempts_left=1), NOW)
    state = lists_none(polled_again(state, NOW + GONE_SECONDS), NOW + GONE_SECONDS)

    assert begin.starts_again(state)


@pytest.mark.parametrize("error", [REFUSED, NOT_FOUND])
def test_a_create_that_is_refused_is_not_started_again(error: SiteError) -> None:
    state = transitions.apply(replace(creating(), attempts_left=5), error, now())

    assert not begin.starts_again(state)


def test_before_a_second_attempt_the_project_is_looked_up_and_the_row_says_since_when() -> None:
    state = started_again()

    assert state.call == Call.LOOK_UP
    assert (state.record.status, state.record.snapshot_id) == ("pending", "")
    assert state.record.timestamp == at(NOW)


def test_a_second_attempt_takes_no_snapshot_that_failed_before() -> None:
    state = transitions.apply(started_again(), PROJECT, now())
    state = transitions.apply(begin.sending(state, NOW), UNKNOWN, now(NOW + 1))

    late = now(NOW + 1 + SETTLE_SECONDS, sent=NOW)
    old = listed(made("failed", NOW, FAILED_ID))
    assert transitions.apply(state, old, late).call == Call.CREATE


def test_attempts_are_counted_by_the_snapshots_that_were_started() -> None:
    state = transitions.apply(started_again(), PROJECT, now())
    state = transitions.apply(begin.sending(state, NOW), NOT_DONE, now())
    state = transitions.apply(state, made("failed"), now())

    assert state.record.started == 2
    assert not begin.starts_again(state)


# When its time begins


@pytest.mark.parametrize("value", [NOT_DONE, UNKNOWN, REFUSED, ACCEPTED, made(), made("failed")])
def test_whatever_a_create_brings_it_was_asked_for(value: CallValue) -> None:
    assert was_asked(creating(), transitions.apply(creating(), value, now()), value, SENT)


@pytest.mark.parametrize(("asked", "is_asked"), [(9.0, False), (11.0, True)])
def test_a_list_that_tells_nothing_counts_from_its_time_on(asked: float, is_asked: bool) -> None:
    before, unread = looking_for_cut_off(), listed(unreadable=(None,))
    after = transitions.apply(before, unread, now(asked))

    assert was_asked(before, after, unread, asked) == is_asked


def test_what_goes_before_a_create_is_no_asking_for_it() -> None:
    before, none = looking_for_cut_off(), listed()
    after = transitions.apply(before, none, now())

    assert after.call == Call.CREATE
    assert not was_asked(before, after, none, SENT)


# The time is up


def given_up(state: ProjectState, *, was_told: bool = False, outage: str = "") -> SnapshotRecord:
    return give_up(state, "10 min", at(700), was_told=was_told, outage=outage)


def test_of_one_that_is_running_it_says_whether_the_site_said_so_just_now() -> None:
    failing = transitions.apply(polling(), NOT_DONE, now())

    said = [given_up(polling(), was_told=True), given_up(polling()), given_up(failing)]

    assert [record.error.split(": ")[1].split(",")[0].split(" (")[0] for record in said] == [
        "the site is still at it",
        "it was not asked again",
        "its state could not be asked",
    ]


def test_why_the_last_calls_told_nothing_stands_in_the_row() -> None:
    assert str(NOT_DONE) in given_up(transitions.apply(polling(), NOT_DONE, now())).error


def test_of_an_accepted_one_it_says_that_it_was_accepted_and_not_seen() -> None:
    record = given_up(accepted())

    assert (record.status, record.snapshot_id) == ("pending", "")
    assert "accepted the request, but no snapshot was seen within 10 min" in record.error


@pytest.mark.parametrize(
    "state", [looking, looking_for_cut_off, looking_up_cut_off, refused_after_unknown]
)
def test_where_one_may_have_been_started_the_row_says_since_when_to_look(
    state: Callable[[], ProjectState],
) -> None:
    before = state().record
    record = given_up(state())

    assert replace(record, error="") == replace(before, error="")
    assert "not known within 10 min whether a snapshot was started" in record.error


@pytest.mark.parametrize("state", [fresh, looking_up])
def test_where_none_was_asked_for_it_says_so(state: Callable[[], ProjectState]) -> None:
    record = given_up(state())

    assert record.status == "failed"
    assert record.error.startswith("no snapshot was started within 10 min: the time was up")


def test_where_the_site_could_not_be_asked_it_says_why() -> None:
    assert given_up(fresh(), outage="the site says 503").error.endswith("the site says 503")


@pytest.mark.parametrize("value", [None, PROJECT, NOT_DONE])
def test_of_one_that_was_to_be_started_again_it_does_not_say_that_none_was_started(
    value: CallValue | None,
) -> None:
    state = started_again()
    if value is not None:
        state = transitions.apply(state, value, now())
    error = given_up(state).error

    assert "no snapshot was started" not in error
    assert error.count("the time was up") == 1
