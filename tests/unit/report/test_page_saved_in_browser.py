"""What the page saves in a real Chromium is a report, cell by cell."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from tests.support.browser import BATCHES, in_browser

pytestmark = in_browser


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Page, str], Path]:
    """Press a button of the page, and return the file that it saves."""

    def press(shown: Page, button: str) -> Path:
        with shown.expect_download() as download:
            shown.get_by_role("button", name=button).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    return press


def reported(name: str, folder: Path) -> tuple[list[SnapshotRecord], str]:
    """The rows of the batch's own report, and its text."""
    path = csv_report.write(BATCHES[name], folder)
    return csv_report.read(path), path.read_bytes().decode()


@pytest.mark.parametrize("name", ["5000", "300", "unlinked", "dry run"])
def test_what_is_saved_whole_is_the_report(
    show: Callable[..., Page], save: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    saved = save(show(name), "As it is")

    assert saved.name == "snapshot_report_shown.csv"
    assert saved.read_bytes().decode() == reported(name, tmp_path)[1]


def test_odd_cells_are_saved_as_the_report_has_them(
    show: Callable[..., Page], save: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever is in them; also the guard that keeps a spreadsheet from seeing a formula."""
    saved = save(show("odd cells"), "As it is")

    assert csv_report.read(saved) == reported("odd cells", tmp_path)[0]
    assert "\n'=1+1," in saved.read_bytes().decode()


def test_what_the_filter_hides_is_not_saved(
    show: Callable[..., Page], save: Callable[..., Path], tmp_path: Path
) -> None:
    shown = show("300")
    shown.get_by_label("Status", exact=True).select_option("Not complete")
    rows, _ = reported("300", tmp_path)
    unfinished = [row for row in rows if not row.is_complete]

    assert csv_report.read(save(shown, "As it is")) == unfinished

    planned = save(shown, "As planned")
    assert planned.name == "snapshot_report_planned.csv"
    assert csv_report.read(planned) == [replace(row, status="planned") for row in unfinished]


def test_sorting_changes_nothing_of_what_is_saved(
    show: Callable[..., Page], save: Callable[..., Path], tmp_path: Path
) -> None:
    shown = show("300")
    shown.locator("#table thead button").nth(2).click()

    assert csv_report.read(save(shown, "As it is")) == reported("300", tmp_path)[0]


def test_where_nothing_is_shown_nothing_is_saved(show: Callable[..., Any]) -> None:
    shown = show("300", at="#words=nothing-is-called-that")

    expect(shown.get_by_role("button", name="As it is")).to_be_disabled()
    expect(shown.get_by_role("button", name="As planned")).to_be_disabled()
