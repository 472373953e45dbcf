"""``reuse within hours``: what is new enough is kept; with a dry run, an audit of what is not."""

import json
from typing import Any

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.support.gear import GearRun, MakeGear

pytestmark = pytest.mark.process

HOUR = 3600.0


class Site:
    """A project with a snapshot of an hour, one that is being built, an old one, and none."""

    def __init__(self, site: SimulatedSite) -> None:
        self.site = site
        now = site.now()
        self.new, self.building, self.old, self.none = (
            site.add_project(label=label) for label in ("New", "Building", "Old", "None")
        )
        self.kept = site.add_snapshot(self.new, created=now - HOUR)
        self.awaited = site.add_snapshot(
            self.building, "complete", now - HOUR, build_seconds=HOUR + 4.0
        )
        site.add_snapshot(self.old, created=now - 31 * HOUR)

    @property
    def creates(self) -> list[int]:
        return [self.site.creates(p) for p in (self.new, self.building, self.old, self.none)]


@pytest.fixture
def site(served: SimulatorServer) -> Site:
    return Site(served.site)


def qc(run: GearRun) -> dict[str, Any]:
    metadata = json.loads((run.folder / "output" / ".metadata.json").read_text())
    [file] = metadata["project"]["files"]
    return dict(file)


def test_what_is_new_enough_is_kept_or_awaited_and_only_the_rest_is_started(
    site: Site, gear: MakeGear
) -> None:
    run = gear(**{"project filter": "ALL", "reuse within hours": 24}).run()

    assert run.exit_status == 0, run.log
    assert site.creates == [0, 0, 1, 1]
    assert run.row(site.new)["snapshot_id"] == site.kept
    assert run.row(site.building)["snapshot_id"] == site.awaited
    origins = {row["project_label"]: row["origin"] for row in run.rows}
    assert origins == {"New": "reused", "Building": "reused", "Old": "started", "None": "started"}
    assert "4 complete (2 reused)" in run.last_block[0]
    assert qc(run)["info"]["qc"]["sitewide-snapshot"]["snapshots"]["reused"] == 2


def test_a_second_run_of_the_night_starts_nothing(site: Site, gear: MakeGear) -> None:
    config = {"project filter": "ALL", "reuse within hours": 24}
    gear(**config).run()

    again = gear(**config).run()

    assert again.exit_status == 0
    assert site.creates == [0, 0, 1, 1]
    assert {row["origin"] for row in again.rows} == {"reused"}


def test_what_is_reused_is_downloaded_like_the_others(site: Site, gear: MakeGear) -> None:
    config = {"project filter": "label=New", "reuse within hours": 24, "download snapshots": True}

    run = gear(**config).run()

    assert run.exit_status == 0, run.log
    assert run.row(site.new)["sha256"]
    assert "snapshots.zip" in run.files


AUDIT = {"project filter": "ALL", "reuse within hours": 24, "dry run": True}


def test_an_audit_starts_nothing_and_tells_which_projects_have_no_new_snapshot(
    site: Site, gear: MakeGear
) -> None:
    run = gear(**AUDIT).run()

    assert run.exit_status == 1
    assert site.creates == [0, 0, 0, 0]
    rows = {row["project_label"]: row for row in run.rows}
    assert {label: row["status"] for label, row in rows.items()} == {
        "New": "complete", "Building": "in_progress", "Old": "planned", "None": "planned",
    }  # fmt: skip
    assert rows["Old"]["error"] == "the newest complete snapshot is 31 h old"
    assert rows["None"]["error"] == "no complete snapshot"
    assert rows["New"]["snapshot_id"] == site.kept
    page = (run.folder / "output" / "snapshot_report.html").read_text()
    assert "3 of 4 projects have no snapshot of the last 24 hours." in page


@pytest.mark.usefixtures("site")
def test_an_audit_fails_in_the_qc_result_and_sets_no_tag(gear: MakeGear) -> None:
    told = qc(gear(**AUDIT).run())

    assert told["info"]["qc"]["sitewide-snapshot"]["snapshots"]["state"] == "FAIL"
    assert told["tags"] == []


@pytest.mark.usefixtures("site")
def test_an_audit_that_finds_all_ends_with_0_and_passes(gear: MakeGear) -> None:
    run = gear(**{**AUDIT, "project filter": "label=New"}).run()

    assert run.exit_status == 0
    assert qc(run)["info"]["qc"]["sitewide-snapshot"]["snapshots"]["state"] == "PASS"
    page = (run.folder / "output" / "snapshot_report.html").read_text()
    assert "The project has a snapshot of the last 24 hours." in page


@pytest.mark.usefixtures("site")
def test_an_audit_that_is_not_to_fail_ends_with_0(gear: MakeGear) -> None:
    assert gear(**AUDIT, **{"fail on incomplete": False}).run().exit_status == 0


def test_an_audit_s_report_is_a_list_of_what_to_do(site: Site, gear: MakeGear) -> None:
    audit = gear(**AUDIT).run()

    retry = gear().run(audit.report)

    assert retry.exit_status == 0, retry.log
    assert site.creates == [0, 0, 1, 1]
    assert set(retry.statuses.values()) == {"complete"}


@pytest.mark.parametrize("hours", [-1, -0.001, 876001, 1e300, "24", True, [1]])
def test_hours_that_are_none_are_one_line(hours: object, gear: MakeGear) -> None:
    run = gear(**{"project filter": "ALL", "reuse within hours": hours}).run()

    assert run.exit_status == 2
    [line] = run.errors
    assert 'config "reuse within hours"' in line
    assert "expected a number from 0 to 876000" in line
