"""Calls for one project: sent once each, and what becomes of odd responses."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    accept,
    add_headers,
    answer_with,
    edit_answer,
    lose_answer,
    redirect,
    refuse,
)
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.errors import (
    AcceptedError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from fw_gear_sitewide_snapshot.models import SnapshotList
from fw_gear_sitewide_snapshot.site.call_result import CallResult
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.time import FakeClock
from tests.support.unavailable import UNAVAILABLE, kinds

Value = TypeVar("Value")


def value(result: CallResult[Value]) -> Value:
    """Return the value of a call that went well."""
    assert not isinstance(result.value, SiteError)
    return result.value


def failure(result: CallResult[Value]) -> SiteError:
    assert isinstance(result.value, SiteError)
    return result.value


def test_a_call_brings_its_value_and_when_and_how_it_was_asked(
    site: Site, simulated: SimulatedSite
) -> None:
    project = simulated.add_project()
    simulated.behaviour.create_seconds = 0.5

    result = site.create_snapshot(project)

    assert value(result).id == simulated.snapshots(project)[0].id
    assert result.is_service
    assert result.received == 0.5
    assert result.date is not None
    assert not site.project(project).is_service


@pytest.mark.parametrize(("age", "seconds"), [(None, 0.0), ("45", 45.0), ("soon", math.inf)])
def test_a_call_brings_how_long_a_cache_has_kept_its_answer(
    site: Site, simulated: SimulatedSite, age: str | None, seconds: float
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("list", action=add_headers({"Age": age} if age else {})))

    assert site.snapshots(project).age == seconds


@pytest.mark.parametrize("action", UNAVAILABLE)
@pytest.mark.parametrize("kind", ["project", "create", "detail", "list"])
def test_a_call_for_one_project_is_sent_once_however_it_ends(
    site: Site, simulated: SimulatedSite, kind: str, action: Action
) -> None:
    project = simulated.add_project()
    snapshot = simulated.add_snapshot(project)
    simulated.fault(Fault(kind, action=action))
    asks: dict[str, Callable[[], CallResult[object]]] = {
        "project": lambda: site.project(project),  # type: ignore[dict-item,return-value]
        "create": lambda: site.create_snapshot(project),  # type: ignore[dict-item,return-value]
        "detail": lambda: site.snapshot(project, snapshot),  # type: ignore[dict-item,return-value]
        "list": lambda: site.snapshots(project),  # type: ignore[dict-item,return-value]
    }

    error = failure(asks[kind]())

    assert isinstance(error, ServiceUnavailableError | OutcomeUnknownError | AcceptedError)
    assert isinstance(error, AcceptedError) <= (kind == "create")
    assert kinds(simulated) == [kind]


@pytest.mark.parametrize(("status", "kind"), [(403, RejectedError), (404, NotFoundError)])
def test_a_refusal_is_the_site_s_words(
    site: Site, simulated: SimulatedSite, status: int, kind: type[SiteError]
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("project", action=refuse(status, "not for you")))

    error = failure(site.project(project))

    assert type(error) is kind
    assert str(error) == f"the site says {status}: not for you"


def test_an_answer_about_another_snapshot_is_not_taken(
    site: Site, simulated: SimulatedSite
) -> None:
    project = simulated.add_project()
    one, other = simulated.add_snapshot(project), simulated.add_snapshot(project)
    record = {"_id": other, "status": "complete"}
    simulated.fault(Fault("detail", action=answer_with(record)))

    error = failure(site.snapshot(project, one))

    assert type(error) is OutcomeUnknownError
    assert "another id than was asked for" in str(error)


def test_an_answer_about_another_project_is_not_taken(site: Site, simulated: SimulatedSite) -> None:
    one, other = simulated.add_project(), simulated.add_project()
    record = {"_id": other, "label": "Other", "group": "neuro"}
    simulated.fault(Fault("project", action=answer_with(record)))

    error = failure(site.project(one))

    assert type(error) is OutcomeUnknownError
    assert "another id than was asked for" in str(error)


# Creates


@pytest.mark.parametrize(
    "action",
    [
        accept(),
        accept(status=200),
        accept(status=204),
        answer_with(b"<html>It works!</html>"),
        answer_with([]),
        answer_with({}),
        answer_with(None),
        answer_with({"status": "pending"}),
        answer_with({"_id": "a" * 24}),
        answer_with({"_id": "short", "status": "pending"}),
        answer_with({"job": "1"}, 202),
        answer_with(b'{"_id": "5e00', 201),
        edit_answer(lambda record: [record]),
        lose_answer("truncated"),
    ],
)
def test_a_create_that_succeeds_without_a_snapshot_was_accepted(
    site: Site, simulated: SimulatedSite, action: Action
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("create", action=action))

    assert type(failure(site.create_snapshot(project))) is AcceptedError


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_create_that_is_redirected_may_have_been_done(
    site: Site, simulated: SimulatedSite, status: int
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("create", action=redirect(status=status)))

    assert type(failure(site.create_snapshot(project))) is OutcomeUnknownError


# The list of a project's snapshots


def listed(site: Site, project: str) -> SnapshotList:
    return value(site.snapshots(project))


@pytest.mark.parametrize("shape", ["bare", "results"])
def test_snapshots_are_listed_in_either_shape(
    site: Site, simulated: SimulatedSite, clock: FakeClock, shape: str
) -> None:
    simulated.behaviour.list_shape = shape  # type: ignore[assignment]
    project, since = simulated.add_project(), site.now()
    simulated.add_snapshot(project, created=simulated.now() - 60)
    new = [simulated.add_snapshot(project, created=simulated.now() + n) for n in (2, 1, 0)]
    clock.seconds += 2.0

    found = listed(site, project)

    assert [snapshot.id for snapshot in found.made_since(since)] == new[::-1]
    assert found.shows_all_since(since)


def test_of_very_many_snapshots_the_newest_are_seen(site: Site, simulated: SimulatedSite) -> None:
    project = simulated.add_project()
    for n in range(300):
        simulated.add_snapshot(project, created=simulated.now() - 1000 + n)
    new = simulated.add_snapshot(project)

    found = listed(site, project)

    assert [snapshot.id for snapshot in found.made_since(site.now())] == [new]
    assert found.shows_all_since(site.now() - timedelta(seconds=900))
    assert not found.shows_all_since(site.now() - timedelta(seconds=1000))
