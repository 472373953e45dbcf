"""The page's table of all projects: its columns, its rows, its totals. Values only."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..models import SnapshotContent, SnapshotRecord
from ..text import size_text
from .page_content import Named, kind_of, named, shown, shown_name, shown_status, shown_time


class Cell(NamedTuple):
    """What a table's cell shows; ``key`` is what it is sorted by where that is another value."""

    text: str
    key: int | None = None


class Column(NamedTuple):
    """A column of the table."""

    name: str  # of its width, in the style
    title: str
    cell: Callable[[SnapshotRecord], Cell]
    number: Callable[[int], str] | None = None  # writes a number of this column; None: it has none

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers."""
        return self.number is not None


class Row(NamedTuple):
    """A project in the table; one that is ``unfetched`` is not complete, whatever its status."""

    id: str
    project: Named
    kind: str
    unfetched: bool
    cells: tuple[Cell, ...]


def columns(records: Sequence[SnapshotRecord]) -> list[Column]:
    """The table's columns: those of which no row has anything to say are left out.

    The five that are numbers come last, where the style finds them.
    """
    found = [
        Column("group", "Group", lambda record: Cell(shown_name(record.project.group))),
        Column("label", "Project", lambda record: Cell(shown_name(record.project.label))),
        Column("status", "Status", lambda record: Cell(shown_status(record))),
        Column("snapshot", "Snapshot id", lambda record: Cell(shown(record.snapshot_id))),
        Column("time", "Time (UTC)", lambda record: Cell(shown_time(record.timestamp))),
    ]
    if len({record.batch_label for record in records}) > 1:
        found.append(Column("batch", "Batch", lambda record: Cell(shown(record.batch_label, 120))))
    if any(record.error for record in records):
        found.append(Column("error", "Error", lambda record: Cell(shown(record.reason))))
    if any(record.content for record in records):
        found += [
            Column("checksum", "SHA-256", lambda r: Cell(r.content.sha256 if r.content else "")),
            _number("size", "Size", lambda content: content.size_bytes, size_text),
            _number("count", "Subjects", lambda content: content.subjects),
            _number("count", "Sessions", lambda content: content.sessions),
            _number("long-count", "Acquisitions", lambda content: content.acquisitions),
            _number("count", "Files", lambda content: content.files),
        ]
    return found


def rows(
    records: Iterable[SnapshotRecord],
    columns: Sequence[Column],
    unfetched: Collection[str],  # ids of projects
    site_url: str,
) -> Iterator[Row]:
    """The table's rows, in the records' order; made one at a time, for there may be thousands."""
    for record in records:
        cells = tuple(column.cell(record) for column in columns)
        kind, is_unfetched = kind_of(record.status), record.project.id in unfetched
        project_id = shown(record.project.id)
        yield Row(project_id, named(record, site_url), kind, is_unfetched, cells)


def totals(columns: Sequence[Column], records: Sequence[SnapshotRecord]) -> list[tuple[str, str]]:
    """The sums of the columns that are numbers, by title."""
    return [
        (column.title, column.number(sum(column.cell(record).key or 0 for record in records)))
        for column in columns
        if column.number
    ]


def _number(
    name: str,
    title: str,
    value: Callable[[SnapshotContent], int],
    text: Callable[[int], str] = "{:,}".format,
) -> Column:
    """A column of a number, blank for what was never fetched."""

    def cell(record: SnapshotRecord) -> Cell:
        if record.content is None:
            return Cell("")
        number = value(record.content)
        return Cell(text(number), number)

    return Column(name, title, cell, text)
