"""Batches for the page, and a reader of what is on it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from fw_gear_sitewide_snapshot.models import Project, SnapshotContent, SnapshotRecord, whole_seconds
from fw_gear_sitewide_snapshot.report import page
from fw_gear_sitewide_snapshot.report.summary import Summary

SITE = "https://flywheel.example.org"
NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "</table></script><img src=x onerror=\"document.title='owned'\">",
    "\" onmouseover=\"document.title='owned'\" x='",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}{% raw %}",
    "nul\0 bell\a escape\x1b[31m line\nbreak\r\ttab",
    "\u202eright to left override\u2066",
    "\ud800 half a character",
    "עברית العربية 日本語 ไทย",
    "Z" + "\u0301\u0330" * 40,
    "W" * 10_000,
    "<!--",
    "",
]


def record(
    number: int, status: str = "complete", error: str = "", **changes: str
) -> SnapshotRecord:
    group = changes.get("group", "group")
    label = changes.get("label", f"Project {number}")
    return SnapshotRecord(
        Project(f"{number:024x}", label, group),
        snapshot_id="" if status in {"failed", "planned"} else f"{number + 2**80:024x}",
        timestamp=whole_seconds(NOW - timedelta(seconds=number)),
        batch_label=changes.get("batch", "Q1 2026"),
        status=status,
        error=error,
    )


def content(number: int) -> SnapshotContent:
    return SnapshotContent(number * 1_234_567, f"{number:064x}", number, number * 2, number * 7, 99)


def batch(count: int, *, fetched: bool = False) -> list[SnapshotRecord]:
    """A batch as a site may have it: a few percent failed or unfinished, groups of every size."""
    records = []
    for number in range(1, count + 1):
        group = f"{('neuro', 'cardio', 'imaging-core', 'onco')[number % 4]}-{number % 97 % 12:02}"
        label = f"Study {number * 7919 % 100_003:05} {('baseline', 'follow-up')[number % 2]}"
        made = record(number, group=group, label=label)
        if number % 41 == 3:
            made = record(number, "failed", "no rights to snapshot it", group=group, label=label)
        elif number % 97 == 5:
            made = record(number, "failed", f"the site: error {number}", group=group, label=label)
        elif number % 149 == 7:
            made = record(number, "in_progress", group=group, label=label)
        elif fetched:
            made = replace(made, content=content(number))
        records.append(made)
    return records


def render(
    records: Iterable[SnapshotRecord], site_url: str = SITE, *, to_fetch: bool = False
) -> str:
    records = list(records)
    return render_summary(records, Summary.of(records, to_fetch=to_fetch), site_url=site_url)


def render_summary(
    records: Iterable[SnapshotRecord], summary: Summary, *, site_url: str = SITE, **facts: Any
) -> str:
    """Render the page of a run that has ended at NOW."""
    return "".join(page.render(records, summary, page.Run(ended=NOW, site_url=site_url, **facts)))


class Reader(HTMLParser):
    """What a browser without scripts would find: tables' rows, texts, tags with attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._table = ""
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.open.append(tag)
        if tag == "table":
            self._table = (attributes["class"] or "").split()[0]
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in {"td", "th"}:
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self.open):
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[self._table][-1][-1] += data

    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]

    def section(self, name: str) -> str:
        """The text from the heading that begins with ``name`` to where the projects begin."""
        return self.text.partition(name)[2].partition("All projects")[0]
