"""An earlier batch's report tells what has changed since; what is wrong with it starts nothing."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.support.gear import REPORT, GearRun, MakeGear, gear_maker
from tests.support.old_reports import OLD_HEADER

pytestmark = pytest.mark.process

ALL: dict[str, Any] = {"project filter": "ALL"}
FETCHED: dict[str, Any] = {**ALL, "download snapshots": True}


@dataclass(frozen=True)
class Nights:
    """Two batches of a site that has changed in between, and one that has not changed since."""

    second: GearRun
    third: GearRun
    projects: dict[str, str]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    site = SimulatedSite(build_seconds=(0.1, 0.3))
    names = ("deleted", "hidden", "renamed", "emptied", "thinned", "same")
    projects = {name: site.add_project("neuro", name, subjects=20) for name in names}
    with SimulatorServer(site) as server:
        gear = gear_maker(tmp_path_factory.mktemp("nights"), server)
        first = gear(**FETCHED).run()
        assert first.exit_status == 0, first.log
        assert not first.lines("Since the earlier report")
        site.remove_project(projects["deleted"])
        changed: dict[str, dict[str, Any]] = {
            "hidden": {"members": ["somebody@else.org"]},
            "renamed": {"label": "other", "group": "cardio", "subjects": 20},
            "emptied": {"subjects": 1},
            "thinned": {"subjects": 19},
        }
        for name, values in changed.items():
            details = {"group": "neuro", "label": name, **values}
            site.add_project(project_id=projects[name], **details)
        projects["new"] = site.add_project("neuro", "new")
        second = gear(**FETCHED).run(previous=first.report)
        third = gear(**FETCHED).run(previous=second.report)
    return Nights(second, third, projects)


def tags_and_result(run: GearRun) -> tuple[list[str], dict[str, Any]]:
    document = json.loads((run.folder / "output" / ".metadata.json").read_text())
    [file] = [file for file in document["project"]["files"] if file["name"] == REPORT]
    return file["tags"], file["info"]["qc"]["sitewide-snapshot"]["snapshots"]


def test_the_log_ends_with_what_has_changed(nights: Nights) -> None:
    block = nights.second.last_block
    told = [
        re.sub(r"^\S+ \S+ (\w+) +", r"\1 ", line) for line in block if "not visible to" not in line
    ]
    named = {name: f"neuro/{name} ({project})" for name, project in nights.projects.items()}
    project = nights.projects["renamed"]
    start = next(n for n, line in enumerate(told) if "Since the earlier report" in line)

    assert told[start].endswith(
        "2 gone, 1 new, 1 renamed or moved; of 4 projects with contents in both, 2 with fewer"
    )
    assert f"INFO New: {named['new']}" in told
    assert f"INFO Renamed or moved: neuro/renamed → cardio/other ({project})" in told
    fewer = [line for line in told if " Fewer: " in line]
    assert fewer[0].startswith(
        f"WARNING Fewer: {named['emptied']}: 1 subjects of 20 (95 % fewer), "
    )
    assert fewer[1].startswith(f"INFO Fewer: {named['thinned']}: 19 subjects of 20 (5 % ")
    gone = nights.second.lines(" WARNING ", "Gone, or no longer visible to you: ")
    assert [line.count("neuro/") for line in gone] == [2]
    assert all(named[name] in gone[0] for name in ("deleted", "hidden"))


def test_a_loss_leaves_the_exit_status_to_the_rows(nights: Nights) -> None:
    assert nights.second.exit_status == 0, nights.second.log
    assert set(nights.second.statuses.values()) == {"complete"}


def test_a_loss_is_in_the_tags_and_in_the_qc_result(nights: Nights) -> None:
    tags, result = tags_and_result(nights.second)

    assert tags == ["snapshots-complete", "content-lost"]
    counts = {name: result[name] for name in ("gone", "new", "renamed", "fewer", "lost")}
    assert counts == {"gone": 2, "new": 1, "renamed": 1, "fewer": 2, "lost": 1}
    assert result["state"] == "PASS"


def test_without_a_loss_there_is_no_such_tag(nights: Nights) -> None:
    tags, result = tags_and_result(nights.third)

    assert tags == ["snapshots-complete"]
    assert (result["gone"], result["fewer"], result["contents compared"]) == (0, 0, 5)
    [line] = nights.third.lines("Since the earlier report")
    assert "0 gone, 0 new, 0 renamed or moved; of 5 projects with contents in both, 0" in line


def test_the_log_says_which_report_is_compared_with(nights: Nights) -> None:
    assert nights.second.lines('input "previous-report": snapshot_report.csv')


# ------------------------------------------------------------------------- reports that are no such


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: the file is empty"),
        (OLD_HEADER.encode(), "line 1: there are no rows"),
        (b"PK\x03\x04\x14\0", "line 1: this seems to be a workbook"),
        (f"{OLD_HEADER}\nneuro,A,12345,,,,planned\n".encode(), "line 2: column project_id: "),
    ],
    ids=["empty", "no rows", "workbook", "id"],
)
def test_one_that_can_t_be_read_is_one_line_and_2_before_the_site_is_asked(
    gear: MakeGear, served: SimulatorServer, tmp_path: Path, content: bytes, told: str
) -> None:
    served.site.add_project()
    report = tmp_path / "last.csv"
    report.write_bytes(content)

    run = gear(**ALL).run(previous=report)

    assert run.exit_status == 2, run.log
    [line] = run.errors
    assert f'input "previous-report": last.csv, {told}' in line
    assert "Traceback" not in run.log
    assert served.site.requests == []
    assert run.files == set()


def test_one_of_version_0_0_4_is_taken(
    gear: MakeGear, served: SimulatorServer, tmp_path: Path
) -> None:
    project = served.site.add_project("neuro", "Study")
    report = tmp_path / "old.csv"
    rows = [
        f"neuro,Study,{project},{'5' * 24},2023-11-29 14:05,batch,SnapshotState.complete",
        f"neuro,Old,{'6' * 24},{'7' * 24},2023-11-29 14:05,batch,SnapshotState.failed",
    ]
    report.write_text("\n".join([OLD_HEADER, *rows]))

    run = gear(**ALL).run(previous=report)

    assert run.exit_status == 0, run.log
    assert run.lines(" WARNING ", f"Gone, or no longer visible to you: neuro/Old ({'6' * 24})")
    [line] = run.lines("Since the earlier report")
    assert "1 gone, 0 new, 0 renamed" in line
    assert "contents are not compared" in line
    assert set(run.statuses) == {project}


def test_a_retry_can_be_compared_with_an_earlier_batch_too(
    gear: MakeGear, served: SimulatorServer, tmp_path: Path
) -> None:
    projects = [served.site.add_project() for _ in range(2)]
    planned = gear(**ALL, **{"dry run": True}).run()
    earlier = tmp_path / "earlier.csv"
    earlier.write_text(planned.report.read_text().replace(projects[0], "6" * 24))

    run = gear().run(planned.report, previous=earlier)

    assert run.exit_status == 0, run.log
    assert set(run.statuses) == set(projects)
    assert run.lines("Since the earlier report: 1 gone, 1 new, 0 renamed or moved")
