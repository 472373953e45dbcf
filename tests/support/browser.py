"""Batches whose pages are looked at in a real Chromium, and what is asked of one."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page

from fw_gear_sitewide_snapshot.models import Origin, Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report.changes import Changes, Loss
from fw_gear_sitewide_snapshot.report.page_table import MOST_AT_ONCE
from tests.support.page import HOSTILE, NOW, batch, content, record

# The first one opens a page in a third of the time that a whole browser needs.
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [
    "--no-sandbox",  # the page is ours, and CI may be root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium: apt-get install chromium-headless-shell"
    ),
]

Read = TypeVar("Read")

ODD = [  # cells that a CSV, a spreadsheet or a page might change
    "=1+1",
    "'=1+1",
    "a,=1+1;@x",
    'with "quotes", commas; and\ttabs',
    "two\nlines",
    "carriage\rreturn",
    " blanks at both ends  ",
    "NA",
    "001",
    "1e5",
    "0",
    "</script><!--<script>",
    r"back\slash \u003c",
    "same",
    "same",
]
BATCHES: dict[str, list[SnapshotRecord]] = {
    "3": [record(n, group="neuro") for n in (1, 2, 3)],
    "300": batch(300),
    "unlinked": batch(300),
    "5000": batch(5_000, fetched=True),
    "measured": [
        replace(made, origin=Origin.STARTED, finished_at=NOW) if made.is_complete else made
        for made in batch(500, fetched=True)
    ],
    "not fetched": [
        replace(record(1), content=content(1)),
        record(2, error="download failed: the site says 404"),
        replace(record(3), content=content(3)),
    ],
    "warned": [record(n, group="neuro") for n in (1, 2, 3)],
    "dry run": [record(n, "planned") for n in range(1, 31)],
    "odd cells": [
        replace(
            record(n, status, error=text, group=text, label=text, batch=text),
            origin=Origin.STARTED if n % 3 else Origin.REUSED,
            finished_at=NOW if status == "complete" else None,
            content=content(n) if n % 4 == 0 else None,
        )
        for n, text in enumerate([*ODD, *(text for text in HOSTILE if text.isprintable())])
        for status in ["in_progress" if n % 5 == 4 else "complete"]
    ],
    "hostile": [
        record(n, status, text or "x", group=HOSTILE[-n], label=text, batch=text)
        for n, text in enumerate(HOSTILE)
        for status in ["failed" if n % 2 else "in_progress"]
    ],
}
# Of so many rows only the first are HTML; the last ones are all that the second batch has.
BATCHES["last ones"] = [
    replace(
        record(
            10_000 + n, "complete", text or "x", group=f"z{n:02} {text}", label=text, batch=text
        ),
        origin=Origin.STARTED if n % 3 else Origin.REUSED,
        finished_at=NOW if n % 2 else None,
        content=content(n) if n % 4 else None,
    )
    for n, text in enumerate([*ODD, *(text for text in HOSTILE if text.isprintable())] * 20)
]
BATCHES["many"] = [*batch(MOST_AT_ONCE, fetched=True), *BATCHES["last ones"]]
_GONE = Project(f"{10**6:024x}", "Closed", "neuro-00")
TOLD: dict[str, dict[str, Any]] = {  # of a batch, besides its rows
    "not fetched": {"to_fetch": True},
    "warned": {
        "hidden": tuple(Project(f"{n:024x}", "Hidden", f"lab-{n}") for n in range(300)),
        "changes": Changes(
            gone=(_GONE,),
            new=(_GONE,),
            renamed=((_GONE, _GONE),),
            fewer=(Loss(_GONE, (("subjects", 200, 3), ("files", 12_000, 340)), 0.985),),
        ),
    },
}
ROWS = "#table tbody tr:visible"


def cells(shown: Page, column: int) -> list[str]:
    """The texts of a column, from top to bottom, of the rows that are shown."""
    found: list[str] = shown.eval_on_selector_all(
        "#table tbody tr",
        f"rows => rows.filter(row => !row.hidden).map(row => row.cells[{column}].textContent)",
    )
    return found


def eventually(read: Callable[[], Read], wanted: Read) -> None:
    """Wait until what is read is this: a browser may say that it has clicked before it has."""
    end = time.monotonic() + 30
    while (found := read()) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    assert found == wanted


def head(shown: Page, title: str) -> Any:
    return shown.locator("#table thead").get_by_role("button", name=title)


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
