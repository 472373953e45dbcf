"""What holds over several calls, and beside others who make snapshots of the same project.

The sequences of test_snapshot_sequences.py, on a site that also cuts its lists, shows late what it
has answered, and on which somebody else makes snapshots meanwhile. Values only.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from fw_gear_sitewide_snapshot.errors import ServiceUnavailableError
from fw_gear_sitewide_snapshot.models import SnapshotList, SnapshotRecord
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.deadline import give_up
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, ProjectState
from fw_gear_sitewide_snapshot.snapshot.transitions import GONE_SECONDS, SETTLE_SECONDS
from tests.support.states import (
    FAILED_ID,
    ID,
    NOT_DONE,
    NOT_FOUND,
    NOW,
    OTHER_ID,
    PROJECT,
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
    made,
    missed,
    now,
    polling,
)
from tests.unit.snapshot.test_snapshot_sequences import SOON, STATUSES, Made, OneProject
from tests.unit.snapshot.test_snapshot_sequences import at as moment

EXAMPLES = int(os.environ.get("SEQUENCES", "500"))


class OneSharedProject(OneProject):
    """A project of which others make snapshots too; theirs don't fail."""

    def __init__(self) -> None:
        super().__init__()
        self.since = -60.0

    def may_create(self) -> None:
        super().may_create()
        if self.state.sent is None and self.state.wanted_since is None:
            self.since = self.now

    @precondition(lambda self: self.state.call in {Call.CREATE, Call.LIST})
    @rule(lag=st.sampled_from([0.0, 10.0]), status=st.sampled_from(["pending", "complete"]))
    def somebody_makes_one(self, lag: float, status: str) -> None:
        self.make(self.now, self.now + lag, status, is_ours=False)

    @precondition(lambda self: self.state.call == Call.CREATE)
    @rule(wait=SOON, seconds=SOON, lag=st.sampled_from([1.0, 15.0, 29.0]), status=STATUSES)
    def a_create_is_answered_before_it_is_listed(
        self, wait: float, seconds: float, lag: float, status: str
    ) -> None:
        self.may_create()
        self.call(wait)
        created = self.make(self.now, self.now + lag, status)
        self.ends(self.shown(created), seconds)

    @precondition(lambda self: self.state.call == Call.LIST)
    @rule(wait=SOON, seconds=SOON, most=st.integers(0, 3))
    def a_list_is_cut(self, wait: float, seconds: float, most: int) -> None:
        """Only the newest are told."""
        self.call(wait)
        there = [made for made in self.made if made.listed <= self.now and not made.is_deleted]
        there.sort(key=lambda made: made.created, reverse=True)
        told = [self.shown(made) for made in there[:most]]
        whole_since = moment(there[most].created) if most < len(there) else moment(-1e6)
        self.ends(SnapshotList(tuple(told), (), whole_since), seconds)

    @precondition(lambda self: self.state.call == Call.POLL)
    @rule(wait=SOON, seconds=SOON, status=STATUSES)
    def a_poll_is_answered(self, wait: float, seconds: float, status: str) -> None:
        is_theirs = status == "failed" and not self.current.is_ours
        super().a_poll_is_answered(wait, seconds, "complete" if is_theirs else status)

    @precondition(
        lambda self: self.state.call == Call.POLL and self.now > 60.0 and self.current.is_ours
    )
    @rule()
    def somebody_deletes_it(self) -> None:
        self.current.is_deleted = True

    @invariant()
    def one_that_is_taken_is_wanted(self) -> None:
        if self.state.record.snapshot_id:
            taken: Made = self.current
            assert taken.is_ours or taken.created >= self.since - 1.0, "it was there before"


OneSharedProject.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None
)
TestOneSharedProject = pytest.mark.usefixtures("unmeasured")(OneSharedProject.TestCase)


# Several creates


def test_the_first_create_of_an_attempt_says_since_when_to_look() -> None:
    second = begin.sending(replace(creating(), due=NOW), NOW + 60)

    assert second.sent == SENT


def test_a_look_is_no_create() -> None:
    assert begin.sending(looking_for_cut_off(), NOW).sent is None


@pytest.mark.parametrize("before", [accepted, looking])
def test_a_second_attempt_looks_for_what_the_first_one_may_have_started(
    before: Callable[[], ProjectState],
) -> None:
    """The one that was listed, and has failed, may be somebody else's."""
    state = replace(before(), attempts_left=2)
    state = transitions.apply(state, listed(made("pending", SENT, OTHER_ID)), now(NOW + 1))
    state = transitions.apply(state, made("failed", SENT, OTHER_ID), now(NOW + 5))

    again = begin.start_again(state, NOW + 5, at(NOW + 5))
    state = transitions.apply(again, PROJECT, now(NOW + 6))

    assert state.call == Call.LIST


def test_a_third_attempt_takes_none_of_those_that_failed_before() -> None:
    state = creating(failed_id=FAILED_ID)
    for attempt, snapshot_id in enumerate([OTHER_ID, ID]):
        state = replace(state, call=Call.CREATE, attempts_left=2)
        state = transitions.apply(state, made("failed", NOW, snapshot_id), now(NOW + attempt))
        state = begin.start_again(state, NOW + attempt, at(NOW + attempt))

    assert state.known_failed == {FAILED_ID, OTHER_ID, ID}


def test_what_was_failed_before_the_create_is_not_what_the_create_has_made() -> None:
    """Of a row that a cut-off run left."""
    failed = listed(made("failed", SENT, OTHER_ID))
    state = transitions.apply(looking_for_cut_off(), failed, now())
    lost = transitions.apply(begin.sending(state, NOW), UNKNOWN, now())

    assert transitions.apply(lost, failed, now(NOW + SETTLE_SECONDS)).call == Call.CREATE


def test_a_known_failed_one_without_its_time_hides_nothing() -> None:
    state = transitions.apply(creating(failed_id=FAILED_ID), UNKNOWN, now())
    undated = listed(made("failed", None, FAILED_ID))

    assert transitions.apply(state, undated, now(NOW + SETTLE_SECONDS)).call == Call.CREATE


def test_what_was_made_since_the_row_s_moment_is_taken_though_older_than_this_run() -> None:
    state = transitions.apply(looking_for_cut_off(), listed(made("complete", -30.0)), now())

    assert (state.call, state.record.snapshot_id) == (None, ID)


# Pauses


def test_looks_are_frequent_again_after_another_create() -> None:
    state = looking()
    for seconds in (1.0, 3.0, 7.0, 15.0, SETTLE_SECONDS):
        state = lists_none(state, NOW + seconds)
    again = transitions.apply(begin.sending(state, NOW + 40), UNKNOWN, now(NOW + 41))

    assert lists_none(again, NOW + 41).due == NOW + 42


def test_it_is_looked_as_soon_as_a_list_can_show_that_there_is_none() -> None:
    state = looking()
    for seconds in (1.0, 3.0, 7.0, 23.0):
        state = lists_none(state, NOW + seconds)

    assert state.due == NOW + SETTLE_SECONDS


@pytest.mark.parametrize(("retry_after", "heeds"), [(None, False), (0.0, True), (60.0, True)])
def test_it_is_known_whether_the_site_has_asked_for_the_pause(
    retry_after: float | None, heeds: bool
) -> None:
    error = ServiceUnavailableError("the site says 429", 429, retry_after)

    assert transitions.apply(creating(), error, now()).heeds_site is heeds


def test_failures_in_a_row_are_counted_until_an_answer() -> None:
    state = transitions.apply(transitions.apply(polling(), NOT_DONE, now()), UNKNOWN, now())

    assert state.failures == 2
    assert transitions.apply(state, made("in_progress"), now()).failures == 0


# Gone, or only not told


@pytest.mark.parametrize(("cut_at", "is_gone"), [(SENT - 1, True), (SENT + 1, False)])
def test_a_list_shows_what_is_gone_only_as_far_as_it_goes(cut_at: float, is_gone: bool) -> None:
    cut = SnapshotList((), (), whole_since=at(cut_at))
    state = transitions.apply(missed(), cut, now())
    state = transitions.apply(state, NOT_FOUND, now(NOW + GONE_SECONDS))
    state = transitions.apply(state, cut, now(NOW + GONE_SECONDS))

    assert (state.call is None) is is_gone


def test_a_second_list_that_fails_begins_anew() -> None:
    state = transitions.apply(lists_none(missed(), NOW), NOT_FOUND, now(NOW + GONE_SECONDS))
    state = transitions.apply(state, UNKNOWN, now(NOW + GONE_SECONDS))

    assert state.missed_since is None


def test_the_second_reading_is_due_when_it_can_tell() -> None:
    first = lists_none(missed(), NOW)
    early = lists_none(transitions.apply(first, NOT_FOUND, now(NOW + 2)), NOW + 2)

    assert (first.due, early.due) == (NOW + GONE_SECONDS, NOW + GONE_SECONDS)


def test_once_it_was_seen_a_404_counts_at_once_even_soon_after_the_create() -> None:
    seen = transitions.apply(just_created(), made("in_progress"), now(NOW + 1))

    assert transitions.apply(seen, NOT_FOUND, now(NOW + 2)).call == Call.LIST


# What is said at the end


def given_up(state: ProjectState, outage: str = "") -> SnapshotRecord:
    return give_up(state, "10 min", at(700), was_told=False, outage=outage)


def test_what_its_own_call_was_told_is_said_before_what_others_were_told() -> None:
    refused = transitions.apply(creating(), NOT_DONE, now())

    assert given_up(refused, outage="the site says 429").error.endswith(str(NOT_DONE))
    assert given_up(fresh(), outage="the site says 429").error.endswith("the site says 429")


def test_a_list_that_can_t_be_read_in_full_is_the_reason_for_not_knowing() -> None:
    late = at(NOW + 2 * SETTLE_SECONDS) - timedelta(seconds=1)
    unread = listed(unreadable=(late,))

    state = transitions.apply(looking(), unread, now(NOW + 2 * SETTLE_SECONDS))

    assert "the site's list of snapshots can't be read in full" in given_up(state).error


@pytest.mark.parametrize("answered", [looking, polling])
def test_what_went_wrong_before_an_answer_is_not_said(
    answered: Callable[[], ProjectState],
) -> None:
    state = transitions.apply(answered(), NOT_DONE, now())
    value = made("in_progress") if state.call == Call.POLL else listed(made("in_progress"))

    state = transitions.apply(state, value, now())

    assert state.failures == 0
    assert given_up(state).error.endswith("it was not asked again, a retry waits for it")
