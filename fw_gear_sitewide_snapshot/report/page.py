"""Writes ``snapshot_report.html``: what ``snapshot_report.csv`` says, for people.

It is one file that loads nothing: style and script are inside, and its Content-Security-Policy lets
nothing else run. What it says is decided in ``page_content.py`` and ``page_table.py``.
"""

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__, importing
from ..models import SnapshotRecord, report_order
from ..text import counted, one_line
from . import page_content, page_headline, page_table
from .atomic_write import atomic_write
from .summary import Summary

if TYPE_CHECKING:
    import jinja2

PAGE_NAME = "snapshot_report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the page says of the run that has made it; the times are by the site's clock."""

    ended: datetime
    began: datetime | None = None
    site_url: str = ""  # its root, such as https://flywheel.example.org; empty: there are no links
    asked_for: str = ""  # the filter, or the report that was retried
    is_all: bool = False  # whether the batch is every project that the user is a member of
    options: str = ""  # in the words of the config
    user: str = ""  # who has launched the job
    job_id: str = ""
    attempt: int = 0  # of the job, from 1; 0: not known


def write(records: Iterable[SnapshotRecord], summary: Summary, folder: Path, run: Run) -> Path:
    """Write the page to the output folder in one step, and return its path.

    The records may come in any order; the summary is theirs.

    Raises:
        OutputError: The folder can't be written to.
    """
    path = folder / PAGE_NAME
    with atomic_write(path) as file:
        file.writelines(render(records, summary, run))
    return path


def render(records: Iterable[SnapshotRecord], summary: Summary, run: Run) -> Iterator[str]:
    """Yield the page's HTML in pieces; the arguments are those of ``write``.

    As one text, a page of 20,000 projects would take more memory than the whole run.
    """
    template, style, script = _template()
    records = sorted(records, key=report_order)
    incomplete = frozenset(record.project.id for record in summary.incomplete)
    listed = page_table.listed(records, incomplete)
    columns = page_table.columns(records)
    widths = " ".join(f"var(--{column.name})" for column in columns)
    style = f"{style}\n.projects {{ --columns: {widths}; }}"
    return template.generate(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        written_at=page_content.display_time(run.ended),
        batches=page_content.batch_names(records),
        severity=page_headline.severity(summary),
        headline=page_headline.headline(summary),
        hidden_groups=page_headline.hidden_groups(summary),
        is_coverage_unknown=run.is_all and summary.hidden is None,
        changes=page_headline.changes(summary.changes, run.site_url) if summary.changes else None,
        contents=page_headline.contents_compared(summary.changes) if summary.changes else "",
        provenance=_provenance(run),
        version=__version__,
        summary=summary,
        statuses=page_content.statuses(records),
        listed_statuses=page_content.statuses(listed),
        groups=page_content.groups(records),
        begin=page_content.display_time(summary.begin),
        end=page_content.display_time(summary.end),
        batch_took=page_content.batch_took(summary),
        slowest=page_content.slowest(records, run.site_url),
        reasons=page_content.reasons(records, summary, run.site_url),
        most_groups=page_content.MOST_GROUPS,
        most_reasons=page_content.MOST_REASONS,
        counted=counted,
        columns=columns,
        listed=len(listed),
        left_out=page_table.left_out(len(records), len(incomplete), len(listed)),
        most_at_once=page_table.MOST_AT_ONCE,
        rows=page_table.rows(listed[: page_table.MOST_AT_ONCE], columns, run.site_url),
        totals=page_table.totals(columns, records),
        data_lines=page_table.data_lines(listed, columns, incomplete),
    )


def _provenance(run: Run) -> list[tuple[str, str]]:
    """Return what the page was made from, by name, as far as it is known."""
    facts = {
        "Batch of": run.asked_for,
        "Options": run.options,
        "Site": run.site_url,
        "User": run.user,
        "Job": run.job_id,
        "Attempt": str(run.attempt or ""),
        "Gear": f"sitewide-snapshot {__version__}",
        "Run began": f"{page_content.display_time(run.began)} UTC" if run.began else "",
        "Run ended": f"{page_content.display_time(run.ended)} UTC",
    }
    return [(name, one_line(text, 2_000)) for name, text in facts.items() if text]


@functools.cache
def _template() -> "tuple[jinja2.Template, str, str]":
    """Read the page's template, style and script, once."""
    with importing("jinja2"):  # not sooner: nothing before the first page needs it
        import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.loader = loader = jinja2.PackageLoader(__package__)
    style = loader.get_source(environment, "page.css")[0].strip()
    script = loader.get_source(environment, "page.js")[0].strip()
    return environment.get_template("page.html.jinja"), style, script


def _hash(text: str) -> str:
    """Return what the page's policy names the style or the script by: no other one runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
