"""A batch's own files are copied, and the log names those that were."""

import logging
from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.download.copies import Copies
from fw_gear_sitewide_snapshot.download.copying import copy_batch
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.reporter import BatchReport
from tests.support.direct import InTurn
from tests.support.time import FakeClock


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("", "snapshot_report.csv and the checksums"),
        ("<html>", "snapshot_report.csv, snapshot_report.html and the checksums"),
    ],
)
def test_the_log_names_what_was_copied_and_no_page_that_was_not_made(
    clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, page: str, named: str
) -> None:
    caplog.set_level(logging.INFO)
    output, place = tmp_path / "output", tmp_path / "place"
    for folder in (output, place):
        folder.mkdir()
    record = SnapshotRecord(Project("5" * 24, "Study", "neuro"), status="failed")
    report = BatchReport([record], output, clock)
    report.save()
    if page:
        (output / "snapshot_report.html").write_text(page)
    copies = Copies(ObjectStore(f"file://{place}", {}), "site.example.org", clock)

    assert copy_batch(copies, report, clock.now(), InTurn(clock), clock)

    [told] = [line for line in caplog.messages if "checksums" in line]
    assert told.startswith(named)
    assert len(list(place.rglob("snapshot_report.html"))) == bool(page)
