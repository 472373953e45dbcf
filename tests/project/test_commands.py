"""Every command in the README, the FAQ and CONTRIBUTING.md runs, as it stands there.

Those of docs/restoring.md have tests of their own, as have the nightly script and the demo. Only
what uploads the gear is not run: it takes Flywheel's command line, Docker and a site.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel_site_simulator import DEFAULT_KEY, Fault, SimulatedSite, SimulatorServer, answer_with
from fw_gear_sitewide_snapshot.errors import NothingFoundError
from tests.support.gear import REPORT, MakeGear, RunHere
from tests.support.repository import ROOT, read
from tests.support.time import FakeClock

RESTORING = "docs/restoring.md"  # for test_restoring.py
UPLOAD = ['fw-beta login --api-key "$FW_API_KEY"', "fw-beta gear build", "fw-beta gear upload"]


def blocks(name: str, language: str) -> list[str]:
    """The document's blocks of code in a language, in order."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)
    return [str(block) for block in found]


def test_only_these_documents_have_commands() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    names = {str(path.relative_to(ROOT)) for path in documents}

    assert {name for name in names if blocks(name, "sh")} == {
        "README.md",
        "FAQ.md",
        "CONTRIBUTING.md",
        RESTORING,
    }
    assert {name for name in names if blocks(name, "python")} <= {RESTORING}


def test_the_readme_says_that_its_commands_were_not_tried() -> None:
    [block] = blocks("README.md", "sh")

    assert block.splitlines() == UPLOAD
    assert "not tried here" in read("README.md").partition(block)[2].partition("\n## ")[0]


# ------------------------------------------------------------------------------------------ filters

# What each filter finds in the site below, by the projects' names.
FOUND = {
    "ALL": {"2024", "2024-b", "Atlas", "Lung", "New", "Number", "Other", "Ready"},
    "group=mygroup": {"2024", "2024-b"},
    'label="Tumour atlas"': {"Atlas"},
    "group=mygroup,label=~-accepted$": {"2024-b"},
    "tags=ready": {"Ready"},
    "created>=2026-01-01": {"New"},
    'label="2024"': {"2024"},
    "label=Tumour atlas": {"Atlas"},
    "label=Herz\\, Lunge": {"Lung"},
    "label=~^2024": {"2024", "2024-b"},
    "group=cardio": {"Atlas", "Lung"},
    "group=~^(cardio|2024)$": {"Atlas", "Lung", "Number"},
    "group!=cardio": {"2024", "2024-b", "New", "Number", "Other", "Ready"},
}


def filters() -> list[str]:
    """The filters that the documents show; what stands behind several blanks explains them."""
    lines = blocks("README.md", "text")[0] + blocks("FAQ.md", "text")[0]
    return [line.partition("   ")[0] for line in lines.splitlines()]


@pytest.fixture
def labelled(simulated: SimulatedSite, clock: FakeClock) -> dict[str, str]:
    """Make projects for the filters; gives their names by their ids."""
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    clock.seconds = (new_year - clock.now()).total_seconds() - 1
    projects = {
        simulated.add_project("mygroup", "2024"): "2024",
        simulated.add_project("mygroup", "2024-accepted"): "2024-b",
        simulated.add_project("cardio", "Tumour atlas"): "Atlas",
        simulated.add_project("cardio", "Herz, Lunge"): "Lung",
        simulated.add_project("2024", "001"): "Number",
        simulated.add_project("2024-old", "001"): "Other",
        simulated.add_project("neuro", "Ready", tags=("ready",)): "Ready",
    }
    clock.seconds += 1
    return {**projects, simulated.add_project("neuro", "New"): "New"}


def test_each_filter_of_the_documents_is_tried() -> None:
    assert set(filters()) == set(FOUND)


@pytest.mark.parametrize("shown", FOUND)
def test_a_filter_finds_what_the_documents_say(
    run_here: RunHere, labelled: dict[str, str], shown: str
) -> None:
    found = run_here(project_filter=None if shown == "ALL" else shown, dry_run=True)

    assert {labelled[project] for project in found} == FOUND[shown]


def test_a_number_without_quotes_is_no_label(run_here: RunHere, labelled: dict[str, str]) -> None:
    assert "2024" in labelled.values()
    with pytest.raises(NothingFoundError):
        run_here(project_filter="label=2024", dry_run=True)


# -------------------------------------------------------------- the FAQ's commands for one snapshot


@pytest.fixture
def environment(tmp_path: Path, served: SimulatorServer) -> dict[str, str]:
    """Make what the commands need: a snapshot that is complete, its ids, and the key."""
    project = served.site.add_project(subjects=3)
    snapshot = served.site.add_snapshot(project)
    host = served.url.removeprefix("http://")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "FW_API_KEY": f"{host}:{DEFAULT_KEY}",
        "PROJECT_ID": project,
        "SNAPSHOT_ID": snapshot,
    }


def follow(number: int, environment: dict[str, str]) -> str:
    """Run a block of the FAQ, over plain HTTP as the simulated site has no other."""
    missing = [tool for tool in ("curl", "gunzip", "sqlite3") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")
    block = blocks("FAQ.md", "sh")[number].replace("https://", "http://")
    run = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=environment["HOME"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_faq_has_three_commands_for_the_site() -> None:
    assert len(blocks("FAQ.md", "sh")) == 3


def test_a_project_s_snapshots_are_listed(environment: dict[str, str]) -> None:
    listed = json.loads(follow(0, environment))

    assert [snapshot["_id"] for snapshot in listed] == [environment["SNAPSHOT_ID"]]


def test_the_request_to_delete_is_the_site_s_own(
    served: SimulatorServer, environment: dict[str, str]
) -> None:
    served.site.fault(Fault(kind=None, action=answer_with({}, work=False)))

    follow(1, environment)

    path = "/snapshot/projects/{PROJECT_ID}/snapshots/{SNAPSHOT_ID}".format_map(environment)
    assert [(asked.method, asked.path) for asked in served.site.requests] == [("DELETE", path)]


def test_a_snapshot_is_fetched_and_opened(environment: dict[str, str]) -> None:
    lines = follow(2, environment).splitlines()

    assert [json.loads(line)["_id"] != "" for line in lines] == [True] * 3


# ------------------------------------------------------------------- reports, as the FAQ edits them


@pytest.mark.process
def test_without_the_column_of_checksums_complete_rows_are_fetched_again_and_none_is_started(
    served: SimulatorServer, gear: MakeGear, tmp_path: Path
) -> None:
    for label in ("One", "Two"):
        served.site.add_project(label=label)
    first = gear(**{"project filter": "ALL", "download snapshots": True}).run()
    edited = tmp_path / "edited.csv"
    with edited.open("w", newline="") as file:
        columns = [name for name in first.rows[0] if name != "sha256"]
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(first.rows)

    again = gear(**{"download snapshots": True}).run(edited)

    assert again.exit_status == 0, again.log
    assert "snapshots.zip" in again.files
    assert again.rows == first.rows
    assert served.site.creates() == 2


# ------------------------------------------------------------------- CONTRIBUTING.md: the simulator


@pytest.fixture
def simulator() -> Iterator[str]:
    """Start the simulator as CONTRIBUTING.md says; gives what it prints."""
    command = here(blocks("CONTRIBUTING.md", "sh")[0])
    with subprocess.Popen(
        ["sh", "-c", f"exec {command}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "}\n":
                break
        yield said
        process.terminate()


def here(command: str) -> str:
    return command.replace(".venv/bin/python", sys.executable)


@pytest.mark.process
def test_the_gear_runs_against_the_simulator_as_contributing_says(
    simulator: str, tmp_path: Path
) -> None:
    for name in ("run.py", "manifest.json", "fw_gear_sitewide_snapshot"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config.json").write_text(simulator[simulator.index("{") :])

    run = subprocess.run(
        ["sh", "-c", here(blocks("CONTRIBUTING.md", "sh")[1])],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.stdout.splitlines()[-1] == "exit status: 1", run.stdout + run.stderr
    assert (tmp_path / "output" / REPORT).is_file()
