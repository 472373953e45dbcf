"""The page in a real Chromium, which fails the test where it asks for or complains of anything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from fw_gear_sitewide_snapshot.report import page as pages
from fw_gear_sitewide_snapshot.report.summary import Summary
from tests.support.browser import BATCHES, CHROMIUM, FLAGS, TOLD
from tests.support.page import NOW, SITE


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
            summary = Summary.of(records, **TOLD.get(name, {}))
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

    def open_page(name: str, width: int = 1280, at: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("request", asks)
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(written(name).as_uri() + at)
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert asked == []
    assert complaints == []
