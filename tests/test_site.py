"""What the gear asks of a site: which calls, how often, and what becomes of odd answers."""

from datetime import UTC, datetime, timedelta

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, answer_with, break_off, refuse
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from fw_gear_sitewide_snapshot.site import Site

from .support.direct import DirectTransport
from .support.time import FakeClock


def kinds(simulated: SimulatedSite) -> list[str]:
    return [request.kind for request in simulated.requests]


def test_a_site_that_takes_the_key_is_asked_once(site: Site, simulated: SimulatedSite) -> None:
    site.check()

    assert kinds(simulated) == ["auth"]


def test_a_key_that_the_site_refuses_ends_at_once(
    simulated: SimulatedSite, clock: FakeClock
) -> None:
    site = Site(DirectTransport(simulated, clock, key="wrong"), clock)

    with pytest.raises(SiteUnusableError, match=r"401: Invalid API key.*not valid on this site"):
        site.check()

    assert clock.seconds == 0


def test_a_host_that_is_no_flywheel_site_is_told(site: Site, simulated: SimulatedSite) -> None:
    simulated.fault(Fault("auth", action=refuse(404)))

    with pytest.raises(SiteUnusableError, match="is the host in the API key a Flywheel site"):
        site.check()


@pytest.mark.parametrize("fault", [refuse(502), break_off("reset"), break_off("hang"), refuse(503)])
def test_a_site_that_does_not_answer_is_given_up_within_half_a_minute(
    site: Site, simulated: SimulatedSite, clock: FakeClock, fault: object
) -> None:
    simulated.fault(Fault("auth", action=fault))  # type: ignore[arg-type]

    with pytest.raises(SiteUnusableError, match="the site can't be used"):
        site.check()

    assert 5 < clock.seconds < 30


@pytest.mark.parametrize("count", [1, 249, 250, 251, 501])
def test_every_project_is_found_once_however_many_pages_there_are(
    site: Site, simulated: SimulatedSite, count: int
) -> None:
    ids = [simulated.add_project() for _ in range(count)]

    assert [project.id for project in site.find_projects(None)] == ids


def test_a_filter_goes_to_the_site_as_it_is(site: Site, simulated: SimulatedSite) -> None:
    simulated.add_project(label="a,b", group="neuro")

    found = list(site.find_projects(r'label=a\,b,group="neuro"'))

    assert [(project.label, project.group) for project in found] == [("a,b", "neuro")]
    assert simulated.requests[0].query["filter"] == r'label=a\,b,group="neuro"'


def test_an_invalid_filter_shows_the_site_s_own_words(site: Site) -> None:
    with pytest.raises(SiteUnusableError, match=r"refuses the filter nonsense: .*400"):
        list(site.find_projects("nonsense"))


def test_a_site_that_repeats_a_page_is_not_asked_for_ever(
    site: Site, simulated: SimulatedSite
) -> None:
    page = [{"_id": "a" * 24, "label": "x", "group": "g"}]
    simulated.fault(Fault("projects", action=answer_with(page)))

    with pytest.raises(SiteUnusableError, match="repeats a page"):
        list(site.find_projects(None))


def test_a_page_that_fails_is_asked_for_again_from_where_it_was(
    site: Site, simulated: SimulatedSite
) -> None:
    ids = [simulated.add_project() for _ in range(300)]
    simulated.fault(Fault("projects", times=2, after=1, action=refuse(502)))

    assert [project.id for project in site.find_projects(None)] == ids


def test_reading_survives_an_outage_of_half_a_minute(
    site: Site, simulated: SimulatedSite, clock: FakeClock
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault(end=simulated.now() + 30, kind=None, action=break_off("reset")))

    assert site.project(project).id == project
    assert 30 <= clock.seconds < 70


@pytest.mark.parametrize(("status", "error"), [(403, RejectedError), (404, NotFoundError)])
def test_a_refusal_is_not_asked_for_again(
    site: Site, simulated: SimulatedSite, status: int, error: type[Exception]
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("project", action=refuse(status, "not for you")))

    with pytest.raises(error, match=f"the site says {status}: not for you"):
        site.project(project)

    assert kinds(simulated) == ["project"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_create_is_never_sent_twice_by_itself(
    site: Site, simulated: SimulatedSite, status: int
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("create", times=1, action=refuse(status)))

    with pytest.raises((ServiceUnavailableError, OutcomeUnknownError)):
        site.create_snapshot(project)

    assert kinds(simulated) == ["create"]


@pytest.mark.parametrize("shape", ["bare", "results"])
def test_snapshots_are_listed_from_a_moment_on_in_either_shape(
    site: Site, simulated: SimulatedSite, shape: str
) -> None:
    simulated.behaviour.list_shape = shape  # type: ignore[assignment]
    project = simulated.add_project()
    simulated.add_snapshot(project, created=simulated.now() - 60)
    new = [simulated.add_snapshot(project, created=simulated.now() + n) for n in (2, 1, 0)]

    found = site.snapshots_since(project, site.now())

    assert [snapshot.id for snapshot in found] == new[::-1]


def test_a_page_of_snapshots_that_are_not_the_newest_is_not_relied_on(
    site: Site, simulated: SimulatedSite
) -> None:
    project = simulated.add_project()
    page = [
        {"_id": f"{n:024x}", "status": "complete", "created": f"2020-01-01T00:00:00.{n:03}+00:00"}
        for n in range(250)
    ]
    simulated.fault(Fault("list", action=answer_with(page)))

    with pytest.raises(OutcomeUnknownError, match="not the newest"):
        site.snapshots_since(project, site.now())


def test_of_very_many_snapshots_the_newest_are_seen(site: Site, simulated: SimulatedSite) -> None:
    project = simulated.add_project()
    for n in range(300):
        simulated.add_snapshot(project, created=simulated.now() - 1000 + n)
    new = simulated.add_snapshot(project)

    assert [snapshot.id for snapshot in site.snapshots_since(project, site.now())] == [new]


def test_an_answer_about_another_snapshot_makes_no_sense(
    site: Site, simulated: SimulatedSite
) -> None:
    project = simulated.add_project()
    one, other = simulated.add_snapshot(project), simulated.add_snapshot(project)
    record = {"_id": other, "status": "complete"}
    simulated.fault(Fault("detail", action=answer_with(record)))

    with pytest.raises(OutcomeUnknownError, match="speaks of another snapshot"):
        site.snapshot(project, one)


@pytest.mark.parametrize("offset", [-400.0, 0.0, 400.0])
def test_the_time_is_the_site_s_and_never_ahead_of_it(clock: FakeClock, offset: float) -> None:
    simulated = SimulatedSite(clock.unix, clock_offset_seconds=offset + 0.6)
    site = Site(DirectTransport(simulated, clock), clock)

    site.check()
    clock.sleep(100.0)

    ahead = site.now() - clock.now() - timedelta(seconds=offset + 0.6)
    assert timedelta(seconds=-1) < ahead <= timedelta(0)


def test_until_the_site_has_told_the_time_this_machine_s_stands_in(
    site: Site, clock: FakeClock
) -> None:
    assert site.now() == clock.now()


def test_a_429_holds_every_call_back_as_long_as_the_site_asks(
    site: Site, simulated: SimulatedSite, clock: FakeClock
) -> None:
    one, other = simulated.add_project(), simulated.add_project()
    simulated.fault(Fault("create", times=1, action=refuse(429, retry_after_seconds=7)))

    with pytest.raises(ServiceUnavailableError):
        site.create_snapshot(one)
    site.create_snapshot(other)

    assert clock.seconds >= 7


def test_a_date_at_the_end_of_all_time_ends_no_run(
    site: Site, simulated: SimulatedSite, clock: FakeClock
) -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    simulated.clock_offset_seconds = end.timestamp() - clock.unix()
    site.check()
    clock.seconds += 60.0

    assert site.now() == end


@pytest.mark.parametrize(
    ("action", "silent"), [(refuse(403), False), (refuse(429), False), (refuse(502), True)]
)
def test_a_site_is_silent_while_it_says_at_most_that_it_cannot_answer(
    site: Site, simulated: SimulatedSite, clock: FakeClock, action: Action, silent: bool
) -> None:
    site.check()
    simulated.fault(Fault("create", action=action))
    clock.seconds += 100.0
    with pytest.raises(SiteError):
        site.create_snapshot(simulated.add_project())

    assert site.silent_seconds() == pytest.approx(100.0 if silent else 0.0, abs=1.0)
