"""``reuse within hours``: what is new enough is kept; with a dry run, an audit of what is not."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.support.gear import GearRun, MakeGear, gear_maker

pytestmark = pytest.mark.process

HOUR = 3600.0


class Site:
    """A project with a snapshot of an hour, one that is being built, an old one, and none."""

    def __init__(self, site: SimulatedSite, still_builds_seconds: float = 4.0) -> None:
        self.site = site
        now = site.now()
        self.new, self.building, self.old, self.none = (
            site.add_project(label=label) for label in ("New", "Building", "Old", "None")
        )
        self.kept = site.add_snapshot(self.new, created=now - HOUR)
        self.awaited = site.add_snapshot(
            self.building, "complete", now - HOUR, build_seconds=HOUR + still_builds_seconds
        )
        site.add_snapshot(self.old, created=now - 31.5 * HOUR)  # a run knows the time to a second

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


NIGHT = {"project filter": "ALL", "reuse within hours": 24}


@dataclass(frozen=True)
class Nights:
    """A run, and the same once more."""

    site: Site
    first: GearRun
    again: GearRun


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    with SimulatorServer(SimulatedSite(build_seconds=(0.1, 0.3))) as server:
        site = Site(server.site)
        gear = gear_maker(tmp_path_factory.mktemp("nights"), server)
        return Nights(site, gear(**NIGHT).run(), gear(**NIGHT).run())


def test_what_is_new_enough_is_kept_or_awaited_and_only_the_rest_is_started(nights: Nights) -> None:
    site, run = nights.site, nights.first

    assert run.exit_status == 0, run.log
    assert run.row(site.new)["snapshot_id"] == site.kept
    assert run.row(site.building)["snapshot_id"] == site.awaited
    origins = {row["project_label"]: row["origin"] for row in run.rows}
    assert origins == {"New": "reused", "Building": "reused", "Old": "started", "None": "started"}
    assert "4 complete (2 reused)" in run.last_block[0]
    assert qc(run)["info"]["qc"]["sitewide-snapshot"]["snapshots"]["reused"] == 2


def test_a_second_run_of_the_night_starts_nothing(nights: Nights) -> None:
    assert nights.again.exit_status == 0
    assert nights.site.creates == [0, 0, 1, 1]
    assert {row["origin"] for row in nights.again.rows} == {"reused"}


def test_what_is_reused_is_downloaded_like_the_others(site: Site, gear: MakeGear) -> None:
    config = {"project filter": "label=New", "reuse within hours": 24, "download snapshots": True}

    run = gear(**config).run()

    assert run.exit_status == 0, run.log
    assert run.row(site.new)["sha256"]
    assert "snapshots.zip" in run.files


AUDIT = {"project filter": "ALL", "reuse within hours": 24, "dry run": True}


@dataclass(frozen=True)
class Audited:
    """An audit while a snapshot is being built, and a retry of its report when that is ready.

    Attributes:
        creates: How many snapshots of each project were started when the audit had ended.
    """

    site: Site
    audit: GearRun
    creates: list[int]
    retry: GearRun


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    with SimulatorServer(SimulatedSite(build_seconds=(0.1, 0.3))) as server:
        site = Site(server.site, still_builds_seconds=HOUR)
        gear = gear_maker(tmp_path_factory.mktemp("audited"), server)
        audit = gear(**AUDIT).run()
        creates = site.creates
        server.site.clock_offset_seconds += HOUR
        return Audited(site, audit, creates, gear().run(audit.report))


def test_an_audit_starts_nothing_and_tells_which_projects_have_no_new_snapshot(
    audited: Audited,
) -> None:
    run = audited.audit

    assert run.exit_status == 1
    assert audited.creates == [0, 0, 0, 0]
    rows = {row["project_label"]: row for row in run.rows}
    assert {label: row["status"] for label, row in rows.items()} == {
        "New": "complete", "Building": "in_progress", "Old": "planned", "None": "planned",
    }  # fmt: skip
    assert rows["Old"]["error"] == "the newest complete snapshot is 31 h old"
    assert rows["None"]["error"] == "no complete snapshot"
    assert rows["New"]["snapshot_id"] == audited.site.kept
    assert "reused" not in run.log
    assert run.lines('To start what is missing: run again with the report as input "retry failed"')
    page = (run.folder / "output" / "snapshot_report.html").read_text()
    assert (
        "2 of 4 projects have no complete snapshot of the last 24 hours; "
        "1 is being built or not known."
    ) in page


def test_an_audit_fails_in_the_qc_result_and_sets_no_tag(audited: Audited) -> None:
    told = qc(audited.audit)

    assert told["info"]["qc"]["sitewide-snapshot"]["snapshots"]["state"] == "FAIL"
    assert told["tags"] == []


def test_an_audit_s_report_is_a_list_of_what_to_do(audited: Audited) -> None:
    assert audited.retry.exit_status == 0, audited.retry.log
    assert audited.site.creates == [0, 0, 1, 1]
    assert set(audited.retry.statuses.values()) == {"complete"}


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


def test_hours_that_are_none_are_one_line(gear: MakeGear) -> None:
    run = gear(**{"project filter": "ALL", "reuse within hours": -1}).run()

    assert run.exit_status == 2
    [line] = run.errors
    assert 'config "reuse within hours"' in line
    assert "expected a number from 0 to 876000" in line
