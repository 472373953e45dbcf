"""Never twice, never lost: every sequence of ends of calls, on a small site.

The site does a create at once, up to 29 seconds later, or not at all, whatever it answers; its
lists lag, are unreadable in part, or refused; its polls say 404 where its list knows better.
"""

import math
import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fw_gear_sitewide_snapshot.errors import (
    AcceptedError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from fw_gear_sitewide_snapshot.models import (
    Project,
    Snapshot,
    SnapshotOrder,
    SnapshotRecord,
    whole_seconds,
)
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from fw_gear_sitewide_snapshot.snapshot.deadline import give_up
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, CallValue, Now, ProjectState
from tests.support.states import listed
from tests.support.time import START

PROJECT = Project("a" * 24, "Study", "neuro")
SETTLE_SECONDS, CUT_OFF_SECONDS, NEW_SECONDS = 29.0, 9.0, 30.0
LONGEST_PAUSE_SECONDS = 60.0
MOST_CALLS_AT_ONCE = 4
EXAMPLES = int(os.environ.get("SEQUENCES", "200"))

NOT_DONE = ServiceUnavailableError("the site says 503", 503)
UNKNOWN = OutcomeUnknownError("the site says 502", 502)
ACCEPTED = AcceptedError("accepted, but an answer without a snapshot")
REFUSED = RejectedError("the site says 409: not now", 409)
NOT_FOUND = NotFoundError("the site says 404: not found", 404)

READ_ERRORS = st.sampled_from([NOT_DONE, UNKNOWN, REFUSED, NOT_FOUND])
SOON = st.sampled_from([0.0, 0.4, 1.0, 7.0, 30.0])
STATUSES = st.sampled_from(["pending", "in_progress", "archiving", "complete", "failed"])


def at(seconds: float) -> datetime:
    """Return the site's time at a moment of the test."""
    return START + timedelta(seconds=seconds)


@dataclass
class Made:
    """A snapshot that the site has made, or will make, of the project.

    Attributes:
        created: When; in the future for one that is done later.
        listed: Since when the project's list shows it.
        is_ours: Whether a create of this run made it.
    """

    id: str
    created: float
    listed: float
    status: str = "pending"
    is_ours: bool = True
    is_deleted: bool = False

    @property
    def is_live(self) -> bool:
        return self.status != "failed" and not self.is_deleted


class OneProject(RuleBasedStateMachine):
    """One project's calls, each with any end that a site can give it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ProjectState(SnapshotRecord(PROJECT), None)
        self.now = 0.0
        self.made: list[Made] = []
        self.restarted = 0
        self.calls_at_once = 0
        self.whole_seconds = False

    # How it begins

    @initialize(
        begins=st.sampled_from(["new", "new", "cut off", "running"]),
        attempts=st.integers(1, 3),
        look_up=st.booleans(),
        whole_seconds=st.booleans(),
        made=st.sampled_from([-50.0, -1.0, 3.0, 9.0]) | st.none(),
    )
    def begin(
        self, begins: str, attempts: int, look_up: bool, whole_seconds: bool, made: float | None
    ) -> None:
        """Begin as a first run does, after one that was cut off, or with what is still running."""
        self.whole_seconds = whole_seconds
        since = at(0.0 if begins == "new" else -60.0)
        self.make(-63.0, -63.0, "complete", is_ours=False)
        record = SnapshotRecord(PROJECT).reset_to_pending(since)
        if begins == "running":
            running = self.make(made or -500.0, made or -500.0)
            self.now = max(0.0, running.created)
            record = record.with_snapshot(self.shown(running), at(self.now))
            self.state = begin.start(SnapshotOrder(record), attempts, self.now, at(self.now))
            return
        order = SnapshotOrder(record, look_up=look_up)
        if begins == "cut off":
            order = replace(order, wanted_since=since)
            if made is not None:
                self.make(made, made)
        self.state = begin.start(order, attempts, 0.0, at(0.0))

    # What happens

    def make(self, created: float, listed: float, status: str = "pending", *, is_ours: bool = True
    ) -> Made:  # fmt: skip
        made = Made(f"{len(self.made) + 1:024x}", created, listed, status, is_ours)
        self.made.append(made)
        return made

    def shown(self, made: Made) -> Snapshot:
        created = at(made.created)
        return Snapshot(
            made.id, made.status, whole_seconds(created) if self.whole_seconds else created
        )

    def call(self, wait: float) -> None:
        """Send the call once it is due."""
        due = max(self.now, self.state.due) + wait
        self.calls_at_once = self.calls_at_once + 1 if due == self.now else 0
        assert self.calls_at_once <= MOST_CALLS_AT_ONCE, "it is asked without a pause"
        self.now = due
        self.state = begin.sending(self.state, self.now)

    def ends(self, value: CallValue, seconds: float) -> None:
        """Have the call end so many seconds after it was sent."""
        asked, self.now = self.now, self.now + seconds
        self.calls_at_once = 0 if seconds else self.calls_at_once
        sent = self.now if self.state.sent is None else self.state.sent
        backoff = min(2.0**self.state.failures, 15.0)
        moment = Now(self.now, at(self.now), at(sent), asked, backoff)
        self.state = transitions.apply(self.state, value, moment)

    @precondition(lambda self: self.state.call == Call.LOOK_UP)
    @rule(wait=SOON, seconds=SOON, value=READ_ERRORS | st.just(PROJECT))
    def a_look_up_ends(self, wait: float, seconds: float, value: Project | SiteError) -> None:
        self.call(wait)
        self.ends(value, seconds)

    @precondition(lambda self: self.state.call == Call.CREATE)
    @rule(wait=SOON, seconds=SOON, status=STATUSES)
    def a_create_is_answered(self, wait: float, seconds: float, status: str) -> None:
        self.may_create()
        self.call(wait)
        made = self.make(self.now, self.now, status)
        self.ends(self.shown(made), seconds)

    @precondition(lambda self: self.state.call == Call.CREATE)
    @rule(wait=SOON, seconds=SOON, error=st.sampled_from([NOT_DONE, REFUSED, NOT_FOUND]))
    def a_create_is_not_done(self, wait: float, seconds: float, error: SiteError) -> None:
        self.may_create()
        self.call(wait)
        self.ends(error, seconds)

    @precondition(lambda self: self.state.call == Call.CREATE)
    @rule(
        wait=SOON,
        seconds=SOON,
        error=st.sampled_from([UNKNOWN, ACCEPTED]),
        later=st.sampled_from([0.0, 5.0, 15.0, 29.0]) | st.none(),
        lag=st.sampled_from([0.0, 10.0, 29.0]),
        status=STATUSES,
    )
    def a_create_tells_nothing(
        self, wait: float, seconds: float, error: SiteError, later: float | None, lag: float,
        status: str,
    ) -> None:  # fmt: skip
        self.may_create()
        self.call(wait)
        if later is not None:
            created = self.now + (seconds + later if later else 0.0)
            self.make(created, min(created + lag, self.now + seconds + SETTLE_SECONDS), status)
        self.ends(error, seconds)

    @precondition(lambda self: self.state.call == Call.LIST)
    @rule(
        wait=SOON,
        seconds=SOON,
        unreadable=st.sampled_from(["none", "undated", "one", "one's time too"]),
    )
    def a_list_is_answered(self, wait: float, seconds: float, unreadable: str) -> None:
        self.call(wait)
        there = [made for made in self.made if made.listed <= self.now and not made.is_deleted]
        snapshots = [self.shown(made) for made in there]
        times: tuple[datetime | None, ...] = ()
        if snapshots and unreadable != "none":
            last = snapshots.pop()
            if unreadable == "undated":
                snapshots.append(Snapshot(last.id, last.status, None))
            else:
                times = (last.created if unreadable == "one" else None,)
        self.ends(listed(*snapshots, unreadable=times), seconds)

    @precondition(lambda self: self.state.call == Call.LIST)
    @rule(wait=SOON, seconds=SOON, error=READ_ERRORS)
    def a_list_fails(self, wait: float, seconds: float, error: SiteError) -> None:
        self.call(wait)
        self.ends(error, seconds)

    @precondition(lambda self: self.state.call == Call.POLL)
    @rule(wait=SOON, seconds=SOON, status=STATUSES)
    def a_poll_is_answered(self, wait: float, seconds: float, status: str) -> None:
        self.call(wait + 1.0)  # the loop polls no more often
        made = self.current
        if made.is_deleted:
            self.ends(NOT_FOUND, seconds)
            return
        if made.status not in {"complete", "failed"}:
            made.status = status
        self.ends(self.shown(made), seconds)

    @precondition(lambda self: self.state.call == Call.POLL)
    @rule(wait=SOON, seconds=SOON, error=READ_ERRORS)
    def a_poll_fails(self, wait: float, seconds: float, error: SiteError) -> None:
        """A false 404 comes right after a create, or while the list shows the snapshot."""
        self.call(wait)
        made = self.current
        is_false = not (self.now < made.created + NEW_SECONDS or made.listed <= self.now)
        self.ends(UNKNOWN if is_false else error, seconds)

    @precondition(lambda self: begin.starts_again(self.state))
    @rule()
    def it_is_started_again(self) -> None:
        self.restarted += 1
        self.state = begin.start_again(self.state, self.now, at(self.now))

    @precondition(lambda self: self.state.call == Call.POLL and self.now > 60.0)
    @rule()
    def somebody_deletes_it(self) -> None:
        self.current.is_deleted = True

    @precondition(lambda self: self.state.call is None)
    @rule()
    def it_has_ended(self) -> None:
        pass

    @property
    def current(self) -> Made:
        return next(made for made in self.made if made.id == self.state.record.snapshot_id)

    @property
    def live(self) -> list[Made]:
        """What is there, or will be, of what this run and the one before have asked for."""
        return [made for made in self.made if made.is_ours and made.is_live]

    # What holds

    def may_create(self) -> None:
        assert not self.state.is_accepted, "an accepted one is asked for again"
        assert self.live == [], "twice"

    @invariant()
    def what_is_due_has_a_time(self) -> None:
        if self.state.call is not None:
            assert math.isfinite(self.state.due)
            assert self.state.due <= self.now + LONGEST_PAUSE_SECONDS

    @invariant()
    def what_has_ended_is_complete_or_has_a_reason(self) -> None:
        record = self.state.record
        if self.state.call is None and self.made:
            assert record.is_complete or record.error

    @invariant()
    def what_has_failed_without_a_snapshot_has_none(self) -> None:
        """Else a retry would make a second one."""
        record = self.state.record
        if record.status == "failed" and not record.snapshot_id:
            assert self.live == [], "lost"

    @invariant()
    def one_that_is_taken_is_wanted(self) -> None:
        if self.state.record.snapshot_id:
            assert self.current.is_ours, "it was there before"

    @invariant()
    def given_up_it_has_a_reason_and_loses_nothing(self) -> None:
        if self.state.call is None:
            return
        record = give_up(self.state, "10 min", at(self.now), was_told=False)
        assert record.error
        assert not record.is_complete
        assert record.status != "failed" or record.snapshot_id or self.live == [], "lost"

    def teardown(self) -> None:
        """From here on the site is well: now it ends, unless what was accepted never comes."""
        for _ in range(40):
            match self.state.call:
                case None if begin.starts_again(self.state):
                    self.it_is_started_again()
                case None:
                    self.what_has_ended_is_complete_or_has_a_reason()
                    return
                case Call.LOOK_UP:
                    self.a_look_up_ends(0.0, 0.1, PROJECT)
                case Call.CREATE:
                    self.a_create_is_answered(0.0, 0.1, "pending")
                case Call.LIST:
                    self.a_list_is_answered(0.0, 0.1, "none")
                case Call.POLL:
                    self.a_poll_is_answered(0.0, 0.1, "complete")
        assert self.state.is_accepted, "it never ends"


OneProject.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None
)
TestOneProject = pytest.mark.usefixtures("unmeasured")(OneProject.TestCase)
