"""What the page says of a batch: its groups, what needs a look, and the words for both.

Values only, and words as they are to be read. The headline is in ``page_headline.py``, the table of
all projects in ``page_table.py``; how anything looks is the templates' part.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..models import Project, SnapshotRecord
from ..text import duration, is_id, one_line
from .reasons import advice_for, mask_identifiers
from .summary import Summary

MOST_REASONS = 200  # that the page shows; the table of all projects has the rest

_RUNNING = "running"
_KIND_ORDER = ("complete", "failed", _RUNNING, "planned")  # of the bars
_LEAST_SHARE = 2.0  # percent of a bar: a single failure among a thousand has to be seen
_MOST_NAMES = 100  # for one reason; the table has them all
_MOST_BATCHES = 3  # in the title
_MOST_SLOWEST = 10


@dataclass(frozen=True, slots=True)
class ProjectLink:
    """A project as the page names it; ``link`` is empty where the site has no address."""

    group: str
    label: str
    link: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some projects need a look: the same words once, then whom they are about."""

    kind: str
    status: str
    text: str  # with identifiers masked where it concerns several
    advice: str  # what a person can do; empty where nothing is known
    count: int
    projects: tuple[ProjectLink, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """How far a group is: its projects by kind, and each kind's part of its bar in percent."""

    name: str
    counts: dict[str, int]
    bar: tuple[tuple[str, float, float], ...]


def batch_took(summary: Summary) -> str:
    """Return how long the batch took from its first snapshot's start; empty where unknown."""
    return "" if summary.seconds is None else duration(summary.seconds)


def slowest(records: Iterable[SnapshotRecord], site_url: str) -> list[tuple[ProjectLink, str]]:
    """Return the projects whose snapshots took longest, and how long: a longer wait helps them."""
    took = [(record.took_seconds or 0.0, record) for record in records]
    longest = sorted(took, key=lambda pair: -pair[0])[:_MOST_SLOWEST]
    return [
        (project_link(r.project, site_url), duration(seconds)) for seconds, r in longest if seconds
    ]


def batch_names(records: Iterable[SnapshotRecord]) -> str:
    """Return the batch's name; of several, which a retry's rows may have, the first few."""
    names = list(dict.fromkeys(one_line(r.batch_label, 100) for r in records if r.batch_label))
    more = len(names) - _MOST_BATCHES
    return ", ".join(names[:_MOST_BATCHES]) + (f" and {more:,} more" if more > 0 else "")


def statuses(records: Sequence[SnapshotRecord]) -> list[tuple[str, str, int]]:
    """Return kind, status and number of rows of each status, in the order of the bars."""
    counts = Counter((kind_of(record.status), display_status(record)) for record in records)
    ordered = sorted(counts, key=lambda found: (_KIND_ORDER.index(found[0]), found[1]))
    return [(kind, status, counts[kind, status]) for kind, status in ordered]


def groups(records: Sequence[SnapshotRecord]) -> list[Group]:
    """Return the groups by name, those with a project that failed or is unfinished first."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(record.project.group, Counter())[kind_of(record.status)] += 1
    unfinished = {"failed", _RUNNING}
    ordered = sorted(counts, key=lambda name: (unfinished.isdisjoint(counts[name]), name))
    return [Group(display_name(name), counts[name], _bar(counts[name])) for name in ordered]


def _bar(counts: Counter[str]) -> tuple[tuple[str, float, float], ...]:
    kinds = [kind for kind in _KIND_ORDER if counts[kind]]
    widths = {kind: max(_LEAST_SHARE, 100 * counts[kind] / counts.total()) for kind in kinds}
    scale = 100 / sum(widths.values())
    bar, start = [], 0.0
    for kind, width in widths.items():
        bar.append((kind, round(start, 2), round(width * scale, 2)))
        start += width * scale
    return tuple(bar)


def reasons(records: Iterable[SnapshotRecord], summary: Summary, site_url: str) -> list[Reason]:
    """Collect what needs a look, by reason: failures first, then what concerns most projects.

    A complete snapshot that something is to be said about is among them; a plan is not. One that
    could not be fetched is a failure here, where a bar shows the site's word alone.
    """
    unfetched = frozenset(record.project.id for record in summary.unfetched)
    found: dict[tuple[str, str, str], list[SnapshotRecord]] = {}
    for record in records:
        kind, status = kind_of(record.status), display_status(record)
        if record.project.id in unfetched:
            kind, status = "failed", f"{status}, not fetched"
        text = display_text(record.error if kind == "planned" else record.reason)
        if text or kind == "failed":
            key = kind, status, mask_identifiers(text) or "No reason is known"
            found.setdefault(key, []).append(record)
    order = {"failed": 0, _RUNNING: 1}
    ordered = sorted(found, key=lambda key: (order.get(key[0], 2), -len(found[key]), key))
    return [
        Reason(
            key[0],
            key[1],
            key[2] if len(found[key]) > 1 else display_text(found[key][0].reason) or key[2],
            advice_for(key[2], summary),
            len(found[key]),
            tuple(project_link(r.project, site_url) for r in found[key][:_MOST_NAMES]),
        )
        for key in ordered
    ]


def project_link(project: Project, site_url: str) -> ProjectLink:
    """Name a project, with a link to it if the site has an address."""
    # The web interface's address of a project, as its users' bookmarks have it. Not verified on a
    # real site: should it change, the site shows its own start page.
    link = ""
    if site_url.startswith(("https://", "http://")) and is_id(project.id):
        link = f"{site_url.rstrip('/')}/#/projects/{project.id}/information"
    return ProjectLink(display_name(project.group), display_name(project.label), link)


def kind_of(status: str) -> str:
    """Return the kind that a status is shown as: one that the gear doesn't know is running."""
    return str(status) if status in _KIND_ORDER else _RUNNING


def display_status(record: SnapshotRecord) -> str:
    """Return the site's word, without its underscores."""
    return display_text(record.status).replace("_", " ")


def display_text(text: str) -> str:
    """Return what anybody may have written in one line of bounded length."""
    return one_line(text, 300)


def display_name(text: str) -> str:
    """Return a label or a group's id, never blank."""
    return one_line(text, 120) or "(none)"


def display_time(when: datetime | None) -> str:
    """Return a time in UTC, to the second; blank for none."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when else ""
