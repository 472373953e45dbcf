"""Which call is next: what is due, what the pace allows, and what the site lets through."""

import math

import pytest

from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError, ServiceUnavailableError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.poller.schedule import Schedule
from fw_gear_sitewide_snapshot.site.rates import MAX_CONCURRENT_CALLS, ConcurrencyLimit
from fw_gear_sitewide_snapshot.snapshot.project_state import Call, ProjectState

BUSY = ServiceUnavailableError("the site says 503", 503)
HUNG = OutcomeUnknownError("the site did not answer")


def project_id(number: int) -> str:
    return f"{number:024x}"


def state(
    number: int,
    call: Call = Call.CREATE,
    due: float = 0.0,
    *,
    failures: int = 0,
    heeds_site: bool = False,
) -> ProjectState:
    """Return a project whose next call is this; one that is polled is running."""
    snapshot = "5" * 24 if call == Call.POLL else ""
    record = SnapshotRecord(Project(project_id(number), "Study", "neuro"), snapshot)
    return ProjectState(record, call, due, failures=failures, heeds_site=heeds_site)


def sixteen() -> ConcurrencyLimit:
    """Return a limit that has learned that the site bears sixteen calls at a time."""
    limit = ConcurrencyLimit()
    for call in [*Call, *[Call.POLL] * 100]:
        limit.answered(call, limit.era, 1.0, (limit.calls, limit.calls))
    assert limit.calls == MAX_CONCURRENT_CALLS
    return limit


class Sender:
    """Sends what a schedule says is due, to a site that bears sixteen calls at a time."""

    def __init__(
        self,
        *states: ProjectState,
        unasked: bool = False,
        now: float = 0.0,
        schedule: Schedule | None = None,
    ) -> None:
        self.schedule = schedule or Schedule(limit=sixteen())
        self.calls: dict[str, Call] = {}
        for each in states:
            self.add(each, now)
            if unasked:
                self.schedule.unasked.add(each.record.project.id)

    def add(self, each: ProjectState, now: float) -> None:
        assert each.call is not None
        self.calls[each.record.project.id] = each.call
        self.schedule.add(each, now)

    def send(self, now: float) -> list[int]:
        sent = []
        for each in self.schedule.due(now):
            self.schedule.sent(each, self.calls[each], now)
            sent.append(int(each, 16))
        return sent

    def end(self, number: int, now: float, error: Exception | None = None) -> None:
        self.schedule.ended(project_id(number), now, error, 1.0)


def test_no_call_is_sent_before_it_is_due() -> None:
    sender = Sender(state(1, due=5.0), state(2, due=3.0))

    assert sender.send(2.9) == []
    assert sender.schedule.next_due() == 3.0
    assert sender.send(5.0) == [2, 1]
    assert sender.schedule.in_flight[project_id(1)][:2] == (Call.CREATE, 5.0)


def test_a_project_s_call_is_not_sent_beside_itself() -> None:
    sender = Sender(state(1), state(2, Call.POLL))

    assert sorted([*sender.send(10.0), *sender.send(20.0)]) == [1, 2]
    assert sender.schedule.is_busy
    for number in (1, 2):
        sender.end(number, 21.0)
    assert not sender.schedule.is_busy


def test_no_more_than_sixteen_are_in_flight_and_a_free_slot_is_used_at_once() -> None:
    sender = Sender(*(state(number) for number in range(20)), unasked=True)

    sent = sender.send(0.0)
    assert len(sent) == MAX_CONCURRENT_CALLS
    assert not sender.schedule.can_send(0.0)

    sender.end(sent[0], 0.0)
    assert sender.schedule.can_send(0.0)
    assert len(sender.send(0.0)) == 1


def test_at_first_a_few_are_in_flight_and_more_where_that_gets_more_done() -> None:
    sender = Sender(*(state(number) for number in range(100)), unasked=True, schedule=Schedule())

    at_once = []
    for second in range(6):
        sent = sender.send(second)
        at_once.append(len(sent))
        for number in sent:
            sender.end(number, second + 1)

    assert at_once[0] == 4
    assert at_once[-1] == MAX_CONCURRENT_CALLS


@pytest.mark.parametrize("call", [Call.LIST, Call.LOOK_UP, Call.CREATE])
def test_other_calls_leave_half_of_the_slots_to_polls(call: Call) -> None:
    others = [state(number, call) for number in range(30)]
    sender = Sender(*others, *(state(number, Call.POLL) for number in range(100, 160)))

    sent = sender.send(10.0)

    assert sum(number < 100 for number in sent) == MAX_CONCURRENT_CALLS // 2
    assert any(number >= 100 for number in sent)


def test_of_few_calls_at_a_time_half_are_left_to_polls_too() -> None:
    others = [state(number, Call.LIST) for number in range(30)]
    polls = [state(number, Call.POLL) for number in range(100, 160)]
    sender = Sender(*others, *polls, schedule=Schedule())

    sent = sender.send(10.0)

    assert sorted(number < 100 for number in sent) == [False, False, True, True]


def test_where_one_call_at_a_time_gets_most_done_a_poll_goes_beside_a_slow_create() -> None:
    limit = ConcurrencyLimit()
    for call in [*Call, *[Call.CREATE] * 30]:
        limit.answered(call, limit.era, limit.calls**2, (limit.calls, limit.calls))
    assert limit.calls == 1
    states = (state(1), state(2), state(3, Call.POLL), state(4, Call.POLL))
    sender = Sender(*states, schedule=Schedule(limit=limit))

    assert sorted(sender.send(10.0)) == [1, 3]
    assert not sender.schedule.can_send(11.0)
    sender.end(3, 11.0)
    assert sender.send(11.0) == [4]


def test_creates_that_all_take_long_are_not_taken_for_hanging_but_for_one() -> None:
    states = (state(number) for number in range(100))
    sender = Sender(*states, unasked=True, schedule=Schedule())
    assert len(sender.send(0.0)) == 4

    assert len(sender.send(5.0)) == 1
    assert len(sender.send(9.0)) == 0
    sender.end(4, 9.5)  # which was sent after the others: these hang
    assert len(sender.send(9.5)) == 4


def test_quick_refusals_say_nothing_of_how_many_calls_a_site_bears() -> None:
    sender = Sender(*(state(number, Call.POLL) for number in range(1_000)), schedule=Schedule())

    for second in range(1, 8):
        for number in sender.send(second):
            sender.end(number, second, BUSY)

    assert len(sender.send(1_000.0)) <= 4


def test_calls_that_were_not_answered_in_time_say_that_a_site_bears_fewer() -> None:
    sender = Sender(*(state(number, Call.POLL) for number in range(1_000)))

    for number in range(1, 60):
        for each in sender.send(20.0 * number):
            sender.schedule.ended(project_id(each), 20.0 * number + 10, HUNG, 10.0)

    assert len(sender.send(2_000.0)) < MAX_CONCURRENT_CALLS


def test_those_that_hang_leave_slots_to_the_others() -> None:
    sender = Sender(*(state(number, Call.LIST) for number in range(8)), unasked=True)
    for number in sender.send(0.0):
        sender.end(number, 10.0, HUNG)
        sender.add(state(number, Call.LIST, due=11.0, failures=1), 10.0)
    sender.add(state(100, Call.LIST, due=12.0), 10.0)

    sent = sender.send(12.0)

    assert 100 in sent
    assert len(sent) == 5
    assert sender.send(12.0) == []
    assert sender.schedule.next_due() <= 13.0, "they are not forgotten"


def test_polls_come_in_turn_the_one_asked_longest_ago_first() -> None:
    sender = Sender()
    for number, polled in ((3, -3.0), (1, -2.0), (2, -1.0)):
        sender.add(state(number, Call.POLL), polled)

    asked = [number for tick in range(100) for number in sender.send(tick / 50)]

    assert asked == [3, 1, 2]


def test_the_more_is_asked_in_vain_the_less_often_each_is_asked() -> None:
    sender = Sender(*(state(number, Call.POLL) for number in range(300)))
    asked = []
    for tick in range(1_000):  # twenty seconds
        now = tick / 50
        for number in sender.send(now):
            sender.end(number, now)
            sender.add(state(number, Call.POLL), now)
            asked.append(now)

    assert len([now for now in asked if now < 1.0]) > 60
    assert len([now for now in asked if now >= 10.0]) < 10 * 30


def test_polls_come_evenly_and_not_all_at_once() -> None:
    sender = Sender(*(state(number, Call.POLL) for number in range(200)))
    most = 0
    for tick in range(1_000):
        now = tick / 50
        sent = sender.send(now)
        most = max(most, len(sent)) if now > 10.0 else 0
        for number in sent:
            sender.end(number, now)
            sender.add(state(number, Call.POLL), now)

    assert 1 <= most <= 2


def test_a_snapshot_that_was_just_started_is_not_polled_at_once() -> None:
    sender = Sender(state(1, Call.POLL), now=5.0)

    assert sender.send(5.2) == []
    assert sender.send(5.3) == [1]


def test_a_poll_that_failed_waits_for_its_own_time() -> None:
    sender = Sender(state(1, Call.POLL, due=7.0, failures=1))

    assert sender.send(6.9) == []
    assert sender.send(7.0) == [1]


def test_while_nothing_but_refusals_come_one_create_at_a_time_tries() -> None:
    sender = Sender(*(state(number) for number in range(100)), unasked=True)
    for number in sender.send(0.0):
        sender.end(number, 0.1, BUSY)

    assert sender.send(0.1) == []
    [trial] = sender.send(2.0)
    assert sender.send(200.0) == [], "its answer tells"
    sender.end(trial, 200.0, BUSY)
    assert sender.send(200.1) == []
    assert len(sender.send(260.0)) == 1
    assert sender.schedule.problem == "the site says 503"


def test_creates_that_are_refused_hold_no_poll_up() -> None:
    sender = Sender(*(state(number) for number in range(16)))
    for now in (0.0, 0.1, 0.2):
        for number in sender.send(now):
            sender.end(number, now, BUSY)
            sender.add(state(number, due=now + 10.0, failures=1), now)
    sender.add(state(100, Call.POLL), 0.2)

    assert 100 in sender.send(5.0)


@pytest.mark.parametrize(("heeds_site", "sent"), [(False, [1]), (True, [])])
def test_a_build_that_ends_makes_room_for_a_create_unless_the_site_asked_it_to_wait(
    heeds_site: bool, sent: list[int]
) -> None:
    sender = Sender(state(1, due=100.0, failures=3, heeds_site=heeds_site), state(2, Call.POLL))
    assert sender.send(10.0) == [2]
    sender.end(2, 10.0)
    sender.schedule.finished(project_id(2), 10.0)

    assert sender.send(10.0) == sent


def test_an_outage_is_one_of_those_not_yet_asked_for_and_then_of_all_that_is_left() -> None:
    sender = Sender(state(1), state(2, due=50.0), unasked=True)
    assert sender.schedule.outage_seconds(100.0) == 0.0
    sender.send(10.0)
    sender.end(1, 11.0, BUSY)
    assert sender.schedule.outage_seconds(100.0) == 90.0

    sender.schedule.unasked.clear()
    assert sender.schedule.outage_seconds(100.0) == 90.0
    sender.add(state(3, Call.POLL), 100.0)
    assert sender.schedule.outage_seconds(100.0) == 0.0


def test_the_final_poll_waits_for_no_pause_of_an_outage() -> None:
    sender = Sender(state(1, Call.POLL))
    now = 0.0
    for _ in range(40):
        now = max(now, sender.schedule.next_due())
        assert sender.send(now) == [1]
        sender.end(1, now, BUSY)
        sender.add(state(1, Call.POLL, due=now, failures=1), now)
    assert sender.send(now + 0.1) == []

    sender.schedule.poll_once_more([project_id(1)], now + 0.1)

    assert sender.send(now + 0.1) == [1]


def test_the_final_poll_asks_each_once_and_nothing_else_whatever_their_pauses() -> None:
    sender = Sender(
        state(1),
        state(2, Call.POLL),
        state(3, Call.POLL, due=1_000.0, failures=9),
        state(4, Call.LIST, due=1_000.0),
    )
    sender.schedule.poll_once_more([project_id(number) for number in (2, 3, 4)], 0.0)

    sent = []
    for tick in range(100):
        sent += sender.send(tick / 50)

    assert sorted(sent) == [2, 3, 4]
    for number in sent:
        sender.end(number, 2.0)
    assert not sender.schedule.is_busy
    assert math.isinf(sender.schedule.next_due())
