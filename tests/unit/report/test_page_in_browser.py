"""The page in a real Chromium: it sorts, filters, prints, and asks nobody for anything."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import page as pages
from fw_gear_sitewide_snapshot.report.summary import Summary
from fw_gear_sitewide_snapshot.text import size_text
from tests.support.page import HOSTILE, NOW, SITE, batch, content, record

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",  # the page is ours, and CI may be root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

BATCHES: dict[str, list[SnapshotRecord]] = {
    "3": [record(n, group="neuro") for n in (1, 2, 3)],
    "300": batch(300),
    "unlinked": batch(300),
    "5000": batch(5_000, fetched=True),
    "not fetched": [
        replace(record(1), content=content(1)),
        record(2, error="download failed: the site says 404"),
        replace(record(3), content=content(3)),
    ],
    "dry run": [record(n, "planned") for n in range(1, 31)],
    "hostile": [
        record(n, status, text or "x", group=HOSTILE[-n], label=text, batch=text)
        for n, text in enumerate(HOSTILE)
        for status in ["failed" if n % 2 else "in_progress"]
    ],
}
ROWS = "#table tbody tr:visible"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a batch's page, once for all tests."""
    folder = tmp_path_factory.mktemp("pages")

    def write(name: str) -> Path:
        if not (folder / name).exists():
            (folder / name).mkdir()
            records = BATCHES[name]
            summary = Summary.of(records, to_fetch=name == "not fetched")
            site_url = "" if name == "unlinked" else SITE
            pages.write(records, summary, folder / name, pages.Run(ended=NOW, site_url=site_url))
        return folder / name / pages.PAGE_NAME

    return write


@pytest.fixture
def show(browser: Browser, written: Callable[[str], Path]) -> Iterator[Callable[..., Page]]:
    """Open a batch's page; whatever it asks for or complains of fails the test at its end."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    complaints: list[str] = []

    def asks(request: Request) -> None:
        if not request.is_navigation_request() and not request.url.startswith("data:"):
            asked.append(request.url)

    def open_page(name: str, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("request", asks)
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(written(name).as_uri())
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert asked == []
    assert complaints == []


def cells(shown: Page, column: int) -> list[str]:
    """The texts of a column, from top to bottom, of the rows that are shown."""
    found: list[str] = shown.eval_on_selector_all(
        "#table tbody tr",
        f"rows => rows.filter(row => !row.hidden).map(row => row.cells[{column}].textContent)",
    )
    return found


def head(shown: Page, title: str) -> Any:
    return shown.locator("#table thead").get_by_role("button", name=title)


# ------------------------------------------------------------------------------------------ sorting


def test_sorting_by_text_goes_both_ways(show: Callable[..., Page]) -> None:
    shown = show("300")
    labels = sorted(made.project.label for made in BATCHES["300"])

    head(shown, "Project").click()
    assert cells(shown, 1) == labels
    expect(shown.locator("th[aria-sort]")).to_have_text("Project")
    expect(shown.locator("th[aria-sort=ascending]")).to_have_count(1)

    head(shown, "Project").click()
    assert cells(shown, 1) == labels[::-1]
    expect(shown.locator("th[aria-sort=descending]")).to_have_text("Project")
    expect(shown.get_by_role("status")).to_have_text(
        "300 of 300 projects shown, by project, last first"
    )


def test_every_column_sorts_and_loses_no_row(show: Callable[..., Page]) -> None:
    shown = show("5000")
    before = sorted(cells(shown, 1))
    buttons = shown.locator("#table thead button")

    assert buttons.count() == 12
    for button in buttons.all():
        button.click()
        assert sorted(cells(shown, 1)) == before


def test_numbers_sort_as_numbers_with_blanks_last(show: Callable[..., Page]) -> None:
    shown = show("5000")
    sizes = sorted(made.content.size_bytes for made in BATCHES["5000"] if made.content)

    for title in ("Size", "Subjects"):
        for in_order in (sizes, sizes[::-1]):
            head(shown, title).click()
            found = cells(shown, 7)
            assert found[: len(sizes)] == [size_text(size) for size in in_order]
            assert set(found[len(sizes) :]) == {""}


def test_sorting_and_filtering_5000_projects_does_not_freeze(show: Callable[..., Page]) -> None:
    shown = show("5000")
    took: dict[str, float] = shown.evaluate(
        """() => {
          const timed = (act) => {
            const began = performance.now();
            act();
            document.body.offsetHeight;
            return performance.now() - began;
          };
          const status = document.getElementById("status");
          return {
            sort: timed(() => document.querySelectorAll("#table thead button")[1].click()),
            filter: timed(() => {
              status.value = "=failed";
              status.dispatchEvent(new Event("change"));
            }),
          };
        }"""
    )

    assert max(took.values()) < 2_000, took  # 300 ms on a small machine; laid out whole, 4 s


# ---------------------------------------------------------------------------------------- filtering


@pytest.mark.parametrize("name", ["300", "5000"])
def test_filtering_by_status(show: Callable[..., Page], name: str) -> None:
    shown = show(name)
    failed = sum(made.status == "failed" for made in BATCHES[name])
    open_ = sum(not made.is_complete for made in BATCHES[name])

    shown.get_by_label("Status", exact=True).select_option(f"Failed ({failed})")
    assert cells(shown, 2) == ["failed"] * failed

    shown.get_by_label("Status", exact=True).select_option("Not complete")
    assert len(cells(shown, 2)) == open_
    assert "complete" not in cells(shown, 2)
    expect(shown.get_by_role("status")).to_contain_text(f"{open_} of ")


def test_what_could_not_be_fetched_is_not_complete(show: Callable[..., Page]) -> None:
    shown = show("not fetched")
    choice = shown.get_by_label("Status", exact=True)

    choice.select_option("Not complete")
    assert cells(shown, 1) == ["Project 2"]

    choice.select_option("Complete (3)")
    assert len(cells(shown, 1)) == 3


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
    assert len(cells(shown, 0)) == len(matching)

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


@pytest.mark.parametrize(("width", "digits"), [(400, 8), (1280, 8), (1600, 12)])
def test_of_a_checksum_the_first_digits_show(
    show: Callable[..., Page], width: int, digits: int
) -> None:
    cut = show("not fetched", width).locator("#table tbody .id span").first
    room: float = cut.evaluate(
        """cut => {
          const digit = document.createElement("b");
          digit.style.cssText = "font: inherit; position: absolute";
          digit.textContent = "0".repeat(64);
          cut.parentElement.append(digit);
          return cut.clientWidth / (digit.getBoundingClientRect().width / 64);
        }"""
    )

    assert digits + 1 <= room < digits + 3  # one is for the sign that there are more
    assert cut.evaluate("cut => cut.getClientRects().length") == 1
    assert cut.evaluate("cut => cut.clientHeight < 30")


def test_sorting_keeps_the_filter(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.get_by_label("Status", exact=True).select_option("Not complete")
    before = cells(shown, 1)

    head(shown, "Project").click()

    assert cells(shown, 1) == sorted(before)


# ------------------------------------------------------------------------------ keyboard and reader


def test_it_works_from_the_keyboard(show: Callable[..., Page]) -> None:
    shown = show("300")
    shown.keyboard.press("Tab")
    expect(shown.get_by_text("Skip to all projects")).to_be_focused()
    expect(shown.get_by_text("Skip to all projects")).to_be_in_viewport()
    shown.keyboard.press("Enter")
    shown.keyboard.press("Tab")
    expect(shown.get_by_label("Filter", exact=True)).to_be_focused()
    shown.keyboard.type("onco")
    expect(shown.get_by_role("status")).not_to_contain_text("300 of 300")
    shown.keyboard.press("Enter")  # must not send the form
    shown.keyboard.press("Tab")
    expect(shown.get_by_label("Status", exact=True)).to_be_focused()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("Tab")
    expect(shown.get_by_role("button", name="Clear")).to_be_focused()
    shown.keyboard.press("Space")
    expect(shown.locator(ROWS)).to_have_count(300)

    shown.keyboard.press("Tab")
    if shown.evaluate("document.activeElement.classList.contains('box')"):
        shown.keyboard.press("Tab")
    expect(head(shown, "Group")).to_be_focused()
    outline = shown.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.keyboard.press("Enter")
    expect(shown.locator("th[aria-sort=descending]")).to_have_text("Group")
    expect(head(shown, "Group")).to_be_focused()


def test_a_screen_reader_finds_tables(show: Callable[..., Page]) -> None:
    """Although the rows are laid out as grids."""
    shown = show("3")
    table = shown.get_by_role("region", name="All projects").get_by_role("table")

    expect(table.get_by_role("row")).to_have_count(4)
    expect(table.get_by_role("columnheader")).to_have_count(5)
    expect(table.get_by_role("rowheader")).to_have_count(3)
    expect(table.get_by_role("cell")).to_have_count(12)
    assert shown.locator("html").get_attribute("lang") == "en"


# What is shown with too little contrast to what it stands on: 4.5 for text, 3 for what is drawn.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data, (value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const low = [];
  for (const element of document.querySelectorAll("body *:not(script)")) {
    const style = getComputedStyle(element);
    const says = Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
    if (says && ratio(style.color, ground(element)) < 4.5) low.push(element.outerHTML.slice(0, 80));
    const mark = element.matches(".mark") && getComputedStyle(element, "::before").borderTopColor;
    if (mark && ratio(mark, ground(element)) < 3) low.push(`mark of ${element.className}`);
    if (element.matches("rect") && ratio(style.fill, ground(element)) < 3) low.push("bar");
    if (element.matches("input, select") && ratio(style.borderTopColor, ground(element)) < 3)
      low.push(element.id);
  }
  return low;
}"""


@pytest.mark.parametrize("name", ["300", "not fetched", "dry run"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_sufficient(show: Callable[..., Page], scheme: str, name: str) -> None:
    shown = show(name, color_scheme=scheme)
    back = shown.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    assert shown.evaluate(CONTRAST) == []


# ----------------------------------------------------------------------------------- every occasion


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", list(BATCHES))
def test_the_page_does_not_scroll_sideways(
    show: Callable[..., Page], name: str, width: int
) -> None:
    shown = show(name, width)

    for script in ("scrollTo(0, 0)", "scrollTo(0, document.body.scrollHeight)"):
        shown.evaluate(script)
        assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_no_column_is_squeezed_or_runs_into_the_next(show: Callable[..., Page]) -> None:
    for width in (400, 1024, 1280, 1680):
        shown = show("5000", width)
        edges: list[list[float]] = shown.eval_on_selector_all(
            "#table thead th, #table tbody tr:first-child > *",
            "cells => cells.map(cell => [cell.scrollWidth - cell.clientWidth, cell.clientWidth])",
        )
        assert all(over <= 0 for over, _ in edges), (width, edges)
        assert all(wide >= 60 for _, wide in edges), (width, edges)


@pytest.mark.parametrize("name", ["3", "300", "5000"])
def test_it_can_be_read_without_scripts(show: Callable[..., Page], name: str) -> None:
    shown = show(name, java_script_enabled=False)

    expect(shown.locator(".headline")).to_be_visible()
    expect(shown.locator("#controls")).to_be_hidden()
    expect(shown.locator("#table button")).to_have_count(0)
    expect(shown.locator("#table tbody tr")).to_have_count(len(BATCHES[name]))
    expect(shown.locator("#table tbody tr").last).to_be_visible()


def test_print_shows_every_project_and_no_controls(show: Callable[..., Page]) -> None:
    shown = show("300", color_scheme="dark")
    shown.get_by_label("Filter", exact=True).fill("onco")
    expect(shown.locator(ROWS)).not_to_have_count(300)

    shown.emulate_media(media="print")

    expect(shown.locator(ROWS)).to_have_count(300)
    expect(shown.locator("#controls")).to_be_hidden()
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


def test_hostile_text_does_nothing(show: Callable[..., Page]) -> None:
    shown = show("hostile")
    for button in shown.locator("#table thead button").all():
        button.click()
    shown.mouse.move(200, 700)
    shown.get_by_label("Filter", exact=True).fill("<script>")

    expect(shown.locator(ROWS)).to_have_count(1)
    assert "Sitewide Snapshot" in shown.title()
    links = shown.eval_on_selector_all("a", "links => links.map(link => link.protocol)")
    assert set(links) == {"https:", "file:"}
