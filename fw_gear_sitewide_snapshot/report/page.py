"""Writes ``snapshot_report.html``: what ``snapshot_report.csv`` says, for people.

It is one file that loads nothing: style and script are inside, and its Content-Security-Policy lets
nothing else run. What it says is decided in ``page_content.py`` and ``page_table.py``.
"""

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..models import SnapshotRecord, report_order
from ..text import counted
from . import page_content, page_table
from .atomic_write import atomic_write
from .summary import Summary

if TYPE_CHECKING:
    import jinja2

PAGE_NAME = "snapshot_report.html"


def write(
    records: Iterable[SnapshotRecord],
    summary: Summary,
    folder: Path,
    *,
    site_url: str,
    written_at: datetime,
) -> Path:
    """Write the page to the output folder in one step, and return its path.

    The records may come in any order; the summary is theirs. ``site_url`` is the site's root, such
    as ``https://flywheel.example.org``; without one there are no links. ``written_at`` is by the
    site's clock.

    Raises:
        OutputError: The folder can't be written to.
    """
    path = folder / PAGE_NAME
    with atomic_write(path) as file:
        file.writelines(render(records, summary, site_url=site_url, written_at=written_at))
    return path


def render(
    records: Iterable[SnapshotRecord], summary: Summary, *, site_url: str, written_at: datetime
) -> Iterator[str]:
    """Yield the page's HTML in pieces; the arguments are those of ``write``.

    As one text, a page of 20,000 projects would take more memory than the whole run.
    """
    template, style, script = _template()
    records = sorted(records, key=report_order)
    unfetched = frozenset(record.project.id for record in summary.unfetched)
    columns = page_table.columns(records)
    widths = " ".join(f"var(--{column.name})" for column in columns)
    style = f"{style}\n.projects {{ --columns: {widths}; }}"
    return template.generate(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
        written_at=page_content.display_time(written_at),
        batches=page_content.batch_names(records),
        severity=page_content.severity(summary),
        headline=page_content.headline(summary),
        summary=summary,
        statuses=page_content.statuses(records),
        groups=page_content.groups(records),
        begin=page_content.display_time(summary.begin),
        end=page_content.display_time(summary.end),
        batch_took=page_content.batch_took(summary),
        slowest=page_content.slowest(records, site_url),
        reasons=page_content.reasons(records, unfetched, site_url),
        most_reasons=page_content.MOST_REASONS,
        counted=counted,
        columns=columns,
        rows=page_table.rows(records, columns, unfetched, site_url),
        totals=page_table.totals(columns, records),
    )


@functools.cache
def _template() -> "tuple[jinja2.Template, str, str]":
    """Read the page's template, style and script, once."""
    import jinja2  # noqa: PLC0415  nothing before the first page needs it

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
