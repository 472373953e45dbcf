"""Starting snapshots: one for each order, whatever becomes of the answers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    answer_with,
    break_off,
    do_later,
    lose_answer,
    refuse,
)
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot import snapshot
from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord, StartOrder
from fw_gear_sitewide_snapshot.site import Site

from .support.direct import DirectTransport, InTurn
from .support.time import START, FakeClock

LOST_ANSWERS = [
    lose_answer(how) for how in (500, 502, 504, "reset", "hang", "truncated", "garbage")
]
SENSELESS: tuple[object, ...] = ({}, [], None, {"status": "pending"})
SENSELESS_ANSWERS = [answer_with(body) for body in SENSELESS]


class Starter:
    """Starts snapshots on a simulated site, in injected time."""

    def __init__(self, site: Site, simulated: SimulatedSite, clock: FakeClock) -> None:
        self.site, self.simulated, self.clock = site, simulated, clock
        self.project = simulated.add_project(label="Study")

    def start(self, project_id: str = "", **order: object) -> SnapshotRecord:
        record = SnapshotRecord(Project(project_id or self.project, "Study", "neuro"))
        return self.carry_out(StartOrder(record, **order))  # type: ignore[arg-type]

    def carry_out(self, *orders: StartOrder) -> SnapshotRecord:
        """Carry orders out; returns the last one's record."""
        workers = InTurn(self.clock)
        return list(snapshot.start(orders, site=self.site, workers=workers, clock=self.clock))[-1]

    def fault(self, action: Action, kind: str = "create", **how: float) -> None:
        self.simulated.fault(Fault(kind, action=action, **how))  # type: ignore[arg-type]

    @property
    def creates_asked(self) -> int:
        return sum(request.kind == "create" for request in self.simulated.requests)


@pytest.fixture
def starter(site: Site, simulated: SimulatedSite, clock: FakeClock) -> Starter:
    site.check()  # the site has told its time, as in every run
    return Starter(site, simulated, clock)


def test_a_snapshot_costs_one_call(starter: Starter) -> None:
    record = starter.start()

    assert [request.kind for request in starter.simulated.requests] == ["auth", "create"]
    assert record.snapshot_id == starter.simulated.snapshots(starter.project)[0].id
    assert record.started == 1


@pytest.mark.parametrize("action", LOST_ANSWERS + SENSELESS_ANSWERS)
def test_a_snapshot_whose_answer_was_lost_is_found_again(starter: Starter, action: Action) -> None:
    starter.fault(action, times=1)

    record = starter.start()

    assert starter.simulated.creates(starter.project) == 1
    assert record.snapshot_id == starter.simulated.snapshots(starter.project)[0].id


@pytest.mark.parametrize("seconds", [0.5, 2.0, 6.5])
def test_a_snapshot_that_comes_into_being_after_its_answer_was_lost_is_waited_for(
    starter: Starter, seconds: float
) -> None:
    starter.fault(do_later(seconds, 504), times=1)

    record = starter.start()

    assert starter.simulated.creates(starter.project) == 1
    assert record.snapshot_id


def test_an_older_snapshot_is_not_taken_for_the_lost_one(starter: Starter) -> None:
    old = starter.simulated.add_snapshot(
        starter.project, created=starter.simulated.now() - 1.5, status="complete"
    )
    starter.fault(lose_answer(500), times=1)

    record = starter.start()

    assert record.snapshot_id not in {"", old}


def test_the_snapshot_that_is_known_to_have_failed_is_not_taken_for_the_lost_one(
    starter: Starter,
) -> None:
    failed = starter.simulated.add_snapshot(starter.project, status="failed")
    starter.fault(do_later(3.0), times=1)

    record = starter.start(known_id=failed)

    assert record.snapshot_id not in {"", failed}


def test_only_when_the_list_shows_none_for_some_seconds_is_it_asked_for_again(
    starter: Starter,
) -> None:
    starter.fault(refuse(500), times=1)

    starter.start()

    first, *looks, second = [r for r in starter.simulated.requests if r.kind in {"create", "list"}]
    assert {look.kind for look in looks} == {"list"}
    assert second.time - first.time >= 7


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_that_passes_is_asked_again_without_looking(
    starter: Starter, status: int
) -> None:
    starter.fault(refuse(status), times=3)

    record = starter.start()

    assert record.snapshot_id
    kinds = {request.kind for request in starter.simulated.requests}
    assert kinds == {"auth", "create"}


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(starter: Starter, status: int) -> None:
    starter.fault(refuse(status, retry_after_seconds=11), times=1)

    starter.start()

    first, second = [r.time for r in starter.simulated.requests if r.kind == "create"]
    assert 11 <= second - first <= 13


@pytest.mark.parametrize("action", [refuse(429), refuse(503), refuse(500), break_off("reset")])
def test_a_site_that_goes_on_refusing_is_given_up_after_a_handful_of_times_in_about_a_minute(
    starter: Starter, action: Action
) -> None:
    starter.fault(action)

    record = starter.start()

    assert (record.status, record.snapshot_id) == ("failed", "")
    assert 3 <= starter.creates_asked <= 6
    assert starter.clock.seconds < 90


def test_a_site_that_asks_for_more_than_a_minute_is_given_up_at_once(starter: Starter) -> None:
    starter.fault(refuse(503, retry_after_seconds=600))

    record = starter.start()

    assert record.status == "failed"
    assert starter.creates_asked == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_for_good_fails_the_row_with_the_site_s_words(
    starter: Starter, status: int
) -> None:
    starter.fault(refuse(status, "You shall not pass"))

    record = starter.start()

    assert (record.status, record.snapshot_id) == ("failed", "")
    assert record.error == f"the site says {status}: You shall not pass"
    assert starter.creates_asked == 1


def test_a_create_is_not_repeated_while_the_site_can_t_say_what_became_of_it(
    starter: Starter,
) -> None:
    starter.fault(lose_answer("reset"), times=1)
    starter.fault(refuse(502), kind="list")

    record = starter.start()

    assert starter.creates_asked == 1
    assert (record.status, record.snapshot_id) == ("pending", "")
    assert "not known whether a snapshot was started" in record.error


def test_a_project_that_is_gone_gets_no_snapshot(starter: Starter) -> None:
    record = starter.start(project_id="f" * 24, verify=True)

    assert record.status == "failed"
    assert "there is no such project" in record.error
    assert starter.creates_asked == 0


def test_what_a_run_that_was_cut_off_has_started_is_taken(starter: Starter) -> None:
    made = starter.simulated.add_snapshot(starter.project, created=START.timestamp() + 5)

    record = starter.start(verify=True, made_since=START)

    assert record.snapshot_id == made
    assert record.started == 0
    assert starter.creates_asked == 0


def test_what_was_made_before_the_run_that_was_cut_off_is_not_taken(starter: Starter) -> None:
    old = starter.simulated.add_snapshot(starter.project, created=START.timestamp() - 1)

    record = starter.start(verify=True, made_since=START)

    assert record.snapshot_id not in {"", old}
    assert starter.creates_asked == 1


def test_a_create_that_was_in_flight_when_the_run_was_cut_off_is_given_its_time(
    starter: Starter,
) -> None:
    starter.fault(do_later(6.0), times=1)
    with pytest.raises(OutcomeUnknownError):
        starter.site.create_snapshot(starter.project)

    record = starter.start(verify=True, made_since=START)

    assert starter.simulated.creates(starter.project) == 1
    assert record.snapshot_id


def test_a_failed_snapshot_of_the_same_second_does_not_end_the_looking_for_a_cut_off_one(
    starter: Starter,
) -> None:
    starter.simulated.add_snapshot(starter.project, status="failed")
    starter.fault(do_later(2.0), times=1)
    with pytest.raises(OutcomeUnknownError):
        starter.site.create_snapshot(starter.project)

    record = starter.start(verify=True, made_since=START)

    assert starter.simulated.creates(starter.project) == 1
    assert record.status != "failed"


def test_a_cut_off_row_of_which_nothing_can_be_learned_stays_as_it_was(starter: Starter) -> None:
    starter.fault(refuse(502), kind="list")

    record = starter.start(verify=True, made_since=START - timedelta(minutes=5))

    assert (record.status, record.snapshot_id) == ("pending", "")
    assert "still not known" in record.error
    assert starter.creates_asked == 0


def test_one_project_s_failure_is_not_another_s(starter: Starter) -> None:
    others = [starter.simulated.add_project() for _ in range(3)]
    starter.simulated.fault(Fault("create", others[1], action=refuse(403, "no")))
    orders = [StartOrder(SnapshotRecord(Project(other, "x", "g"))) for other in others]

    records = list(
        snapshot.start(
            orders, site=starter.site, workers=InTurn(starter.clock), clock=starter.clock
        )
    )

    assert [bool(record.snapshot_id) for record in records] == [True, False, True]


def test_at_twenty_requests_a_second_everything_is_started_without_hammering(
    clock: FakeClock,
) -> None:
    simulated = SimulatedSite(clock.unix, requests_per_second=20)
    site = Site(DirectTransport(simulated, clock), clock)
    projects = [simulated.add_project() for _ in range(200)]
    orders = [StartOrder(SnapshotRecord(Project(project, "x", "g"))) for project in projects]

    records = list(snapshot.start(orders, site=site, workers=InTurn(clock), clock=clock))

    assert all(record.snapshot_id for record in records)
    assert [simulated.creates(project) for project in projects] == [1] * 200
    refused = sum(request.status == 429 for request in simulated.requests)
    assert refused <= 20
    assert clock.seconds < 30


def test_after_the_given_time_no_further_create_is_sent(starter: Starter) -> None:
    starter.fault(refuse(503, retry_after_seconds=8))
    order = StartOrder(SnapshotRecord(Project(starter.project, "Study", "neuro")))

    record = snapshot.start_again(order, 5.0, site=starter.site, clock=starter.clock)

    assert starter.creates_asked == 1
    assert starter.clock.seconds < 8
    assert record.error


def test_a_site_that_tells_whole_seconds_only_loses_no_snapshot(starter: Starter) -> None:
    starter.clock.sleep(0.6)
    made = {"_id": "e" * 24, "status": "pending", "created": "2026-11-22T12:00:00+00:00"}
    starter.fault(lose_answer(502), times=1)
    starter.fault(answer_with([made]), kind="list")

    assert starter.start().snapshot_id == made["_id"]
    assert starter.creates_asked == 1


def test_a_refusal_after_a_lost_answer_is_looked_behind(starter: Starter) -> None:
    starter.fault(do_later(8.0), times=1)
    starter.fault(refuse(409, "in progress"), times=1)

    record = starter.start()

    assert starter.simulated.creates(starter.project) == 1
    assert record.snapshot_id


def test_a_snapshot_of_a_cut_off_run_that_has_failed_since_is_told_as_failed(
    starter: Starter,
) -> None:
    made = starter.simulated.add_snapshot(starter.project, "failed", created=START.timestamp() + 5)
    starter.clock.sleep(10.0)

    record = starter.start(verify=True, made_since=START)

    assert (record.status, record.snapshot_id, record.started) == ("failed", made, 0)


# What a cut-off run may have started


@pytest.mark.parametrize("kind", ["project", "list"])
@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_while_it_cannot_be_seen_what_a_cut_off_run_has_started_its_row_says_since_when_to_look(
    starter: Starter, kind: str, status: int
) -> None:
    since = START - timedelta(minutes=3)
    starter.simulated.add_snapshot(starter.project, created=since.timestamp() + 1.0)
    starter.fault(refuse(status), kind="list")
    if kind == "project":
        starter.fault(refuse(status), kind="project")
    row = SnapshotRecord(Project(starter.project, "Study", "neuro"), timestamp=since)

    after = starter.carry_out(StartOrder(row, verify=True, made_since=since))

    assert replace(after, error="") == row
    assert "still not known" in after.error
    assert starter.creates_asked == 0


def test_of_a_project_that_seems_gone_the_snapshot_of_a_cut_off_run_is_found(
    starter: Starter,
) -> None:
    made = starter.simulated.add_snapshot(starter.project, created=START.timestamp())
    starter.fault(refuse(404), kind="project")

    after = starter.start(verify=True, made_since=START)

    assert after.snapshot_id == made
    assert starter.creates_asked == 0


def test_of_a_project_that_is_gone_and_has_no_snapshot_the_row_says_so(starter: Starter) -> None:
    starter.simulated.remove_project(starter.project)

    after = starter.start(verify=True, made_since=START)

    assert (after.status, after.snapshot_id) == ("failed", "")
    assert "no such project" in after.error
    assert starter.creates_asked == 0


# A site that asks for patience, and one that has gone


@pytest.mark.parametrize("status", [429, 503])
def test_a_minute_that_the_site_asks_for_is_waited_and_the_snapshot_started(
    starter: Starter, status: int
) -> None:
    starter.fault(refuse(status, retry_after_seconds=60), times=2)

    assert starter.start().snapshot_id
    assert starter.creates_asked == 3


def test_a_limit_by_the_minute_costs_no_project_its_snapshot(clock: FakeClock) -> None:
    simulated = SimulatedSite(clock.unix)
    site = Site(DirectTransport(simulated, clock), clock)
    projects = [simulated.add_project() for _ in range(90)]
    for minute in range(3):  # thirty a minute
        begin = simulated.now() + 60.0 * minute
        refusing = refuse(429, retry_after_seconds=60)
        simulated.fault(Fault("create", begin=begin + 10, end=begin + 60, action=refusing))
    simulated.behaviour.create_seconds = 0.3
    orders = [
        StartOrder(SnapshotRecord(Project(project, "Study", "neuro"))) for project in projects
    ]

    started = list(snapshot.start(orders, site=site, workers=InTurn(clock), clock=clock))

    assert {bool(record.snapshot_id) for record in started} == {True}
    assert sum(request.status == 429 for request in simulated.requests) <= 3


def test_a_site_that_has_answered_nothing_for_ten_minutes_is_asked_for_no_more(
    starter: Starter,
) -> None:
    starter.fault(refuse(502))
    starter.fault(refuse(502), kind="list")
    orders = [
        StartOrder(SnapshotRecord(Project(starter.project, f"Study {number}", "neuro")))
        for number in range(200)
    ]

    started = list(
        snapshot.start(
            orders, site=starter.site, workers=InTurn(starter.clock), clock=starter.clock
        )
    )

    assert 600 <= starter.clock.seconds < 600 + 120
    assert {record.status for record in started[-100:]} == {"failed"}
    assert "the site has answered nothing for 10 min" in started[-1].error


# The log


def test_the_log_names_each_project_before_its_create_is_sent(
    starter: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    starter.fault(refuse(400))

    starter.start()

    first = caplog.records[0]
    assert (first.levelname, first.getMessage()) == (
        "INFO",
        f"neuro/Study ({starter.project}): starting a snapshot",
    )


def test_the_log_says_no_snapshot_was_started_only_where_that_is_known(
    starter: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    starter.fault(lose_answer(502))
    starter.fault(refuse(502), kind="list")

    record = starter.start()

    last = caplog.records[-1].getMessage()
    assert last.endswith(record.error)
    assert "no snapshot was started" not in last
