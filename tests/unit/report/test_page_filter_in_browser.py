"""The page's filter in a real Chromium, and the address that it is kept in."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import BATCHES, ROWS, cells, eventually, head, in_browser

pytestmark = in_browser


@pytest.mark.parametrize("name", ["300", "5000"])
def test_filtering_by_status(show: Callable[..., Page], name: str) -> None:
    shown = show(name)
    failed = sum(made.status == "failed" for made in BATCHES[name])
    open_ = sum(not made.is_complete for made in BATCHES[name])

    shown.get_by_label("Status", exact=True).select_option(f"Failed ({failed})")
    eventually(lambda: cells(shown, 2), ["failed"] * failed)

    shown.get_by_label("Status", exact=True).select_option("Not complete")
    eventually(lambda: len(cells(shown, 2)), open_)
    assert "complete" not in cells(shown, 2)
    expect(shown.get_by_role("status")).to_contain_text(f"{open_} of ")


def test_what_could_not_be_fetched_is_not_complete(show: Callable[..., Page]) -> None:
    shown = show("not fetched")
    choice = shown.get_by_label("Status", exact=True)

    choice.select_option("Not complete")
    eventually(lambda: cells(shown, 1), ["Project 2"])

    choice.select_option("Complete (3)")
    eventually(lambda: len(cells(shown, 1)), 3)


def test_filtering_by_text(show: Callable[..., Page]) -> None:
    shown = show("300")
    words = shown.get_by_label("Filter", exact=True)

    words.fill("  CARDIO  baseline ")
    matching = [
        made
        for made in BATCHES["300"]
        if "cardio" in made.project.group and "baseline" in made.project.label
    ]
    expect(shown.get_by_role("status")).to_have_text(f"{len(matching)} of 300 projects shown")
    eventually(lambda: len(cells(shown, 0)), len(matching))

    words.fill("there is no such project")
    expect(shown.get_by_text("No project matches.")).to_be_visible()
    expect(shown.get_by_role("status")).to_have_text("0 of 300 projects shown")

    shown.get_by_role("button", name="Clear").click()
    expect(shown.locator(ROWS)).to_have_count(300)
    expect(shown.get_by_text("No project matches.")).to_be_hidden()


@pytest.mark.parametrize("name", ["300", "unlinked"])
def test_a_project_is_found_by_its_id_which_no_cell_shows(
    show: Callable[..., Page], name: str
) -> None:
    shown = show(name)
    words = shown.get_by_label("Filter", exact=True)

    words.fill(f"{7:024x}")
    expect(shown.locator(ROWS)).to_have_count(1)

    for word in ("null", "undefined", "information"):  # nor by what stands beside an id
        words.fill(word)
        expect(shown.locator(ROWS)).to_have_count(0)


def test_a_checksum_is_found_and_read_in_full(show: Callable[..., Page]) -> None:
    shown = show("5000")
    checksum = f"{4321:064x}"

    shown.get_by_label("Filter", exact=True).fill(checksum)
    expect(shown.locator(ROWS)).to_have_count(1)

    cut = shown.locator(ROWS).get_by_text(checksum)
    cut.hover()
    assert cut.get_attribute("title") == checksum


def test_sorting_keeps_the_filter(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.get_by_label("Status", exact=True).select_option("Not complete")
    before = cells(shown, 1)

    head(shown, "Project").click()

    eventually(lambda: cells(shown, 1), sorted(before))


def test_ids_and_checksums_are_searched_for_what_looks_like_one(show: Callable[..., Page]) -> None:
    shown = show("not fetched")
    words = shown.get_by_label("Filter", exact=True)

    for piece in ("000000", f"{1:064x}", f"{2:024x}"[6:]):
        words.fill(piece)
        expect(shown.locator(ROWS)).not_to_have_count(0)
    for piece in ("0000f", "0001000000000000000x"):
        words.fill(piece)
        expect(shown.locator(ROWS)).to_have_count(0)
    words.fill("2")  # in a label, and in no id
    expect(shown.get_by_role("rowheader", name="Project 2")).to_be_visible()


# ----------------------------------------------------------------------------------------- groups


def test_a_group_filters_when_it_is_clicked(show: Callable[..., Page]) -> None:
    shown = show("300")
    groups = shown.get_by_role("table").first
    for name in ("cardio-01", "neuro-00"):
        members = sum(made.project.group == name for made in BATCHES["300"])
        groups.get_by_role("link", name=name).click()

        eventually(lambda: cells(shown, 0), [name] * members)
        expect(shown.get_by_label("Group", exact=True)).to_have_value(name)
        expect(shown.get_by_role("heading", name="All projects")).to_be_focused()
        expect(shown.get_by_role("heading", name="All projects")).to_be_in_viewport()

    shown.get_by_label("Group", exact=True).select_option("Any")
    expect(shown.locator(ROWS)).to_have_count(300)


def test_a_group_filters_from_the_keyboard(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.get_by_role("link", name="cardio-01", exact=True).focus()
    shown.keyboard.press("Enter")

    eventually(lambda: set(cells(shown, 0)), {"cardio-01"})


def test_a_group_of_any_name_filters(show: Callable[..., Page]) -> None:
    shown = show("odd cells")
    links = shown.locator(".groups a")

    for place in range(links.count()):
        name = links.nth(place).text_content()
        links.nth(place).click()
        eventually(lambda: set(cells(shown, 0)), {name})


# ------------------------------------------------------------------------------------ the address


def test_the_address_keeps_the_filter(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.get_by_label("Group", exact=True).select_option("cardio-01")
    shown.get_by_label("Status", exact=True).select_option("=complete")
    shown.get_by_label("Filter", exact=True).fill("baseline & 1+1 #é")
    expect(shown.get_by_role("status")).to_contain_text("0 of 300")
    shown.get_by_label("Filter", exact=True).fill("follow up")
    expect(shown.get_by_role("status")).not_to_contain_text("0 of 300")
    found = cells(shown, 1)
    fragment = shown.evaluate("location.hash")

    again = show("300", at=fragment)
    assert fragment == "#words=follow+up&group=cardio-01&status=%3Dcomplete"
    eventually(lambda: cells(again, 1), found)
    assert found != []
    expect(again.get_by_label("Filter", exact=True)).to_have_value("follow up")
    expect(again.get_by_role("heading", name="All projects")).to_be_in_viewport()

    again.get_by_role("button", name="Clear").click()
    expect(again.locator(ROWS)).to_have_count(300)
    assert "#" not in again.url


def test_an_address_that_names_nothing_shows_everything(show: Callable[..., Page]) -> None:
    shown = show("300", at="#group=gone&status=x&more=y")

    expect(shown.locator(ROWS)).to_have_count(300)
    expect(shown.get_by_label("Group", exact=True)).to_have_value("")


def test_an_address_that_is_put_in_filters_at_once(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.evaluate("location.hash = 'status=%3Dfailed'")

    expect(shown.get_by_label("Status", exact=True)).to_have_value("=failed")
    eventually(lambda: set(cells(shown, 2)), {"failed"})
