"""What the page says first: the headline and its colour, what is not covered, what has changed."""

from collections import Counter
from dataclasses import dataclass

from ..models import Project, SnapshotStatus
from ..text import counted
from .changes import Changes
from .page_content import ProjectLink, display_name, kind_of, project_link
from .summary import Summary

_MOST_NAMES = 100  # in one list


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened to some projects since an earlier batch."""

    kind: str
    title: str
    count: int
    projects: tuple[tuple[ProjectLink, str], ...]  # and for each one what is to be said besides


def headline(summary: Summary) -> str:
    """Say in one sentence what the batch has come to, and what it does not cover."""
    sentence = _result(summary)
    hidden = len(summary.hidden or ())
    if hidden:
        more = "" if _is_all_complete(summary) else " more"
        sentence += f"; you are not a member of {hidden:,}{more}"
    if summary.changes and summary.changes.is_loss:
        gone, less = len(summary.changes.gone), len(summary.changes.losses)
        words = [f"{gone:,} {'is' if gone == 1 else 'are'} gone"] if gone else []
        words += [f"{less:,} {'holds' if less == 1 else 'hold'} less"] if less else []
        sentence += f"; since the earlier batch, {' and '.join(words)}"
    if not summary.is_batch_copied:
        sentence += "; the report itself could not be copied"
    return f"{sentence}."


def severity(summary: Summary) -> str:
    """Return the kind that the headline is shown in: the worst one, or the plan.

    What is complete is a warning where the batch does not cover the site, or something is lost.
    """
    found = set(map(kind_of, summary.counts))
    if summary.unfetched or not summary.is_batch_copied:
        found.add("failed")
    if summary.audit_hours:
        found = {"complete" if summary.is_complete else "failed"}
    worst_first = ("planned", "failed", "running", "complete")
    kind = next((kind for kind in worst_first if kind in found), "planned")
    is_loss = summary.changes is not None and summary.changes.is_loss
    return "warning" if kind == "complete" and (summary.hidden or is_loss) else kind


def hidden_groups(summary: Summary) -> list[tuple[str, int]]:
    """Return the groups of the projects that the user can't see, and how many each has."""
    counts = Counter(project.group for project in summary.hidden or ())
    return [(display_name(group), counts[group]) for group in sorted(counts)]


def changes(found: Changes, site_url: str) -> list[Change]:
    """Return what has changed since the earlier batch, what a person has to look at first."""
    lists: list[tuple[str, str, list[tuple[Project, str]]]] = [
        ("warning", "Gone: deleted, or not visible to you", [(p, "") for p in found.gone]),
        (
            "warning",
            "Less than before",
            [(loss.project, loss.described()) for loss in found.fewer],
        ),
        ("complete", "New", [(project, "") for project in found.new]),
        (
            "complete",
            "Renamed or moved",
            [(now, f"was {display_name(before.path)}") for before, now in found.renamed],
        ),
    ]
    return [
        Change(
            kind,
            title,
            len(projects),
            tuple((project_link(p, site_url), words) for p, words in projects[:_MOST_NAMES]),
        )
        for kind, title, projects in lists
        if projects
    ]


def contents_compared(found: Changes) -> str:
    """Return what is known where no project holds less than before."""
    if not found.compared:
        return "; contents were not compared, which takes two batches that were fetched"
    return f", and of {counted(found.compared, 'project')} that were compared none holds less"


def _is_all_complete(summary: Summary) -> bool:
    return set(summary.counts) == {SnapshotStatus.COMPLETE}


def _result(summary: Summary) -> str:
    total, unfetched = summary.total, len(summary.unfetched)
    projects, fetched = (
        counted(total, "project"),
        "copied" if {*map(summary.lacks, summary.unfetched)} == {"copied"} else "fetched",
    )
    counts: Counter[str] = Counter()
    for status, count in summary.counts.items():
        counts[kind_of(status)] += count
    missing = total - counts["complete"]
    have_all = "The project has" if total == 1 else f"All {projects} have"
    if summary.hidden:
        site = counted(total + len(summary.hidden), "project")
        have_all = f"{total:,} of the site’s {site} {'has' if total == 1 else 'have'}"
    if not total:
        return "There are no projects in this batch"
    if summary.audit_hours:
        hours = "hour" if summary.audit_hours == 1 else f"{summary.audit_hours:g} hours"
        if not missing:
            return f"{have_all} a snapshot of the last {hours}"
        lacking, untold = counts["planned"], missing - counts["planned"]
        words = f"{lacking:,} of {projects} {'has' if lacking == 1 else 'have'} no complete"
        some = [f"{words} snapshot of the last {hours}"] if lacking else []
        words = f"{untold:,}" if lacking else f"{untold:,} of {projects}"
        some += [f"{words} {'is' if untold == 1 else 'are'} being built or not known"] * bool(
            untold
        )
        return "; ".join(some)
    if planned := counts["planned"]:  # nothing but a dry run leaves a row like that
        many = projects if planned == total else f"{planned:,} of {projects}"
        return f"Dry run: {many} would be snapshotted; nothing was started"
    if not missing:
        lost = "it could not" if total == 1 else f"{unfetched:,} could not"
        lost = "none could" if unfetched == total > 1 else lost
        but = f", but {lost} be {fetched}" if unfetched else ""
        return f"{have_all} a complete snapshot{but}"
    yet = " yet" if missing == counts["running"] else ""
    if missing == total:
        have = "The project has no" if total == 1 else f"None of the {projects} has a"
        return f"{have} complete snapshot{yet}"
    verb = "has" if missing == 1 else "have"
    also = f", and {counted(unfetched, 'snapshot')} could not be {fetched}" if unfetched else ""
    return f"{missing:,} of {projects} {verb} no complete snapshot{yet}{also}"
