"""The page's table of all projects: its columns, its rows, its totals. Values only.

The first rows are HTML. All that are listed are data besides, which the page's script filters,
sorts and saves, and from which it makes the other rows when they are to be shown.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ..models import Origin, SnapshotRecord
from ..text import counted, duration, one_line, size_text
from . import page_content
from .columns import COLUMNS, to_row
from .page_content import ProjectLink, display_name, display_text

MOST_AT_ONCE = 5_000  # rows that are shown at a time: a browser needs a second for them
MOST_LISTED = 20_000  # rows that are listed at all: nobody reads more, and a filter takes its time
_LONG_SECONDS = 100 * 60  # for so long its seconds are no news, and have no room in the column


class Column(NamedTuple):
    """A column of the table."""

    name: str  # of its width, in the style
    title: str
    text: Callable[[SnapshotRecord], str]  # what a cell shows
    key: str = ""  # the name of the data that it is sorted by; empty: what it shows
    number: Callable[[SnapshotRecord], int] | None = None  # of a fetched snapshot; None: no numbers
    number_text: Callable[[int], str] = "{:,}".format


class Row(NamedTuple):
    """A project in the table."""

    project: ProjectLink
    kind: str
    is_fetched: bool
    cells: tuple[str, ...]


def listed(
    records: Sequence[SnapshotRecord],
    incomplete: Collection[str],  # ids of projects
) -> Sequence[SnapshotRecord]:
    """Return the rows that the table lists: of many, those that are not complete come first."""
    if len(records) <= MOST_AT_ONCE:
        return records
    return sorted(records, key=lambda r: r.project.id not in incomplete)[:MOST_LISTED]  # stable


def left_out(total: int, incomplete: int, listed: int) -> str:
    """Name the rows that are left out of a table of the first so many; empty for none."""
    incomplete_left = max(0, incomplete - listed)
    complete_left = total - listed - incomplete_left
    counts = [(incomplete_left, "incomplete row"), (complete_left, "complete row")]
    return " and ".join(counted(count, noun) for count, noun in counts if count)


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
        found.append(Column("took", "Took", _took, key="took_seconds"))
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
    seconds = record.took_seconds
    if seconds is not None and seconds >= _LONG_SECONDS:
        return f"{seconds / 60:,.0f} min"
    return "" if seconds is None else duration(seconds)


def _number(
    name: str, title: str, field: str, number_text: Callable[[int], str] = "{:,}".format
) -> Column:
    """Return the column of a field of SnapshotContent, blank for what was never fetched."""
    number = attrgetter(f"content.{field}")
    return Column(
        name,
        title,
        lambda r: number_text(number(r)) if r.content else "",
        key=field,
        number=number,
        number_text=number_text,
    )


def rows(
    records: Iterable[SnapshotRecord], columns: Sequence[Column], site_url: str
) -> Iterator[Row]:
    """Yield the table's rows in the records' order, one at a time: there may be thousands."""
    for record in records:
        yield Row(
            page_content.project_link(record.project, site_url),
            page_content.kind_of(record.status),
            record.content is not None,
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


def data_lines(
    records: Iterable[SnapshotRecord],
    columns: Sequence[Column],
    incomplete: Collection[str],  # ids of projects
) -> Iterator[str]:
    """Yield names and rows of the page's data as JSON: a report's cells, and those of the table.

    A cell that is as the one above is 0, one that is as an earlier one of its row is that one's
    place, from 1. Nothing in them can end the page's element, or be taken for anything else in it.
    """
    shown = [f"shown {column.name}" for column in columns]
    names = [*COLUMNS, "kind", "is_incomplete", "took_seconds", *shown]
    encode = json.JSONEncoder(separators=(",", ":")).encode
    above: list[str | int] = []
    for row in itertools.chain([names], (_data(r, columns, incomplete) for r in records)):
        firsts = enumerate(map(row.index, row))
        coded = [row[at] if first == at else first + 1 for at, first in firsts]
        short = [0 if above and cell == above[at] else cell for at, cell in enumerate(coded)]
        above = coded
        yield encode(short).replace("<", r"\u003c")


def _data(
    record: SnapshotRecord, columns: Sequence[Column], incomplete: Collection[str]
) -> list[str]:
    took = record.took_seconds
    return [
        *to_row(record),
        page_content.kind_of(record.status),
        "1" if record.project.id in incomplete else "",
        "" if took is None else str(took),
        *(column.text(record) for column in columns),
    ]
