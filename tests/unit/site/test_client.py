"""Calls to the site as a whole: the key, the projects, the time; and outages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    add_headers,
    answer_with,
    edit_answer,
    refuse,
)
from flywheel_site_simulator.behaviour import ListShape
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.errors import SiteUnusableError
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.http import Request, Response
from tests.support.direct import DirectTransport
from tests.support.time import FakeClock
from tests.support.unavailable import BACKEND, UNAVAILABLE, kinds

# The first call


def test_a_site_that_takes_the_key_is_asked_once(site: Site, simulated: SimulatedSite) -> None:
    site.check()

    assert kinds(simulated) == ["auth"]


def test_a_person_s_key_tells_the_user_and_a_job_s_key_the_job(
    simulated: SimulatedSite, clock: FakeClock
) -> None:
    job = simulated.jobs.add()
    persons = Site(DirectTransport(simulated, clock), clock)
    jobs = Site(DirectTransport(simulated, clock, key=job.key), clock)

    persons.check()
    jobs.check()

    assert (persons.user, persons.job_id) == (job.user.id, "")
    assert (jobs.user, jobs.job_id) == ("", job.id)


def test_the_job_tells_who_has_launched_it_and_which_attempt_it_is(
    site: Site, simulated: SimulatedSite
) -> None:
    again = simulated.jobs.restart(simulated.jobs.add().id)

    site.find_first_attempt(again.id)

    assert (site.user, site.attempt) == (again.user.id, 2)


@pytest.mark.parametrize("after", [0, 1], ids=["the job", "its first attempt"])
@pytest.mark.parametrize("action", UNAVAILABLE)
def test_a_job_that_can_t_be_asked_for_is_not_taken_for_a_first_attempt(
    site: Site, simulated: SimulatedSite, clock: FakeClock, after: int, action: Action
) -> None:
    again = simulated.jobs.restart(simulated.jobs.add().id)
    simulated.fault(Fault("job", after=after, action=action))

    with pytest.raises(SiteUnusableError, match=r"can't be asked .* press the job's Retry button"):
        site.find_first_attempt(again.id)

    assert 60 <= clock.seconds < 90


def test_nor_is_one_where_the_site_asks_for_a_long_pause(
    site: Site, simulated: SimulatedSite
) -> None:
    again = simulated.jobs.restart(simulated.jobs.add().id)
    simulated.fault(Fault("job", times=1, action=refuse(503, retry_after_seconds=300)))

    with pytest.raises(SiteUnusableError, match="the site says 503"):
        site.find_first_attempt(again.id)


@pytest.mark.parametrize(
    "action", [refuse(401), refuse(403), refuse(404), answer_with({}), answer_with({"attempt": 2})]
)
def test_where_the_site_does_not_tell_the_job_is_a_first_attempt(
    site: Site, simulated: SimulatedSite, action: Action
) -> None:
    again = simulated.jobs.restart(simulated.jobs.add().id)
    simulated.fault(Fault("job", action=action))

    assert site.find_first_attempt(again.id) is None
    assert kinds(simulated) == ["job"]


def test_where_the_first_attempt_is_not_told_of_its_id_tells_since_when_to_look(
    site: Site, simulated: SimulatedSite, clock: FakeClock
) -> None:
    began = clock.now()
    first_id = simulated.jobs.add().id
    clock.sleep(3600.0)
    again = simulated.jobs.restart(first_id)
    simulated.fault(Fault("job", after=1, action=refuse(403)))

    first = site.find_first_attempt(again.id)

    assert first is not None
    assert (first.id, first.began) == (first_id, began)


def test_a_key_that_the_site_refuses_ends_at_once(
    simulated: SimulatedSite, clock: FakeClock
) -> None:
    site = Site(DirectTransport(simulated, clock, key="wrong"), clock)

    with pytest.raises(SiteUnusableError, match=r"401: Invalid API key.*not valid on this site"):
        site.check()

    assert clock.seconds == 0


@pytest.mark.parametrize("body", [None, BACKEND], ids=["JSON", "text"])
def test_a_host_that_is_no_flywheel_site_is_told(
    site: Site, simulated: SimulatedSite, body: bytes | None
) -> None:
    simulated.fault(Fault("auth", action=refuse(404, body=body)))

    with pytest.raises(SiteUnusableError, match="is the host in the API key a Flywheel site"):
        site.check()


@pytest.mark.parametrize("action", UNAVAILABLE)
def test_a_site_that_does_not_answer_is_given_up_within_a_minute(
    site: Site, simulated: SimulatedSite, clock: FakeClock, action: Action
) -> None:
    simulated.fault(Fault("auth", action=action))

    with pytest.raises(SiteUnusableError, match="the site can't be used"):
        site.check()

    assert 30 <= clock.seconds < 60


# Outages of half a minute


def look_up(site: Site) -> None:
    site.check()


def list_projects(site: Site) -> None:
    assert len(site.find_projects(None)) == 300


@pytest.mark.parametrize("ask", [look_up, list_projects], ids=["first call", "list of projects"])
@pytest.mark.parametrize("action", UNAVAILABLE)
def test_half_a_minute_is_bridged_wherever_it_begins(
    site: Site,
    simulated: SimulatedSite,
    clock: FakeClock,
    ask: Callable[[Site], None],
    action: Action,
) -> None:
    for _ in range(300):
        simulated.add_project()
    simulated.fault(Fault(None, begin=simulated.now(), end=simulated.now() + 30, action=action))

    ask(site)

    assert 30 <= clock.seconds < 75


@pytest.mark.parametrize("ask", [look_up, list_projects], ids=["first call", "list of projects"])
@pytest.mark.parametrize("status", [429, 503])
def test_the_longer_of_the_site_s_pause_and_our_own_is_made(
    site: Site,
    simulated: SimulatedSite,
    clock: FakeClock,
    ask: Callable[[Site], None],
    status: int,
) -> None:
    for _ in range(300):
        simulated.add_project()
    for seconds in (0, 40):
        action = refuse(status, retry_after_seconds=seconds)
        simulated.fault(Fault(None, times=1, action=action))

    ask(site)

    ours, longer = clock.slept
    assert 0.8 <= ours <= 1.0
    assert longer == 40.0


@pytest.mark.parametrize("status", [401, 403, 404, 409, 410, 422])
def test_what_the_site_refuses_is_not_asked_again(
    site: Site, simulated: SimulatedSite, status: int
) -> None:
    simulated.fault(Fault("projects", action=refuse(status, "not for you")))

    with pytest.raises(SiteUnusableError, match=f"{status}: not for you"):
        site.find_projects(None)

    assert kinds(simulated) == ["projects"]


# The list of projects


@pytest.mark.parametrize("count", [1, 249, 250, 251, 501])
@pytest.mark.parametrize("shape", ["bare", "results"])
def test_every_project_is_found_once_however_many_pages_there_are(
    site: Site, simulated: SimulatedSite, count: int, shape: ListShape
) -> None:
    simulated.behaviour.list_shape = shape
    ids = [simulated.add_project() for _ in range(count)]

    assert [project.id for project in site.find_projects(None)] == ids


def test_a_filter_goes_to_the_site_as_it_is(site: Site, simulated: SimulatedSite) -> None:
    simulated.add_project(label="a,b", group="neuro")

    found = site.find_projects(r'label=a\,b,group="neuro"')

    assert [(project.label, project.group) for project in found] == [("a,b", "neuro")]
    assert simulated.requests[0].query["filter"] == r'label=a\,b,group="neuro"'


def test_an_invalid_filter_shows_the_site_s_own_words(site: Site) -> None:
    with pytest.raises(SiteUnusableError, match=r"refuses the filter nonsense: .*400"):
        site.find_projects("nonsense")


@pytest.mark.parametrize(
    "ids", [["a"], ["a", "b"]], ids=["the page before", "one of the pages before"]
)
def test_a_site_that_repeats_a_page_is_not_asked_for_ever(clock: FakeClock, ids: list[str]) -> None:
    class Repeating(DirectTransport):
        def send(self, request: Request) -> Response:
            asked.append(request)
            item = ids[len(asked) % len(ids)] * 24
            return Response([{"_id": item, "label": "x", "group": "g"}])

    asked: list[Request] = []
    site = Site(Repeating(SimulatedSite(), clock), clock)

    with pytest.raises(SiteUnusableError, match="a page of projects came twice"):
        site.find_projects(None)

    assert len(asked) == len(ids) + 1


def test_a_page_that_fails_is_asked_for_again_from_where_it_was(
    site: Site, simulated: SimulatedSite
) -> None:
    ids = [simulated.add_project() for _ in range(300)]
    simulated.fault(Fault("projects", times=2, after=1, action=refuse(502)))

    assert [project.id for project in site.find_projects(None)] == ids


@pytest.mark.parametrize("cut", [0, 1, 250, 619])
def test_a_list_that_is_shorter_than_it_says_is_never_taken_for_the_whole(
    site: Site, simulated: SimulatedSite, cut: int
) -> None:
    simulated.behaviour.list_shape = "results"
    simulated.behaviour.project_listing_cut = cut
    for _ in range(620):
        simulated.add_project()

    words = f"{cut} projects?, but a total of 620"
    with pytest.raises(SiteUnusableError, match=words):
        site.find_projects(None)


@pytest.mark.parametrize("total", ["620", 620.0, "6 hundred"])
def test_nor_is_one_whose_total_comes_as_something_else(
    site: Site, simulated: SimulatedSite, total: object
) -> None:
    simulated.add_project()
    simulated.fault(
        Fault("projects", action=edit_answer(lambda page: {"results": page, "total": total}))
    )

    with pytest.raises(SiteUnusableError, match="the projects can't be listed: unexpected"):
        site.find_projects(None)


@pytest.mark.parametrize("name", ["total", "total_count"])
def test_the_total_of_any_page_counts(site: Site, simulated: SimulatedSite, name: str) -> None:
    simulated.add_project()
    totals = iter([1, 2])

    def edit(page: list[object]) -> object:
        return {"results": page, name: next(totals)}

    simulated.fault(Fault("projects", action=edit_answer(edit)))

    with pytest.raises(SiteUnusableError, match="1 project, but a total of 2"):
        site.find_projects(None)


def test_a_list_with_an_unreadable_project_is_never_taken_for_the_whole(
    site: Site, simulated: SimulatedSite
) -> None:
    simulated.add_project()
    simulated.fault(Fault("projects", action=edit_answer(lambda page: [*page, {"label": "x"}])))

    with pytest.raises(SiteUnusableError, match="can't be listed"):
        site.find_projects(None)


# What ALL leaves out


def test_an_administrator_learns_which_projects_are_hidden(
    simulated: SimulatedSite, clock: FakeClock
) -> None:
    simulated.add_user(roles=("user", "site_admin"))
    seen, unseen = simulated.add_project(), simulated.add_project(members=["somebody@else"])
    site = Site(DirectTransport(simulated, clock), clock)

    hidden = site.hidden_projects([seen])

    assert hidden is not None
    assert [project.id for project in hidden] == [unseen]


def test_nobody_else_learns_it(site: Site, simulated: SimulatedSite) -> None:
    assert site.hidden_projects([]) is None
    assert kinds(simulated) == ["users/self"]


@pytest.mark.parametrize("kind", ["users/self", "projects"])
@pytest.mark.parametrize("action", UNAVAILABLE)
def test_where_the_site_does_not_tell_it_is_asked_once(
    site: Site, simulated: SimulatedSite, clock: FakeClock, kind: str, action: Action
) -> None:
    simulated.add_user(roles=("site_admin",))
    simulated.add_project()
    simulated.fault(Fault(kind, action=action))

    assert site.hidden_projects([]) is None
    assert kinds(simulated).count(kind) == 1
    assert clock.seconds <= 10.0


def test_it_is_not_asked_for_long(site: Site, simulated: SimulatedSite, clock: FakeClock) -> None:
    simulated.add_user(roles=("site_admin",))
    simulated.behaviour.page_seconds = 9.0
    for _ in range(5_000):
        simulated.add_project()

    assert site.hidden_projects([]) is None
    assert clock.seconds <= 70.0


# The site's time


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


def test_the_time_of_a_call_is_noted_when_its_result_is_observed(
    simulated: SimulatedSite, site: Site, clock: FakeClock
) -> None:
    simulated.clock_offset_seconds = 300.0
    project = simulated.add_project()
    results = [site.create_snapshot(project), site.create_snapshot(project)]
    assert site.now() == clock.now()

    for result in results:
        assert site.observe(result) is result.value

    assert site.now() == clock.now() + timedelta(seconds=300)


@pytest.mark.parametrize("headers", [{"Age": "7200"}, {}], ids=["said so", "not said"])
def test_a_list_of_projects_from_a_cache_does_not_put_the_clock_back(
    site: Site, simulated: SimulatedSite, clock: FakeClock, headers: dict[str, str]
) -> None:
    simulated.add_project()
    old = (clock.now() - timedelta(hours=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    stale = add_headers({"Date": old, **headers})
    simulated.fault(Fault("projects", times=1, action=stale))

    site.check()
    site.find_projects(None)

    assert site.now() == clock.now()


@pytest.mark.parametrize("offset", [-400.0, 0.0, 400.0])
@pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-2)])
def test_one_wrong_date_at_the_beginning_does_not_set_the_clock(
    clock: FakeClock, offset: float, wrong: timedelta
) -> None:
    simulated = SimulatedSite(clock.unix, clock_offset_seconds=offset)
    site = Site(DirectTransport(simulated, clock), clock)
    date = (clock.now() + wrong).strftime("%a, %d %b %Y %H:%M:%S GMT")
    simulated.fault(Fault("auth", action=add_headers({"Date": date})))

    site.check()

    assert site.now() == clock.now() + timedelta(seconds=offset)
    assert kinds(simulated) == ["auth", "users/self", "users/self"]


@pytest.mark.parametrize("action", UNAVAILABLE)
def test_where_the_site_tells_no_other_date_the_one_that_it_has_told_counts(
    clock: FakeClock, action: Action
) -> None:
    simulated = SimulatedSite(clock.unix, clock_offset_seconds=400.0)
    site = Site(DirectTransport(simulated, clock), clock)
    simulated.fault(Fault("users/self", action=action))

    site.check()

    assert site.now() - clock.now() == timedelta(seconds=400)


@pytest.mark.parametrize("offset", [-400.0, 400.0])
def test_where_every_answer_is_from_a_cache_the_time_is_still_the_site_s(
    clock: FakeClock, offset: float
) -> None:
    simulated = SimulatedSite(clock.unix, clock_offset_seconds=offset)
    site = Site(DirectTransport(simulated, clock), clock)
    simulated.fault(Fault(None, action=add_headers({"Age": "1"})))

    site.check()

    assert site.now() == clock.now() + timedelta(seconds=offset)


def test_a_date_at_the_end_of_all_time_ends_no_run(
    site: Site, simulated: SimulatedSite, clock: FakeClock
) -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    simulated.clock_offset_seconds = end.timestamp() - clock.unix()
    site.check()
    clock.seconds += 60.0

    assert site.now() == end
