"""What the gear says of its report to the platform: the values for ``.metadata.json``. Does no I/O.

Rules can tell a batch that is complete from one that is not by the tag, people by the QC result.
The toolkit's own ``add_qc_result`` looks the file up by its name among the inputs first, and would
describe the report that was retried.
"""

from dataclasses import asdict
from typing import Any

from . import __version__
from .models import Summary
from .parser import GearConfig

TAG_COMPLETE = "snapshots-complete"
TAG_INCOMPLETE = "snapshots-incomplete"

_GEAR = "sitewide-snapshot"
_QC_NAME = "snapshots"


def file_metadata(summary: Summary, config: GearConfig, job_id: str) -> dict[str, Any]:
    """The metadata of the report file.

    Args:
        summary: What the batch has come to.
        config: What the run was to do. A dry run has neither passed nor failed, and no tag: a rule
            must not take its plan for a batch that is to be finished.
        job_id: The job's id, empty where it is not known.

    Returns:
        ``info`` with a QC result (``info.qc.<gear>.<name>``, as the platform shows it) and
        ``tags``, valid by the engine's schema.
    """
    state, tag = ("PASS", TAG_COMPLETE) if summary.is_complete else ("FAIL", TAG_INCOMPLETE)
    result: dict[str, Any] = {
        "state": "NA" if config.dry_run else state,
        "projects": summary.total,
        "counts": summary.counts,
        "not complete": len(summary.incomplete),
        "batch": ", ".join(summary.batch_labels),
        "filter": _filter(config),
        "gear version": __version__,
    }
    if summary.hidden is not None:
        result["projects not visible"] = len(summary.hidden)
        result["groups not visible"] = sorted({project.group for project in summary.hidden})
    if summary.fetched:
        contents = [asdict(content) for content in summary.fetched]
        for content in contents:
            del content["sha256"]
        result["fetched"] = len(contents)
        result |= {f"fetched {name}": sum(c[name] for c in contents) for name in contents[0]}
    job = {"version": __version__, "job_id": job_id}
    return {
        "info": {"qc": {_GEAR: {"job_info": job, _QC_NAME: result}}},
        "tags": [] if config.dry_run else [tag],
    }


def _filter(config: GearConfig) -> str:
    if config.retry_report is not None:
        return f"(the report {config.retry_report.name})"
    return "ALL" if config.project_filter is None else config.project_filter
