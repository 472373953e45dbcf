"""A normal run of the whole gear, as a process, against the site."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer, refuse
from tests.support.gear import CONTRACT_COLUMNS, GearRun, MakeGear, gear_maker, run_together

pytestmark = pytest.mark.process

ALL = {"project filter": "ALL"}
OUTPUT_FILES = {"snapshot_report.csv", "snapshot_report.html", ".metadata.json"}


@dataclass(frozen=True)
class Case:
    """A run that has ended, and the site that it ran against, whose projects go by their paths."""

    run: GearRun
    site: SimulatedSite
    projects: dict[str, str]

    @property
    def started(self) -> dict[str, int]:
        """How many snapshots were made, of each project that has any."""
        made = {path: self.site.creates(project) for path, project in self.projects.items()}
        return {path: count for path, count in made.items() if count}


# ------------------------------------------------------------------------------------------ filters

VISIBLE = [
    "cardio/2024",
    "cardio/Ageing-accepted",
    "neuro/Ageing-accepted",
    "neuro/Herz",
    "neuro/Herz, Lunge",
    "neuro/Twins-rejected",
]
HIDDEN = "neuro/Secret-accepted"
# What is written into the config; the filter as it is to be sent; what is then the batch.
FILTERS = {
    "every project": ("ALL", None, VISIBLE),
    "every project, in any case, between blanks": ("\t aLl \n", None, VISIBLE),
    "a group": ("group=cardio", "group=cardio", ["cardio/2024", "cardio/Ageing-accepted"]),
    "a filter between blanks": ("  label=Herz ", "label=Herz", ["neuro/Herz"]),
    "a regular expression": (
        "label=~.*-accepted",
        "label=~.*-accepted",
        ["cardio/Ageing-accepted", "neuro/Ageing-accepted"],
    ),
    "two clauses": (
        "group=neuro,label=~-accepted$",
        "group=neuro,label=~-accepted$",
        ["neuro/Ageing-accepted"],
    ),
    "a quoted value": ('label="2024"', 'label="2024"', ["cardio/2024"]),
    "an escaped comma": (r"label=Herz\, Lunge", r"label=Herz\, Lunge", ["neuro/Herz, Lunge"]),
}


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Run with each of the filters, each on a site of its own."""
    folder = tmp_path_factory.mktemp("filtered")

    def run(name: str) -> Case:
        with SimulatorServer(SimulatedSite()) as server:
            projects = {path: _add(server.site, path) for path in VISIBLE}
            projects[HIDDEN] = _add(server.site, HIDDEN, members=["somebody.else@example.org"])
            gear = gear_maker(folder / name, server)
            return Case(gear(**{"project filter": FILTERS[name][0]}).run(), server.site, projects)

    return run_together({name: partial(run, name) for name in FILTERS})


def _add(site: SimulatedSite, path: str, members: list[str] | None = None) -> str:
    group, _, label = path.partition("/")
    return site.add_project(group, label, members=members)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_names_the_batch_and_nothing_else_is_touched(
    filtered: dict[str, Case], name: str
) -> None:
    case = filtered[name]

    assert [f"{row['group_label']}/{row['project_label']}" for row in case.run.rows] == (
        FILTERS[name][2]
    )
    assert case.started == dict.fromkeys(FILTERS[name][2], 1)
    assert case.run.exit_status == 0, case.run.log


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_sent_as_it_was_written(filtered: dict[str, Case], name: str) -> None:
    asked = [request for request in filtered[name].site.requests if request.kind == "projects"]

    assert {request.query.get("filter") for request in asked} == {FILTERS[name][1]}


@pytest.mark.parametrize("name", FILTERS)
def test_the_log_says_how_many_projects_matched_which_filter(
    filtered: dict[str, Case], name: str
) -> None:
    _, sent, batch = FILTERS[name]
    said = "ALL" if sent is None else sent

    assert len(filtered[name].run.lines(" INFO ", f" {len(batch)} project", "matched", said)) == 1


def test_no_request_names_a_project_that_the_user_is_no_member_of(
    filtered: dict[str, Case],
) -> None:
    for case in filtered.values():
        asked = {request.project_id for request in case.site.requests}
        assert case.projects[HIDDEN] not in asked


# ------------------------------------------------------------------------------ a run that succeeds

LABELS = [
    "",
    "-1",
    "001",
    "1e5",
    "=SUM(A1)",
    "Frühgeborene ☃",
    "Herz, Lunge",
    "NA",
    'a "b"',
    "x\ny",
]


@pytest.fixture(scope="module")
def succeeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A run in which all goes well, on a site whose clock is seven minutes late; with `debug`."""
    site = SimulatedSite(build_seconds=(0.1, 0.3), clock_offset_seconds=-420.0)
    projects = {f"b/{label}": site.add_project("b", label) for label in reversed(LABELS)}
    projects["a/twin 2"] = site.add_project("a", "twin", "f" * 24)
    projects["a/twin 1"] = site.add_project("a", "twin", "0" * 21 + "123")
    with SimulatorServer(site) as server:
        gear = gear_maker(tmp_path_factory.mktemp("succeeded"), server)
        job = gear(**ALL, **{"snapshot batch name": "Spring, 2026", "debug": True})
        job.is_executed = True  # all that a job goes through, its imports too
        yield Case(job.run(), site, projects)


def test_a_run_in_which_every_snapshot_is_complete_ends_with_0(succeeded: Case) -> None:
    assert succeeded.run.exit_status == 0, succeeded.run.log
    assert set(succeeded.run.statuses.values()) == {"complete"}


def test_every_project_gets_one_snapshot(succeeded: Case) -> None:
    assert succeeded.started == dict.fromkeys(succeeded.projects, 1)


def test_the_report_has_the_columns_of_the_contract_first(succeeded: Case) -> None:
    header = succeeded.run.report.read_text(encoding="utf-8").split("\n", 1)[0]

    assert header.split(",")[: len(CONTRACT_COLUMNS)] == CONTRACT_COLUMNS


def test_the_report_is_sorted_by_group_then_label_then_id(succeeded: Case) -> None:
    projects = succeeded.projects

    assert [row["project_id"] for row in succeeded.run.rows] == [
        projects["a/twin 1"],
        projects["a/twin 2"],
        *(projects[f"b/{label}"] for label in sorted(LABELS)),
    ]


def test_labels_come_back_as_they_are_but_for_what_a_spreadsheet_would_run(
    succeeded: Case,
) -> None:
    guarded = ["'" + label if label[:1] in {"=", "-"} else label for label in sorted(LABELS)]

    assert [row["project_label"] for row in succeeded.run.rows] == ["twin", "twin", *guarded]


def test_every_row_names_the_batch(succeeded: Case) -> None:
    assert {row["batch_label"] for row in succeeded.run.rows} == {"Spring, 2026"}


def test_a_row_tells_the_snapshot_and_when_the_site_says_that_it_was_made(
    succeeded: Case,
) -> None:
    for row in succeeded.run.rows:
        (snapshot,) = succeeded.site.snapshots(row["project_id"])
        made = datetime.fromtimestamp(int(snapshot.created), UTC)
        assert row["snapshot_id"] == snapshot.id
        assert row["timestamp"] == made.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def test_debug_adds_nothing_to_the_output(succeeded: Case) -> None:
    assert succeeded.run.files == OUTPUT_FILES


def test_the_log_has_a_line_at_info_for_every_project_attempted(succeeded: Case) -> None:
    for project in succeeded.projects.values():
        assert succeeded.run.lines(" INFO ", f"({project})")


def test_no_label_breaks_a_line_of_the_log(succeeded: Case) -> None:
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ +\S")

    assert all(line.match(text) for text in succeeded.run.log.splitlines())


# --------------------------------------------------------------- a run that leaves something undone


@pytest.fixture(scope="module")
def undone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """The same mishaps under several configs: one snapshot fails, one is refused, one is fine."""
    configs: dict[str, dict[str, Any]] = {
        "by default": {},
        "fail on incomplete off": {"fail on incomplete": False},
        "two attempts": {"attempts per project": 2},
        "dry run": {"dry run": True, "snapshot batch name": "Plan"},
    }

    folder = tmp_path_factory.mktemp("undone")

    def run(name: str) -> Case:
        site, projects = _mishaps()
        with SimulatorServer(site) as server:
            gear = gear_maker(folder / name, server)
            return Case(gear(**ALL, **configs[name]).run(), site, projects)

    return run_together({name: partial(run, name) for name in configs})


def _mishaps() -> tuple[SimulatedSite, dict[str, str]]:
    site = SimulatedSite()
    projects = {name: site.add_project(label=name) for name in ("failing", "fine", "refused")}
    site.outcome(projects["failing"], "failed", "complete")
    site.fault(Fault("create", projects["refused"], action=refuse(403, "No rights\non it")))
    return site, projects


def test_a_run_that_leaves_a_project_incomplete_ends_with_1(undone: dict[str, Case]) -> None:
    assert undone["by default"].run.exit_status == 1, undone["by default"].run.log


def test_the_last_lines_count_by_status_and_give_each_reason(undone: dict[str, Case]) -> None:
    case = undone["by default"]

    counts, failing, refused = case.run.last_block[:3]
    assert "3 projects: 2 failed, 1 complete" in counts
    assert case.projects["failing"] in failing
    assert "the site reports that it failed" in failing
    assert case.projects["refused"] in refused
    assert "403: No rights on it" in refused


def test_a_project_that_is_refused_has_its_line_at_info_too(undone: dict[str, Case]) -> None:
    case = undone["by default"]

    assert case.run.lines(" INFO ", f"({case.projects['refused']})")


def test_a_refused_row_is_failed_without_a_snapshot_and_says_why_in_one_line(
    undone: dict[str, Case],
) -> None:
    case = undone["by default"]

    row = case.run.row(case.projects["refused"])
    assert (row["status"], row["snapshot_id"]) == ("failed", "")
    assert row["error"] == "the site says 403: No rights on it"


def test_the_output_has_the_report_and_what_goes_with_it_and_nothing_else(
    undone: dict[str, Case],
) -> None:
    for case in undone.values():
        assert case.run.files == OUTPUT_FILES


def test_with_fail_on_incomplete_off_the_same_run_ends_with_0(undone: dict[str, Case]) -> None:
    off, default = undone["fail on incomplete off"], undone["by default"]

    assert off.run.exit_status == 0, off.run.log
    assert [row["status"] for row in off.run.rows] == [row["status"] for row in default.run.rows]


def test_a_second_attempt_is_for_snapshots_that_failed_only(undone: dict[str, Case]) -> None:
    case = undone["two attempts"]

    assert case.started == {"failing": 2, "fine": 1}
    assert case.run.statuses[case.projects["failing"]] == "complete"


def test_a_dry_run_plans_the_whole_batch_and_starts_nothing(undone: dict[str, Case]) -> None:
    case = undone["dry run"]

    assert case.run.exit_status == 0, case.run.log
    assert case.started == {}
    rows = [(row["status"], row["snapshot_id"], row["batch_label"]) for row in case.run.rows]
    assert rows == [("planned", "", "Plan")] * 3


# ------------------------------------------------------------------------------------ many projects


def test_a_batch_of_several_pages_has_every_project_once(
    served: SimulatorServer, gear: MakeGear
) -> None:
    projects = [served.site.add_project(label=f"Study {number}") for number in range(600)]

    run = gear(**ALL, **{"dry run": True}).run()

    assert run.lines(" INFO ", "600 projects matched", "ALL"), run.log
    assert sorted(row["project_id"] for row in run.rows) == sorted(projects)
    pages = [request for request in served.site.requests if request.kind == "projects"]
    assert len(pages) == 4  # 250, 250, 100 and the empty one that ends the list
