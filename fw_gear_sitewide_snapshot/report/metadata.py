"""Tells the platform about the report: the values for ``.metadata.json``. Does no I/O.

Rules can tell a batch that is complete from one that is not by the tag, people by the QC result.
The toolkit's own ``add_qc_result`` looks the file up by its name among the inputs first, and would
describe the report that was retried.
"""

from dataclasses import asdict
from typing import Any

from .. import __version__
from ..parser import GearConfig
from .changes import Changes
from .summary import Summary

TAG_COMPLETE = "snapshots-complete"
TAG_INCOMPLETE = "snapshots-incomplete"
TAG_LOST = "content-lost"

_MOST_NAMES = 20  # of each kind: a QC result is read on a page


def file_metadata(summary: Summary, config: GearConfig, job_id: str) -> dict[str, Any]:
    """Return the metadata of the report file, valid by the engine's schema.

    That is ``info`` with a QC result (``info.qc.<gear>.<name>``, as the platform shows it), and
    ``tags``. A plan has neither passed nor failed. Neither a plan nor an audit has a tag: a rule
    must not take it for a batch that is to be finished. The job's id is empty where not known.
    """
    report = config.retry_report
    state, tag = ("PASS", TAG_COMPLETE) if summary.is_complete else ("FAIL", TAG_INCOMPLETE)
    result: dict[str, Any] = {
        "state": "NA" if config.is_plan else state,
        "projects": summary.total,
        "counts": summary.counts,
        "not complete": len(summary.incomplete),
        "reused": summary.reused,
        "begin": summary.begin.isoformat() if summary.begin else "",
        "end": summary.end.isoformat() if summary.end else "",
        "seconds": summary.seconds,
        "batch": ", ".join(summary.batch_labels),
        "filter": f"(the report {report.name})" if report else config.filter_text,
        "gear version": __version__,
    }
    if summary.hidden is not None:
        result["projects not visible"] = len(summary.hidden)
        result["groups not visible"] = sorted({project.group for project in summary.hidden})
    if summary.changes:
        result |= _changes(summary.changes)
    if summary.fetched:
        contents = [asdict(content) for content in summary.fetched]
        names = [name for name in contents[0] if name != "sha256"]
        result["fetched"] = len(contents)
        result |= {f"fetched {name}": sum(c[name] for c in contents) for name in names}
    if summary.copy_to or summary.copied:
        result["copied"] = len(summary.copied)
        result["copied size_bytes"] = summary.copied_bytes
        result["copied to"] = config.copy_to
    qc = {"job_info": {"version": __version__, "job_id": job_id}, "snapshots": result}
    is_loss = summary.changes is not None and summary.changes.is_loss
    tags = [tag, TAG_LOST] if is_loss else [tag]
    return {"info": {"qc": {"sitewide-snapshot": qc}}, "tags": [] if config.dry_run else tags}


def _changes(changes: Changes) -> dict[str, Any]:
    """Return how many projects have changed since an earlier report, and the first of them."""
    found = {
        "gone": [project.path for project in changes.gone],
        "new": [project.path for project in changes.new],
        "renamed": [f"{before.path} → {now.path}" for before, now in changes.renamed],
        "fewer": [f"{loss.project.path}: {loss.described()}" for loss in changes.fewer],
    }
    counts = {name: len(words) for name, words in found.items()}
    names = {f"{name} projects": words[:_MOST_NAMES] for name, words in found.items() if words}
    lost = len(changes.losses)
    return {**counts, "lost": lost, "contents compared": changes.compared, **names}
