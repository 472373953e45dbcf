"""The page on paper."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.browser import CONTRAST, ROWS, head, in_browser

pytestmark = in_browser


def test_print_follows_the_filter_and_tells_it(show: Callable[..., Page]) -> None:
    shown = show("300", color_scheme="dark")
    shown.emulate_media(media="print")
    expect(shown.locator("#controls")).to_be_hidden()
    expect(shown.locator(ROWS)).to_have_count(300)

    shown.emulate_media(media="screen")
    shown.get_by_label("Filter", exact=True).fill("onco")
    expect(shown.locator(ROWS)).not_to_have_count(300)
    found = shown.locator(ROWS).count()
    shown.emulate_media(media="print")

    expect(shown.locator(ROWS)).to_have_count(found)
    expect(shown.get_by_label("Filter", exact=True)).to_be_visible()
    expect(shown.get_by_role("status")).to_have_text(f"{found} of 300 projects shown")
    for button in ("Clear", "As it is", "As planned"):
        expect(shown.get_by_role("button", name=button)).to_be_hidden()


def test_on_paper_it_is_light_and_nothing_is_cut(show: Callable[..., Page]) -> None:
    shown = show("300", color_scheme="dark")
    shown.emulate_media(media="print")

    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    # With buttons in it, Chromium would not repeat the table's header on every sheet.
    assert head(shown, "Group").evaluate("it => getComputedStyle(it).display") == "contents"
    box = shown.locator(".tall")
    assert box.evaluate("box => box.scrollHeight <= box.clientHeight")
    assert shown.evaluate(CONTRAST) == []


def test_numbers_and_their_headings_stay_in_one_line_on_paper(show: Callable[..., Page]) -> None:
    shown = show("5000")
    shown.emulate_media(media="print")

    for row in ("thead tr", "tbody tr:first-child", "tfoot tr"):
        last = shown.locator(f"#table {row} > :nth-last-child(-n + 5)")
        styles = last.evaluate_all(
            """cells => cells.map((cell) => {
              const style = getComputedStyle(cell);
              return [style.whiteSpace, style.textAlign];
            })"""
        )
        assert styles == [["nowrap", "end"]] * 5, row


def test_paper_is_not_wasted(show: Callable[..., Page]) -> None:
    """A project is one line on paper: 5,000 with contents are fewer than 140 sheets."""
    sheets = re.findall(rb"/Type\s*/Page\b", show("measured").pdf(format="A4", landscape=True))

    assert 11 < len(sheets) <= 16  # with one or two for the groups and the reasons
