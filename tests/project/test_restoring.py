"""docs/restoring.md: every command on the page is run, as it stands there.

Against an archive that the downloader has made of a simulated site's snapshots, and copies that it
has sent to a server that speaks S3. What needs fw-dataset is run where that is installed: with the
other clients.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from flywheel_site_simulator.content import counts
from fw_gear_sitewide_snapshot.download.copies import Copies
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.errors import ConfigError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.direct import DirectTransport, InTurn
from tests.support.downloads import fetch_all
from tests.support.object_store import BUCKET, ObjectStoreServer, served_store
from tests.support.repository import read
from tests.support.time import FakeClock

PAGE = "docs/restoring.md"
COPIES = "docs/copies.md"
TOOLS = ("sh", "unzip", "sha256sum", "gunzip", "sqlite3")

# What each command block says or leaves, in the page's order: a part of it.
EXPECTED = (
    "snapshot_report.csv: OK",
    "snapshot.db",
    "Z-Nightly/",
    "snapshot.db",
    "snapshot_report.csv: OK",
    "snapshot_report.csv: OK",
    "sub-003\n",
    "$.parents.subject",
    "files.csv",
    "parents.subject",
    "Tumour atlas",
    "completed None",
)


@dataclass(frozen=True)
class Block:
    """A block of commands on the page."""

    language: str
    commands: str


def blocks() -> list[Block]:
    """The page's commands, in order, without those for fw-dataset."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", read(PAGE), re.MULTILINE | re.DOTALL)
    told = [Block(language, commands) for language, commands in found if language != "text"]
    return [block for block in told if "fw_dataset" not in block.commands]


@dataclass(frozen=True)
class Followed:
    """What came of following the page to its end."""

    said: list[str]
    folder: Path
    site: SimulatedSite
    record: SnapshotRecord

    def after(self, words: str) -> str:
        """Return what the one block that holds these words has said."""
        [said] = [
            said for block, said in zip(blocks(), self.said, strict=True) if words in block.commands
        ]
        return said


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("restoring")
    clock = FakeClock()
    site = SimulatedSite(clock.unix)
    with served_store() as store, SimulatorServer(site) as server:
        copies = Copies(
            ObjectStore(f"s3://{BUCKET}/a site", store.credentials()), "site.example.org", clock
        )
        record, batch = archived_and_copied(site, clock, folder, copies)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **access(store),
            "COPIES": copies.url,
            "BATCH": batch,
            "FW_API_KEY": server.api_key(),
            "PROJECT_ID": record.project.id,
            "SNAPSHOT_ID": record.snapshot_id,
        }
        said = [run(block, folder, environment) for block in blocks()]
    return Followed(said, folder, site, record)


def access(store: ObjectStoreServer) -> dict[str, str]:
    """Return the variables with which Amazon's tools get into a store."""
    credentials = store.credentials()
    return {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": credentials["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": credentials["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": credentials["region"],
    }


def archived_and_copied(
    site: SimulatedSite, clock: FakeClock, folder: Path, copies: Copies
) -> tuple[SnapshotRecord, str]:
    """Let the downloader make snapshots.zip in the folder, and copies.

    Returns:
        The page's project, and the name of the batch's folder.
    """
    records = []
    for label in ("Tumour atlas", "Another"):
        project = site.add_project("cardio", label, subjects=3, sessions_per_subject=2)
        snapshot = site.add_snapshot(project)
        records.append(
            SnapshotRecord(
                Project(project, label, "cardio"),
                snapshot,
                status="complete",
                batch_label="Nightly",
            )
        )
    after = {record.project.id: record for record in records}
    fetch_all(
        records,
        told=after,
        copies=copies,
        site=Site(DirectTransport(site, clock), clock),
        workers=InTurn(clock),
        clock=clock,
        work=folder,
        output=folder,
    )
    assert [path.name for path in folder.iterdir()] == ["snapshots.zip"]
    report = csv_report.write(after.values(), folder)
    there = copies.put_batch([report], list(after.values()), clock.now())
    report.unlink()
    return records[0], there.rpartition("/")[2]


def run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """Run a block as a person would; gives what it says."""
    program = ["sh", "-e", "-c"] if block.language == "sh" else [sys.executable, "-c"]
    result = subprocess.run(
        [*program, block.commands],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, f"{block.commands}\n{result.stderr}"
    made = " ".join(path.name for path in folder.iterdir()) if not result.stdout else ""
    return result.stdout + made


def test_each_block_is_of_a_language_that_is_run() -> None:
    assert {block.language for block in blocks()} == {"sh", "python"}
    assert len(blocks()) == len(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_each_command_of_the_page_does_what_it_says(followed: Followed, number: int) -> None:
    assert EXPECTED[number] in followed.said[number]


def test_the_checksums_are_good_for_every_file_of_the_archive(followed: Followed) -> None:
    assert followed.said[0].count(": OK\n") == 3


def test_the_copies_are_what_is_in_the_archive(followed: Followed) -> None:
    ids = followed.record.project.id, followed.record.snapshot_id
    [archived] = followed.folder.glob("snapshots/cardio/Tumour atlas/*.db.gz")
    copy = followed.folder.joinpath("copies", "cardio", *ids).with_suffix(".db.gz")

    assert f"{ids[1]}.db.gz" in followed.after("--human-readable")
    assert copy.read_bytes() == archived.read_bytes()


@pytest.mark.parametrize("words", ["aws s3 sync", "while read"])
def test_the_checksums_are_good_for_every_file_of_the_batch(followed: Followed, words: str) -> None:
    assert followed.after(words).count(": OK\n") == 3
    assert "FAILED" not in followed.after(words)


def test_each_example_of_credentials_is_taken() -> None:
    examples = [
        json.loads(block)
        for block in re.findall(r"^```json\n(.*?)^```$", read(COPIES), re.MULTILINE | re.DOTALL)
    ]

    assert len(examples) == 3
    for example in examples:
        url = "az://container/prefix" if "account_name" in example else "s3://bucket/prefix"
        assert ObjectStore(url, example).url == url
        with pytest.raises(ConfigError):
            ObjectStore(url, example | {"acount": "misspelt"})


def test_the_files_that_the_page_lists_are_those_that_a_person_counts(followed: Followed) -> None:
    with (followed.folder / "files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == counts(3, 2).files
    assert {tuple(row.values()) for row in rows} >= {
        ("project", "", "", "", "", "protocol.pdf"),
        ("subject", "sub-001", "", "", "", "consent.pdf"),
        ("session", "sub-001", "ses-02", "", "", "notes.txt"),
        ("acquisition", "sub-001", "ses-02", "acq-01", "", "image-01.nii.gz"),
        ("analysis", "sub-001", "ses-02", "", "Volumes", "volumes.html"),
    }
    assert not {row["subject"] for row in rows} - {"", "sub-001", "sub-002", "sub-003"}


def test_the_report_of_the_archive_counts_the_same(followed: Followed) -> None:
    with (followed.folder / "snapshots" / "snapshot_report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["files"] for row in rows] == [str(counts(3, 2).files)] * 2


def test_deleted_subjects_are_not_listed(followed: Followed) -> None:
    assert "sub-003" in followed.after("SELECT json_extract(data, '$.label') FROM subject\nWHERE")
    assert "sub-004" not in followed.after(
        "SELECT json_extract(data, '$.label') FROM subject\nWHERE"
    )


def test_the_copy_is_one_request_and_a_new_project(followed: Followed) -> None:
    asked = [(request.method, request.path) for request in followed.site.requests]
    told = re.match(r"new project: ([0-9a-f]{24}) made from snapshot: (\S+)\n", followed.said[-1])

    assert asked.count(("POST", f"/api/projects/{followed.record.project.id}/copy")) == 1
    assert told
    assert told[1] != followed.record.project.id
    assert told[2] == followed.record.snapshot_id


def test_the_page_says_what_the_sdk_has() -> None:
    import flywheel  # noqa: PLC0415  the package's own settings come first

    statuses = {str(status) for status in flywheel.CopyStatus}
    inputs = set(flywheel.ProjectCopyInput.swagger_types)
    outputs = set(flywheel.ProjectCopyOutput.swagger_types)

    assert statuses == {"static", "scheduled", "copying", "completed", "failed"}
    assert inputs == {"group_id", "project_label", "snapshot_id", "filter"}
    assert outputs == {"task_id", "snapshot_id", "project_id"}
    assert flywheel.CopyFilter().exclude_empty_containers is True
    assert {"copyable", "copy_status", "copy_failure_reason"} <= set(
        flywheel.ProjectOutput.swagger_types
    )
