"""What the platform is told of the report: valid by the engine's schema, and about the output."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flywheel_gear_toolkit.interfaces import engine_metadata

from fw_gear_sitewide_snapshot import __version__
from fw_gear_sitewide_snapshot.models import Project, SnapshotContent, SnapshotRecord
from fw_gear_sitewide_snapshot.parser import GearConfig
from fw_gear_sitewide_snapshot.report.changes import Changes, Loss
from fw_gear_sitewide_snapshot.report.metadata import (
    TAG_COMPLETE,
    TAG_INCOMPLETE,
    TAG_LOST,
    file_metadata,
)
from fw_gear_sitewide_snapshot.report.summary import Summary
from tests.support.config import gear_config
from tests.support.repository import read

CONFIG = gear_config(project_filter="group=neuro")


def record(status: str = "complete", number: int = 0, **values: Any) -> SnapshotRecord:
    project = Project(f"{number:024x}", "Study", "neuro")
    return SnapshotRecord(project, "5" * 24, status=status, batch_label="nightly", **values)


def result(summary: Summary, config: GearConfig = CONFIG) -> dict[str, Any]:
    info = file_metadata(summary, config, "job")["info"]
    found: dict[str, Any] = info["qc"]["sitewide-snapshot"]["snapshots"]
    return found


@pytest.mark.parametrize(
    ("status", "state", "tag"),
    [
        ("complete", "PASS", "snapshots-complete"),
        ("failed", "FAIL", "snapshots-incomplete"),
        ("in_progress", "FAIL", "snapshots-incomplete"),
        ("archiving", "FAIL", "snapshots-incomplete"),
    ],
)
def test_only_a_complete_batch_passes(status: str, state: str, tag: str) -> None:
    summary = Summary.of([record(), record(status, 1)])

    assert result(summary)["state"] == state
    assert file_metadata(summary, CONFIG, "job")["tags"] == [tag]


def test_a_dry_run_neither_passes_nor_fails_and_has_no_tag_that_a_rule_could_take_up() -> None:
    config = gear_config(project_filter=None, dry_run=True)
    summary = Summary.of([record("planned")])

    assert result(summary, config)["state"] == "NA"
    assert file_metadata(summary, config, "job")["tags"] == []


def test_it_tells_counts_batch_filter_and_version() -> None:
    told = result(Summary.of([record(), record("failed", 1), record(number=2)]))

    assert told["counts"] == {"complete": 2, "failed": 1}
    assert (told["projects"], told["not complete"]) == (3, 1)
    assert (told["batch"], told["filter"]) == ("nightly", "group=neuro")
    assert told["gear version"] == __version__


def test_a_retry_names_the_report_instead_of_the_filter() -> None:
    config = gear_config(project_filter="ALL", retry_report=Path("input/snapshot_report.csv"))

    assert result(Summary.of([record()]), config)["filter"] == "(the report snapshot_report.csv)"


def test_it_tells_what_all_leaves_out() -> None:
    hidden = (Project("a" * 24, "x", "zoo"), Project("b" * 24, "y", "zoo"))

    told = result(Summary.of([record()], hidden=hidden))

    assert told["projects not visible"] == 2
    assert told["groups not visible"] == ["zoo"]


def test_it_says_nothing_of_what_is_not_known() -> None:
    assert "projects not visible" not in result(Summary.of([record()]))


def test_it_sums_what_was_fetched() -> None:
    content = SnapshotContent(1000, "a" * 64, 1, 2, 3, 4)

    told = result(Summary.of([record(content=content), record(number=1, content=content)]))

    assert told["fetched"] == 2
    assert told["fetched size_bytes"] == 2000
    assert [told[f"fetched {name}"] for name in ("subjects", "sessions", "files")] == [2, 4, 8]


def test_a_batch_that_was_to_be_fetched_and_was_not_does_not_pass() -> None:
    summary = Summary.of([record(error="download failed: 404")], to_fetch=True)

    assert result(summary)["state"] == "FAIL"


def test_it_sums_what_was_copied_and_what_was_to_be_copied_and_was_not_does_not_pass() -> None:
    held = SnapshotContent(1000, "0" * 64, 1, 2, 3, 4)
    copied = record(content=held, copied_to="s3://bucket/neuro/a/b.db.gz")
    config = replace(CONFIG, copy_to="s3://bucket")

    whole = result(Summary.of([copied], copy_to="s3://bucket"), config)
    partial = result(Summary.of([copied, record(number=1)], copy_to="s3://bucket"), config)

    assert (whole["state"], whole["copied"], whole["copied to"]) == ("PASS", 1, "s3://bucket")
    assert whole["copied size_bytes"] == 1000
    assert (partial["state"], partial["copied"], partial["not complete"]) == ("FAIL", 1, 1)
    assert "copied" not in result(Summary.of([record()]))


def named(label: str) -> Project:
    return Project("a" * 24, label, "neuro")


CHANGES = Changes(
    gone=(named("Old"),),
    new=(named("New"), named("Newer")),
    renamed=((named("Before"), named("Now")),),
    fewer=(
        Loss(named("Less"), (("files", 10, 5),), 0.5),
        Loss(named("x"), (("files", 99, 98),), 0.01),
    ),
    compared=7,
)


def test_it_tells_what_has_changed_since_an_earlier_report() -> None:
    told = result(Summary.of([record()], changes=CHANGES))

    assert told["gone"] == 1
    assert told["new"] == 2
    assert told["renamed"] == 1
    assert told["fewer"] == 2
    assert told["lost"] == 1
    assert told["contents compared"] == 7
    assert told["gone projects"] == ["neuro/Old"]
    assert told["new projects"] == ["neuro/New", "neuro/Newer"]
    assert told["renamed projects"] == ["neuro/Before → neuro/Now"]
    assert told["fewer projects"][0] == "neuro/Less: 5 files of 10 (50 % fewer)"


def test_it_names_no_more_than_can_be_read_and_counts_them_all() -> None:
    gone = tuple(named(f"{number}") for number in range(5000))

    told = result(Summary.of([record()], changes=Changes(gone=gone)))

    assert told["gone"] == 5000
    assert told["gone projects"] == [f"neuro/{number}" for number in range(20)]


def test_it_says_of_no_change_that_there_is_none_and_of_no_earlier_report_nothing() -> None:
    told = result(Summary.of([record()], changes=Changes()))

    assert (told["gone"], told["new"], told["renamed"], told["fewer"]) == (0, 0, 0, 0)
    assert "gone projects" not in told
    assert "gone" not in result(Summary.of([record()]))


@pytest.mark.parametrize(
    ("status", "tag"), [("complete", TAG_COMPLETE), ("failed", TAG_INCOMPLETE)]
)
def test_a_loss_has_a_tag_of_its_own_and_leaves_the_state_to_the_rows(
    status: str, tag: str
) -> None:
    summary = Summary.of([record(status)], changes=CHANGES)

    assert file_metadata(summary, CONFIG, "job")["tags"] == [tag, TAG_LOST]
    assert result(summary)["state"] == ("PASS" if status == "complete" else "FAIL")


@pytest.mark.parametrize(
    "changes", [None, Changes(), Changes(new=CHANGES.new, fewer=CHANGES.fewer[1:])]
)
def test_no_loss_has_no_tag(changes: Changes | None) -> None:
    summary = Summary.of([record()], changes=changes)

    assert file_metadata(summary, CONFIG, "job")["tags"] == [TAG_COMPLETE]


@pytest.mark.parametrize("hours", [0.0, 20.0])
def test_a_dry_run_or_an_audit_has_no_tag_for_a_loss_either(hours: float) -> None:
    config = gear_config(dry_run=True, reuse_hours=hours)
    summary = Summary.of([record("planned")], changes=CHANGES)

    assert file_metadata(summary, config, "job")["tags"] == []
    assert result(summary, config)["gone"] == 1


def test_it_is_valid_by_the_engine_s_schema() -> None:
    content = SnapshotContent(1000, "a" * 64, 1, 2, 3, 4)
    rows = [record(content=content), record("failed", 1)]
    summary = Summary.of(rows, hidden=(), changes=CHANGES)

    file = {"name": "snapshot_report.csv", **file_metadata(summary, CONFIG, "job")}

    jsonschema.validate({"project": {"files": [file]}}, engine_metadata)


def test_it_says_when_the_batch_began_and_ended_and_how_long_it_took() -> None:
    begin = datetime(2026, 1, 31, 12, tzinfo=UTC)
    made = record(origin="started", timestamp=begin, finished_at=begin + timedelta(minutes=2))

    told = result(Summary.of([made]))

    assert (told["begin"], told["end"], told["seconds"]) == (
        "2026-01-31T12:00:00+00:00", "2026-01-31T12:02:00+00:00", 120.0,
    )  # fmt: skip
    none = result(Summary.of([record("failed")]))
    assert (none["begin"], none["end"], none["seconds"]) == ("", "", None)


def test_the_page_on_the_qc_result_names_every_field() -> None:
    content = SnapshotContent(1000, "a" * 64, 1, 2, 3, 4)
    hidden = (Project("f" * 24, "x", "g"),)
    told = result(Summary.of([record(content=content)], hidden=hidden, changes=CHANGES))
    page = read("docs/qc-result.md")

    assert {name for name in told if f"`{name}`" not in page} == set()
