"""The batch's records during a run, and when their report is saved."""

import logging
import shutil
import time
from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.errors import OutputError
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.reporter import BatchReport
from tests.support.time import FakeClock

# A report is due after so long, or after a hundred times what writing the last one took.
DUE_SECONDS = 4.0
SHARE = 100.0


def record(number: int, status: str = "pending", label: str = "Study") -> SnapshotRecord:
    project = Project(f"{number:024x}", label, "neuro")
    return SnapshotRecord(project, "5" * 24, None, "", status)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


@pytest.fixture
def batch(output: Path, clock: FakeClock) -> BatchReport:
    """Three projects, whose report was saved twice and is not due."""
    batch = BatchReport([record(number) for number in range(3)], output, clock)
    batch.save()
    batch.save()
    return batch


def update(batch: BatchReport, after: SnapshotRecord) -> None:
    """What a run does after each step."""
    batch.update(after)
    batch.save_if_due()


def statuses(output: Path) -> list[str]:
    """What the report on disk says."""
    return [row.status for row in csv_report.read(output / csv_report.REPORT_NAME)]


def save_seconds(batch: BatchReport) -> float:
    """Save the report; returns how long that took, or a little more."""
    began = time.perf_counter()
    batch.save()
    return time.perf_counter() - began


def due_seconds(batch: BatchReport) -> float:
    """Save the report; returns when it is due again, or a little later."""
    return max(DUE_SECONDS, SHARE * save_seconds(batch))


def large(output: Path, clock: FakeClock) -> BatchReport:
    """A batch so large that writing its report, which was done once, decides when it is due."""
    count = 1_000
    while True:
        batch = BatchReport([record(number) for number in range(count)], output, clock)
        if save_seconds(batch) > 3 * DUE_SECONDS / SHARE:
            return batch
        count *= 2


def test_a_save_writes_every_project(batch: BatchReport, output: Path) -> None:
    update(batch, record(1, "complete"))
    batch.save()
    assert statuses(output) == ["pending", "complete", "pending"]


def test_a_save_returns_the_reports_path(batch: BatchReport, output: Path) -> None:
    assert batch.save() == output / csv_report.REPORT_NAME


def test_a_report_that_was_never_saved_is_due(output: Path, clock: FakeClock) -> None:
    update(BatchReport([record(0)], output, clock), record(0, "complete"))
    assert statuses(output) == ["complete"]


def test_an_update_is_not_saved_before_it_is_due(
    batch: BatchReport, output: Path, clock: FakeClock
) -> None:
    clock.seconds += DUE_SECONDS - 0.001
    update(batch, record(0, "complete"))
    assert statuses(output) == ["pending"] * 3


def test_an_update_is_saved_once_it_is_due_with_all_before_it(
    batch: BatchReport, output: Path, clock: FakeClock
) -> None:
    seconds = due_seconds(batch)
    update(batch, record(0, "complete"))
    clock.seconds += seconds
    update(batch, record(1, "failed"))
    assert statuses(output) == ["complete", "failed", "pending"]


def test_after_a_save_the_report_is_not_due_again_at_once(
    batch: BatchReport, output: Path, clock: FakeClock
) -> None:
    clock.seconds += due_seconds(batch)
    update(batch, record(0, "complete"))
    update(batch, record(1, "complete"))
    assert statuses(output) == ["complete", "pending", "pending"]


def test_saving_takes_a_hundredth_of_the_time_at_the_most(output: Path, clock: FakeClock) -> None:
    batch = large(output, clock)
    took = save_seconds(batch)
    clock.seconds += SHARE / 2 * took
    update(batch, record(0, "complete"))
    assert "complete" not in statuses(output)


def test_a_first_save_that_takes_long_puts_nothing_off(output: Path, clock: FakeClock) -> None:
    batch = large(output, clock)
    clock.seconds += DUE_SECONDS
    update(batch, record(0, "complete"))
    assert "complete" in statuses(output)


def test_a_save_that_fails_in_between_stops_nothing_and_is_logged(
    batch: BatchReport, output: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.seconds += due_seconds(batch)
    shutil.rmtree(output)
    update(batch, record(0, "complete"))
    assert batch.records == [record(0, "complete"), record(1), record(2)]
    assert [entry.levelno for entry in caplog.records] == [logging.WARNING]
    assert "can't be written" in caplog.text


def test_a_save_that_failed_is_tried_again_when_it_is_due(
    batch: BatchReport, output: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.seconds += due_seconds(batch)
    shutil.rmtree(output)
    update(batch, record(0, "complete"))
    update(batch, record(1, "complete"))
    assert len(caplog.records) == 1
    output.mkdir()
    clock.seconds += DUE_SECONDS
    update(batch, record(2, "complete"))
    assert statuses(output) == ["complete"] * 3


def test_a_save_that_was_asked_for_tells_that_it_failed(batch: BatchReport, output: Path) -> None:
    shutil.rmtree(output)
    with pytest.raises(OutputError):
        batch.save()


def test_an_update_replaces_its_projects_record_only(batch: BatchReport) -> None:
    update(batch, record(1, "complete"))
    assert batch.records == [record(0), record(1, "complete"), record(2)]


def test_records_are_in_the_reports_order(output: Path, clock: FakeClock) -> None:
    rows = [record(1, label="b"), record(2, label="a"), record(0, label="b")]
    batch = BatchReport(rows, output, clock)
    assert batch.records == [rows[1], rows[2], rows[0]]
