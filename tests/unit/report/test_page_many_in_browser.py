"""The page of more rows than are shown at once, in a real Chromium: all can be reached."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.report.page_table import MOST_AT_ONCE as AT_ONCE
from tests.support.browser import BATCHES, ROWS, cells, eventually, head, in_browser

pytestmark = in_browser

ALL = len(BATCHES["many"])
LATER = len(BATCHES["last ones"])
HTML = """rows => rows.map(row => row.outerHTML.replace(' class=""', ''))"""


def test_the_first_rows_are_shown_and_the_others_when_asked_for(show: Callable[..., Page]) -> None:
    shown = show("many")
    more = shown.get_by_role("button", name="Show more")

    eventually(lambda: len(cells(shown, 0)), AT_ONCE)
    expect(shown.get_by_role("status")).to_have_text(
        f"{ALL:,} of {ALL:,} projects found, the first {AT_ONCE:,} shown"
    )
    for media in ("print", "screen"):  # it is told on paper, too
        shown.emulate_media(media=media)
        expect(shown.get_by_text(f"The first {AT_ONCE:,} of {ALL:,} are shown.")).to_be_visible()
        expect(more).to_be_visible(visible=media == "screen")

    more.click()
    eventually(lambda: len(cells(shown, 0)), ALL)
    expect(shown.get_by_role("status")).to_have_text(f"{ALL:,} of {ALL:,} projects shown")
    expect(more).to_be_hidden()

    shown.get_by_label("Status", exact=True).select_option("Not complete")
    shown.get_by_label("Status", exact=True).select_option("Any")
    eventually(lambda: len(cells(shown, 0)), AT_ONCE)


def test_rows_that_are_made_later_are_as_those_that_come_with_the_page(
    show: Callable[..., Page],
) -> None:
    few, many = show("last ones"), show("many")
    expected = few.eval_on_selector_all("#table tbody tr", HTML)

    many.get_by_role("button", name="Show more").click()

    eventually(lambda: many.eval_on_selector_all("#table tbody tr", HTML)[-LATER:], expected)
    assert "Sitewide Snapshot" in many.title()


def test_every_row_is_found_and_sorted(show: Callable[..., Page]) -> None:
    shown = show("many")
    words = shown.get_by_label("Filter", exact=True)

    words.fill(f"{10_000 + 13:024x}")  # the project's id
    expect(shown.locator(ROWS)).to_have_count(1)
    eventually(lambda: cells(shown, 1), ["same"])
    words.fill("")
    expect(shown.get_by_text("are shown.")).to_be_visible()

    head(shown, "Group").click()
    eventually(lambda: cells(shown, 0)[0].startswith("cardio"), True)
    head(shown, "Group").click()
    eventually(lambda: cells(shown, 0)[0].startswith(f"z{LATER - 1}"), True)
    expect(shown.get_by_role("status")).to_have_text(
        f"{ALL:,} of {ALL:,} projects found, the first {AT_ONCE:,} shown, by group, last first"
    )
    shown.get_by_label("Status", exact=True).select_option("Not complete")
    eventually(lambda: len(cells(shown, 0)), sum(not made.is_complete for made in BATCHES["many"]))
    expect(shown.get_by_text("are shown.")).to_be_hidden()


def test_rows_that_are_not_shown_are_saved(show: Callable[..., Page], tmp_path: Path) -> None:
    shown = show("many")
    with shown.expect_download() as download:
        shown.get_by_role("button", name="As it is").click()
    download.value.save_as(tmp_path / "saved.csv")
    whole = csv_report.read(csv_report.write(BATCHES["many"], tmp_path))

    assert sorted(csv_report.read(tmp_path / "saved.csv"), key=repr) == sorted(whole, key=repr)


def test_without_scripts_the_first_rows_are_there_and_it_is_told(show: Callable[..., Page]) -> None:
    shown = show("many", java_script_enabled=False)

    expect(shown.locator("#table tbody tr")).to_have_count(AT_ONCE)
    expect(shown.get_by_text("What is not complete comes first.")).to_be_visible()
    expect(shown.get_by_text(f"The first {AT_ONCE:,} are shown.")).to_be_visible()
    expect(shown.get_by_role("button", name="Show more")).to_be_hidden()
