"""What the page says of a batch: its groups, what needs a look, and the words for both.

Values only, and words as they are to be read. The headline is in ``page_headline.py``, the table of
all projects in ``page_table.py``; how anything looks is the templates' part.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..models import Project, SnapshotRecord, SnapshotStatus
from ..text import duration, is_id, listed, one_line
from .advice import group_by_reason
from .summary import Summary

MOST_GROUPS = 1_000  # that the page shows; the filter of all projects has the rest
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
    names = dict.fromkeys(one_line(r.batch_label, 100) for r in records if r.batch_label)
    return listed(list(names), _MOST_BATCHES)


def statuses(records: Sequence[SnapshotRecord]) -> list[tuple[str, str, int]]:
    """Return kind, status and number of rows of each status, in the order of the bars."""
    counts = Counter((kind_of(record.status), display_status(record.status)) for record in records)
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
    unfetched = {record.project.id for record in summary.unfetched}
    shown = (record for record in records if _needs_look(record) or record.project.id in unfetched)
    found = []
    for status, text, advice, concerned in group_by_reason(shown, summary):
        first = concerned[0]
        kind = "failed" if first.project.id in unfetched else kind_of(first.status)
        words = display_status(status), display_text(text), advice
        links = tuple(project_link(r.project, site_url) for r in concerned[:_MOST_NAMES])
        found.append(Reason(kind, *words, len(concerned), links))
    order = {"failed": 0, _RUNNING: 1}
    return sorted(found, key=lambda reason: order.get(reason.kind, 2))  # stable


def _needs_look(record: SnapshotRecord) -> bool:
    is_plan = record.status == SnapshotStatus.PLANNED
    return bool(record.error if is_plan else record.reason)


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


def display_status(status: str) -> str:
    """Return the site's word, without its underscores."""
    return display_text(status).replace("_", " ")


def display_text(text: str) -> str:
    """Return what anybody may have written in one line of bounded length."""
    return one_line(text, 300)


def display_name(text: str) -> str:
    """Return a label or a group's id, never blank."""
    return one_line(text, 120) or "(none)"


def display_time(when: datetime | None) -> str:
    """Return a time in UTC, to the second; blank for none."""
    return str(when.astimezone(UTC))[:19] if when else ""
