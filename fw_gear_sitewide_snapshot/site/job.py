"""Finds the first attempt of a job that the platform has started again, as a job of its own.

The fields are those of flywheel-sdk's model of a job's detail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import OutcomeUnknownError
from .parse import parse_document, parse_id, parse_time

_MOST_ATTEMPTS = 20  # that are followed back, where the site doesn't name the first


@dataclass(frozen=True, slots=True)
class Job:
    """What the site says of a job."""

    id: str
    attempt: int  # from 1
    previous_id: str  # of the job that this one follows; empty for none
    original_id: str  # of the first attempt; empty where the site doesn't say
    began: datetime | None  # when it began to run, or else was created, by the site's clock
    user: str = ""  # who has launched it; empty where the site doesn't say


def parse_job(data: object) -> Job:
    """Return a job; OutcomeUnknownError where it has no id."""
    document = parse_document(data)
    attempt, transitions = document.get("attempt"), document.get("transitions")
    running = transitions.get("running") if isinstance(transitions, dict) else None
    kind, launched_by = parse_origin(document)
    return Job(
        parse_id(document.get("_id") or document.get("id")),
        attempt if isinstance(attempt, int) else 1,
        _other_id(document.get("previous_job_id")),
        _other_id(document.get("original_job_id")),
        parse_time(running) or parse_time(document.get("created")),
        launched_by if kind == "user" else "",
    )


def parse_origin(document: dict[str, Any]) -> tuple[str, str]:
    """Return the type and the id of who is behind a document; empty where it doesn't say."""
    origin = document.get("origin")
    if not isinstance(origin, dict):
        return "", ""
    return _other_id(origin.get("type")), _other_id(origin.get("id"))


def find_first_attempt(ask: Callable[[str], Job], job: Job) -> Job | None:
    """Return the job's first attempt, with its ``began``; None where it is the first itself.

    Raises:
        SiteError: The site doesn't say, or ``ask`` raised it.
    """
    if job.attempt <= 1 and not job.previous_id:
        return None
    first, seen = job, {job.id}
    while (earlier := first.original_id or first.previous_id) and earlier not in seen:
        seen.add(earlier)
        if len(seen) > _MOST_ATTEMPTS:
            raise OutcomeUnknownError(f"more than {_MOST_ATTEMPTS} attempts")
        first = ask(earlier)
    if first is job or first.began is None:
        raise OutcomeUnknownError("unexpected response: when the first attempt began is not told")
    return first


def _other_id(value: object) -> str:
    return value if isinstance(value, str) and value else ""
