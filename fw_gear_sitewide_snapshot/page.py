"""Writes ``snapshot_report.html``: the batch for people who would rather look than read.

One file that asks nobody for anything: style and script are inside, and its Content-Security-Policy
lets nothing else run. Whatever is said here is said in ``snapshot_report.csv`` too, which is the
report; no program is to read this page.
"""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from . import __version__
from .errors import OutputError
from .models import SnapshotContent, SnapshotRecord, SnapshotStatus, is_id, one_line, report_order

PAGE_NAME = "snapshot_report.html"

_RUNNING = "running"
_KINDS: dict[str, str] = {
    SnapshotStatus.COMPLETE: "complete",
    SnapshotStatus.FAILED: "failed",
    SnapshotStatus.PLANNED: "planned",
}
"""What a status is shown as; any other, one that we don't know among them, is running."""
_KIND_ORDER = ("complete", "failed", _RUNNING, "planned")
_LEAST_SHARE = 2.0  # percent of a bar: a single failure among a thousand has to be seen
_MOST_REASONS = 200
_MOST_NAMES = 100  # for one reason; the table has them all
_MOST_BATCHES = 3  # in the title


class Cell(NamedTuple):
    """What a table's cell shows; ``key`` is what it is sorted by where that is another value."""

    text: str
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the projects' table; ``name`` is its width's name in the style."""

    name: str
    title: str
    cell: Callable[[SnapshotRecord], Cell]
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A project as the page names it; without a ``link`` it can't be gone to."""

    group: str
    label: str
    link: str


@dataclass(frozen=True, slots=True)
class Row:
    """A project in the table."""

    project: Named
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some projects need a look: the same words once, then whom they are about."""

    kind: str
    status: str
    text: str
    count: int
    projects: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """How far a group is: its projects by kind, and each kind's part of its bar in percent."""

    name: str
    counts: dict[str, int]
    bar: tuple[tuple[str, float, float], ...]


def write(
    records: Iterable[SnapshotRecord], folder: Path, *, site_url: str, written_at: datetime
) -> Path:
    """Write the page in one step: whoever looks sees the old one or the new one, whole.

    Args:
        records: The batch, in any order; sorted like the report on the way.
        folder: The output folder.
        site_url: The site's root, such as ``https://flywheel.example.org``; what is no address of
            a web site makes no links.
        written_at: The time that the page speaks of, by the site's clock.

    Returns:
        The page's path.

    Raises:
        OutputError: The folder can't be written to.
    """
    page = render(records, site_url=site_url, written_at=written_at)
    path, part = folder / PAGE_NAME, folder / f".{PAGE_NAME}.part"
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: the page can't be written: {error.strerror}") from error
    return path


def render(records: Iterable[SnapshotRecord], *, site_url: str, written_at: datetime) -> str:
    """The page as HTML; the arguments are those of ``write``."""
    from jinja2 import (  # noqa: PLC0415  nothing before the first page needs it
        Environment,
        PackageLoader,
        StrictUndefined,
    )

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None  # noqa: S101  the line above gives it one
    style, script = (
        loader.get_source(environment, name)[0].strip() for name in ("page.css", "page.js")
    )
    records = sorted(records, key=report_order)
    columns = _columns(records)
    widths = " ".join(f"var(--{column.name})" for column in columns)
    style = f"{style}\n.projects {{ --columns: {widths}; }}"
    return environment.get_template("page.html.jinja").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
        written_at=_time(written_at),
        batches=_batch_names(records),
        tone=_tone(records),
        verdict=verdict(records),
        total=len(records),
        statuses=_statuses(records),
        kinds=[kind for kind in _KIND_ORDER if any(_kind(r) == kind for r in records)],
        groups=_groups(records),
        reasons=_reasons(records, site_url),
        most_reasons=_MOST_REASONS,
        columns=columns,
        rows=[_row(record, columns, site_url) for record in records],
        totals=_totals(records, columns),
    )


def verdict(records: Sequence[SnapshotRecord]) -> str:
    """What the batch has come to, in one sentence."""
    total = len(records)
    counts = Counter(map(_kind, records))
    missing = total - counts["complete"]
    if not total:
        return "There are no projects in this batch."
    if planned := counts["planned"]:  # nothing but a dry run leaves a row like that
        many = _projects(planned) if planned == total else f"{planned:,} of {_projects(total)}"
        return f"Dry run: {many} would be snapshotted; nothing was started."
    if not missing:
        return (
            "The project has a complete snapshot."
            if total == 1
            else f"All {_projects(total)} have a complete snapshot."
        )
    yet = " yet" if missing == counts[_RUNNING] else ""
    if missing == total:
        return (
            f"The project has no complete snapshot{yet}."
            if total == 1
            else f"None of the {_projects(total)} has a complete snapshot{yet}."
        )
    verb = "has" if missing == 1 else "have"
    return f"{missing:,} of {_projects(total)} {verb} no complete snapshot{yet}."


def _columns(records: Sequence[SnapshotRecord]) -> list[Column]:
    """The table's columns: those of which no row has anything to say are left out."""
    columns = [
        Column("group", "Group", lambda record: Cell(_name(record.project.group))),
        Column("label", "Project", lambda record: Cell(_name(record.project.label))),
        Column("status", "Status", lambda record: Cell(_status(record))),
        Column("snapshot", "Snapshot id", lambda record: Cell(_shown(record.snapshot_id))),
        Column("time", "Time (UTC)", lambda record: Cell(_time(record.timestamp))),
    ]
    if len({record.batch_label for record in records}) > 1:
        columns.append(
            Column("batch", "Batch", lambda record: Cell(_shown(record.batch_label, 120)))
        )
    if any(record.error for record in records):
        columns.append(Column("error", "Error", lambda record: Cell(_shown(record.error))))
    if any(record.content for record in records):
        columns += [
            _content_column("size", "Size", lambda content: content.size_bytes, _size),
            _content_column("count", "Subjects", lambda content: content.subjects),
            _content_column("count", "Sessions", lambda content: content.sessions),
            _content_column("long-count", "Acquisitions", lambda content: content.acquisitions),
            _content_column("count", "Files", lambda content: content.files),
        ]
    return columns


def _content_column(
    name: str,
    title: str,
    value: Callable[[SnapshotContent], int],
    shown: Callable[[int], str] = "{:,}".format,
) -> Column:
    def cell(record: SnapshotRecord) -> Cell:
        if record.content is None:
            return Cell("")
        number = value(record.content)
        return Cell(shown(number), number)

    return Column(name, title, cell, is_number=True)


def _row(record: SnapshotRecord, columns: Sequence[Column], site_url: str) -> Row:
    cells = tuple(column.cell(record) for column in columns)
    return Row(_named(record, site_url), _kind(record), cells)


def _totals(records: Sequence[SnapshotRecord], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """The sums of the columns that are numbers, by title."""
    totals = []
    for column in columns:
        if column.is_number:
            total = sum(column.cell(record).key or 0 for record in records)
            totals.append((column.title, _size(total) if column.name == "size" else f"{total:,}"))
    return totals


def _statuses(records: Sequence[SnapshotRecord]) -> list[tuple[str, str, int]]:
    """Each status with its kind and how many rows have it, in the order of the bars."""
    counts = Counter((_kind(record), _status(record)) for record in records)
    order = {kind: place for place, kind in enumerate(_KIND_ORDER)}
    return [
        (kind, status, counts[kind, status])
        for kind, status in sorted(counts, key=lambda found: (order[found[0]], found[1]))
    ]


def _groups(records: Sequence[SnapshotRecord]) -> list[Group]:
    """The groups by name, those with a project that failed or is unfinished first."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(record.project.group, Counter())[_kind(record)] += 1

    def is_calm(found: Counter[str]) -> bool:
        return not found["failed"] and not found[_RUNNING]

    ordered = sorted(counts, key=lambda name: (is_calm(counts[name]), name))
    return [Group(_name(name), counts[name], _bar(counts[name])) for name in ordered]


def _bar(counts: Counter[str]) -> tuple[tuple[str, float, float], ...]:
    widths = {
        kind: max(_LEAST_SHARE, 100 * counts[kind] / counts.total())
        for kind in _KIND_ORDER
        if counts[kind]
    }
    scale = 100 / sum(widths.values())
    bar, start = [], 0.0
    for kind, width in widths.items():
        bar.append((kind, round(start, 2), round(width * scale, 2)))
        start += width * scale
    return tuple(bar)


def _reasons(records: Iterable[SnapshotRecord], site_url: str) -> list[Reason]:
    """What needs a look, by reason: failures first, then what concerns the most projects.

    A complete snapshot that something is to be said about is among them; a plan is not.
    """
    found: dict[tuple[str, str, str], list[SnapshotRecord]] = {}
    for record in records:
        if text := _reason(record):
            found.setdefault((_kind(record), _status(record), text), []).append(record)
    order = {"failed": 0, _RUNNING: 1}
    return [
        Reason(
            kind,
            status,
            text,
            len(found[kind, status, text]),
            tuple(_named(record, site_url) for record in found[kind, status, text][:_MOST_NAMES]),
        )
        for kind, status, text in sorted(
            found, key=lambda key: (order.get(key[0], 2), -len(found[key]), key)
        )
    ]


def _reason(record: SnapshotRecord) -> str:
    if record.error:
        return _shown(record.error)
    match _kind(record):
        case "failed":
            return "No reason is known"
        case "running" if record.snapshot_id:
            return "Not finished when this page was written"
        case "running":
            return "No snapshot was known when this page was written"
        case _:
            return ""


def _tone(records: Iterable[SnapshotRecord]) -> str:
    """The kind that the verdict is shown in: the worst one, or the plan."""
    kinds = set(map(_kind, records))
    order = ("planned", "failed", _RUNNING, "complete")
    return next((kind for kind in order if kind in kinds), "planned")


def _named(record: SnapshotRecord, site_url: str) -> Named:
    # The web interface's address of a project, as its users' bookmarks have it. Not verified on a
    # real site: should it change, the site shows its own start page.
    link = ""
    if site_url.startswith(("https://", "http://")) and is_id(record.project.id):
        link = f"{site_url.rstrip('/')}/#/projects/{record.project.id}/information"
    return Named(_name(record.project.group), _name(record.project.label), link)


def _batch_names(records: Iterable[SnapshotRecord]) -> str:
    names = list(dict.fromkeys(_shown(r.batch_label, 100) for r in records if r.batch_label))
    more = len(names) - _MOST_BATCHES
    return ", ".join(names[:_MOST_BATCHES]) + (f" and {more:,} more" if more > 0 else "")


def _kind(record: SnapshotRecord) -> str:
    return _KINDS.get(record.status, _RUNNING)


def _status(record: SnapshotRecord) -> str:
    return _shown(record.status).replace("_", " ")


def _shown(text: str, limit: int = 300) -> str:
    """Text from anybody as what can be looked at: one line, nothing invisible, not endless."""
    return one_line(text, limit)


def _name(text: str) -> str:
    return _shown(text, 120) or "(none)"


def _time(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when else ""


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"


def _projects(count: int) -> str:
    return "1 project" if count == 1 else f"{count:,} projects"


def _hash(text: str) -> str:
    """What the page's policy names the style or the script by: no other text of its kind runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
