"""What a batch consists of, and what is to be done for each of its projects."""

from datetime import timedelta

import pytest

from flywheel_site_simulator import SimulatedSite
from fw_gear_sitewide_snapshot import finder
from fw_gear_sitewide_snapshot.errors import NothingFoundError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.time import START

SNAPSHOT = "5" * 24
MOMENT = finder.Moment(START)


def row(status: str, *, snapshot_id: str = "", project_id: str = "a" * 24) -> SnapshotRecord:
    project = Project(project_id, "Study", "neuro")
    return SnapshotRecord(project, snapshot_id, START, "nightly", status)


def test_a_filter_s_projects_are_all_to_be_started(site: Site, simulated: SimulatedSite) -> None:
    ids = [simulated.add_project(label=label) for label in ("b", "a")]

    batch = finder.find_by_filter(site, None, "nightly", MOMENT)

    assert [record.project.id for record in batch.records] == ids[::-1]  # in the report's order
    assert [order.record for order in batch.orders] == list(batch.records)
    assert {(record.status, record.batch_label) for record in batch.records} == {
        ("pending", "nightly")
    }


def test_the_finder_has_told_what_a_project_is_called_so_it_is_not_looked_up(
    site: Site, simulated: SimulatedSite
) -> None:
    simulated.add_project()

    assert not any(order.look_up for order in finder.find_by_filter(site, None, "", MOMENT).orders)


def test_no_match_is_an_error_that_shows_the_filter(site: Site) -> None:
    with pytest.raises(
        NothingFoundError, match="no project that you are a member of matches group=nobody"
    ):
        finder.find_by_filter(site, "group=nobody", "", MOMENT)


def test_a_complete_row_is_carried_over_as_it_was() -> None:
    complete = row("complete", snapshot_id=SNAPSHOT)

    assert finder.find_by_report([complete], "other", MOMENT) == finder.Batch((complete,), ())


@pytest.mark.parametrize("status", ["pending", "in_progress", "archiving"])
def test_a_running_row_is_waited_for_not_started(status: str) -> None:
    running = row(status, snapshot_id=SNAPSHOT)

    [order] = finder.find_by_report([running], "", MOMENT).orders

    assert order.record == running
    assert order.record.is_running
    assert not order.look_up


def test_where_a_running_one_has_failed_another_made_since_will_do() -> None:
    [order] = finder.find_by_report([row("in_progress", snapshot_id=SNAPSHOT)], "", MOMENT).orders

    assert order.wanted_since == START


@pytest.mark.parametrize("status", ["failed", "planned"])
def test_a_failed_or_planned_row_is_started_after_a_look_at_the_project(
    status: str,
) -> None:
    [order] = finder.find_by_report([row(status, snapshot_id=SNAPSHOT)], "", MOMENT).orders

    assert order.look_up
    assert order.wanted_since is None
    assert (order.record.status, order.record.snapshot_id) == ("pending", "")
    assert order.failed_id == SNAPSHOT


@pytest.mark.parametrize("status", ["pending", "in_progress"])
def test_a_row_that_was_cut_off_keeps_its_time_since_when_to_look(status: str) -> None:
    [order] = finder.find_by_report([row(status)], "", MOMENT).orders

    assert order.wanted_since == START
    assert order.record.timestamp == START


def test_the_batch_s_name_comes_from_each_row_and_the_config_fills_the_gaps() -> None:
    named = row("failed", project_id="a" * 24)
    nameless = SnapshotRecord(Project("b" * 24, "x", "g"), status="failed")

    batch = finder.find_by_report([named, nameless], "from the config", MOMENT)

    names = {record.project.id: record.batch_label for record in batch.records}
    assert names == {"a" * 24: "nightly", "b" * 24: "from the config"}


def test_a_dry_run_plans_what_would_be_started_and_orders_nothing() -> None:
    rows = [
        row("failed", project_id="a" * 24),
        row("complete", snapshot_id=SNAPSHOT, project_id="b" * 24),
        row("in_progress", snapshot_id=SNAPSHOT, project_id="c" * 24),
    ]

    planned = finder.find_by_report(rows, "", MOMENT).planned()

    statuses = {record.project.id[0]: record.status for record in planned.records}
    assert statuses == {"a": "planned", "b": "complete", "c": "in_progress"}
    assert planned.orders == ()


def test_a_dry_run_keeps_since_when_to_look_for_what_a_cut_off_run_has_started() -> None:
    cut_off = row("pending")

    planned = finder.find_by_report([cut_off], "", MOMENT).planned()

    assert planned.records == (cut_off,)


# Since when


@pytest.mark.parametrize("status", ["failed", "planned"])
def test_of_a_job_that_was_started_again_each_row_may_have_one_since_the_first_attempt_began(
    status: str, site: Site, simulated: SimulatedSite
) -> None:
    simulated.add_project()
    resumed = finder.Moment(START - timedelta(hours=1), is_resumed=True)

    found = finder.find_by_filter(site, None, "", resumed).orders
    retried = finder.find_by_report([row(status)], "", resumed).orders

    assert {order.wanted_since for order in (*found, *retried)} == {resumed.begin}
    assert {order.record.timestamp for order in (*found, *retried)} == {resumed.begin}


def test_a_cut_off_row_keeps_its_own_moment_in_a_job_that_was_started_again() -> None:
    resumed = finder.Moment(START + timedelta(hours=1), is_resumed=True)

    [order] = finder.find_by_report([row("pending")], "", resumed).orders

    assert order.wanted_since == START


@pytest.mark.parametrize("snapshot_id", ["", SNAPSHOT])
def test_a_row_s_time_that_is_ahead_of_the_site_s_clock_is_taken_for_the_run_s_begin(
    snapshot_id: str,
) -> None:
    began = START - timedelta(seconds=30)
    running = row("in_progress", snapshot_id=snapshot_id)

    # A site may write no finer times than whole seconds.
    moment = finder.Moment(began + timedelta(seconds=0.7))
    [order] = finder.find_by_report([running], "", moment).orders

    assert order.wanted_since == began
    assert order.record.timestamp == (START if snapshot_id else began)


def test_what_may_be_reused_is_no_reason_to_think_that_one_was_started(
    site: Site, simulated: SimulatedSite
) -> None:
    simulated.add_project()
    moment = finder.Moment(START, reuse_since=START - timedelta(hours=24))

    [order] = finder.find_by_filter(site, None, "", moment).orders

    assert (order.wanted_since, order.reuse_since) == (None, moment.reuse_since)


@pytest.mark.parametrize("status", ["complete", "in_progress"])
def test_an_audit_looks_at_what_an_earlier_report_calls_complete_too(status: str) -> None:
    audit = finder.Moment(START, reuse_since=START - timedelta(hours=24), is_audit=True)
    earlier = row(status, snapshot_id=SNAPSHOT)

    batch = finder.find_by_report([earlier], "", audit)

    [order] = batch.orders
    assert (order.record.status, order.record.snapshot_id) == ("pending", "")
    assert order.reuse_since == audit.reuse_since
    assert batch.records == (earlier,), "until the site has answered"
