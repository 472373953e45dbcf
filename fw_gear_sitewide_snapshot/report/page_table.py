"""The page's table of all projects: its columns, its rows, its totals. Values only."""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ..models import Origin, SnapshotRecord
from ..text import duration, one_line, size_text
from . import page_content
from .columns import COLUMNS, to_row
from .page_content import ProjectLink, display_name, display_text


class Column(NamedTuple):
    """A column of the table."""

    name: str  # of its width, in the style
    title: str
    text: Callable[[SnapshotRecord], str]  # what a cell shows
    number: Callable[[SnapshotRecord], int] | None = None  # of a fetched snapshot; None: no numbers
    number_text: Callable[[int], str] = "{:,}".format


class Row(NamedTuple):
    """A project in the table; one that is ``unfetched`` is not complete, whatever its status."""

    id: str
    project: ProjectLink
    kind: str
    unfetched: bool
    took_seconds: float | None  # by which the column of times is sorted; None: not known
    size_bytes: int | None  # by which the column of sizes is sorted; None: not fetched
    cells: tuple[str, ...]


def columns(records: Sequence[SnapshotRecord]) -> list[Column]:
    """Return the table's columns, without those of which no row has anything to say.

    The five that are numbers come last, where the style finds them.
    """
    found = [
        Column("group", "Group", lambda record: display_name(record.project.group)),
        Column("label", "Project", lambda record: display_name(record.project.label)),
        Column("status", "Status", lambda r: page_content.display_status(r.status)),
        Column("snapshot", "Snapshot id", lambda record: one_line(record.snapshot_id)),
        Column("time", "Time (UTC)", lambda record: page_content.display_time(record.timestamp)),
    ]
    if any(map(_took, records)):
        found.append(Column("took", "Took", _took))
    if len({record.batch_label for record in records}) > 1:
        found.append(Column("batch", "Batch", lambda record: one_line(record.batch_label, 120)))
    if any(record.error for record in records):
        found.append(Column("error", "Error", lambda record: display_text(record.reason)))
    if any(record.content for record in records):
        found += [
            Column("checksum", "SHA-256", lambda r: r.content.sha256 if r.content else ""),
            _number("size", "Size", "size_bytes", size_text),
            _number("count", "Subjects", "subjects"),
            _number("count", "Sessions", "sessions"),
            _number("long-count", "Acquisitions", "acquisitions"),
            _number("count", "Files", "files"),
        ]
    return found


def _took(record: SnapshotRecord) -> str:
    """Return how long the snapshot took, or that it was reused; blank where neither is known."""
    if record.origin == Origin.REUSED:
        return str(Origin.REUSED)
    return "" if record.took_seconds is None else duration(record.took_seconds)


def _number(
    name: str, title: str, field: str, number_text: Callable[[int], str] = "{:,}".format
) -> Column:
    """Return the column of a field of SnapshotContent, blank for what was never fetched."""
    number = attrgetter(f"content.{field}")
    return Column(
        name, title, lambda r: number_text(number(r)) if r.content else "", number, number_text
    )


def rows(
    records: Iterable[SnapshotRecord],
    columns: Sequence[Column],
    unfetched: Collection[str],  # ids of projects
    site_url: str,
) -> Iterator[Row]:
    """Yield the table's rows in the records' order, one at a time: there may be thousands."""
    for record in records:
        yield Row(
            one_line(record.project.id),
            page_content.project_link(record.project, site_url),
            page_content.kind_of(record.status),
            record.project.id in unfetched,
            record.took_seconds,
            record.content.size_bytes if record.content else None,
            tuple(column.text(record) for column in columns),
        )


def totals(columns: Sequence[Column], records: Sequence[SnapshotRecord]) -> list[tuple[str, str]]:
    """Return title and sum of each column of numbers."""
    fetched = [record for record in records if record.content]
    return [
        (column.title, column.number_text(sum(map(column.number, fetched))))
        for column in columns
        if column.number
    ]


def report_lines(records: Iterable[SnapshotRecord]) -> Iterator[str]:
    """Yield the report's header and rows as JSON, from which the page saves what is shown.

    The cells are those of ``snapshot_report.csv``; one that is as the one above is 0. Nothing in
    them can end the page's element, or be taken for anything else in it.
    """
    above: list[str] = []
    for row in itertools.chain([[*COLUMNS]], map(to_row, records)):
        short = [0 if above and cell == above[at] else cell for at, cell in enumerate(row)]
        above = row
        yield json.dumps(short, separators=(",", ":")).replace("<", r"\u003c")
