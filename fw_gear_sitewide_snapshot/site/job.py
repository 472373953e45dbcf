"""Finds the first attempt of a job that the platform has started again, as a job of its own.

The fields are those of flywheel-sdk's model of a job's detail.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import OutcomeUnknownError, RejectedError
from ..text import is_id
from .parse import parse_document, parse_time

log = logging.getLogger(__name__)

_MOST_ATTEMPTS = 20  # that are followed back, where the site doesn't name the first
_LONGEST_WAIT = timedelta(days=2)  # of a job, from when its id was made until it began


@dataclass(frozen=True, slots=True)
class Job:
    """What the site says of a job."""

    id: str
    attempt: int = 0  # from 1; 0 where the site doesn't say
    previous_id: str = ""  # of the job that this one follows; empty for none
    original_id: str = ""  # of the first attempt; empty where the site doesn't say
    began: datetime | None = None  # to run, or else was created, by the site's clock
    user: str = ""  # who has launched it; empty where the site doesn't say


def parse_job(data: object, asked: str) -> Job:
    """Return the job whose id was ``asked`` for; OutcomeUnknownError where it is no such job."""
    document = parse_document(data)
    if (document.get("_id") or document.get("id") or asked) != asked:
        raise OutcomeUnknownError("unexpected response: another id than was asked for")
    attempt, transitions = document.get("attempt"), document.get("transitions")
    running = transitions.get("running") if isinstance(transitions, dict) else None
    kind, launched_by = parse_origin(document)
    return Job(
        asked,
        attempt if isinstance(attempt, int) else 0,
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

    Where the site doesn't tell of an earlier attempt, ``began`` is the earliest moment that it has
    told: at the least, what was made since then is not made again.

    Raises:
        RejectedError: The site tells neither the job's attempt, nor a moment.
        SiteError: ``ask`` raised it; of an earlier job, all but RejectedError.
    """
    if job.attempt <= 1 and not job.previous_id:
        if job.attempt < 1:
            raise RejectedError("unexpected response: the job's attempt is not told")
        return None
    first, told, why = job, {job.id: job}, "it is not named"
    while (earlier := first.original_id or first.previous_id) and earlier not in told:
        try:
            if len(told) > _MOST_ATTEMPTS:
                raise RejectedError(f"more than {_MOST_ATTEMPTS} attempts")
            first = ask(earlier)
        except RejectedError as error:
            first, why = Job(earlier), str(error)
        told[earlier] = first
    moments = [moment for each in told.values() if (moment := each.began or _created(each.id, job))]
    if not moments:
        raise RejectedError("unexpected response: when the job began is not told")
    if first is job or first.attempt > 1 or not first.began:
        words = "The site does not tell when the job's first attempt began, only of %s: %s"
        log.warning(words, min(moments).isoformat(" ", "seconds"), why)
    return replace(first, began=min(moments))


def _created(identifier: str, job: Job) -> datetime | None:
    """Return when an earlier job was created, by its id; None where the site's ids don't tell.

    The first eight digits of an id that MongoDB makes are the time in seconds. They are believed
    only where the id of the later ``job`` shows that the site's ids are such ones.
    """
    if not (is_id(identifier) and is_id(job.id) and job.began):
        return None
    created, known = (datetime.fromtimestamp(int(i[:8], 16), UTC) for i in (identifier, job.id))
    is_such = created <= known and abs(job.began - known) < _LONGEST_WAIT
    return created if is_such else None


def _other_id(value: object) -> str:
    return value if isinstance(value, str) and value else ""
