"""Turns what a site answers, decoded from JSON, into values. Does no I/O.

What makes no sense is an OutcomeUnknownError: from all of these functions.
"""

from datetime import UTC, datetime

from .errors import OutcomeUnknownError
from .models import Project, Snapshot, SnapshotStatus, is_id, one_line


def document_in(data: object) -> dict[str, object]:
    """The answer as one document."""
    if isinstance(data, dict):
        return data
    raise OutcomeUnknownError("the answer makes no sense: no JSON object")


def _documents(data: object) -> list[object]:
    """The items of a list, bare or in the ``results`` of a page: a site may answer either way."""
    items = data.get("results") if isinstance(data, dict) else data
    if isinstance(items, list):
        return items
    raise OutcomeUnknownError("the answer makes no sense: no JSON list")


def projects_in(data: object) -> list[Project]:
    """A page of projects, in the site's order."""
    return [project_in(item) for item in _documents(data)]


def project_in(data: object) -> Project:
    """One project."""
    document = document_in(data)
    return Project(_id(document), _text(document.get("label")), _text(document.get("group")))


def snapshots_in(data: object) -> list[Snapshot]:
    """A project's snapshots, in the site's order."""
    return [snapshot_in(item) for item in _documents(data)]


def snapshot_in(data: object) -> Snapshot:
    """One snapshot; a status that nobody knows is kept as it is."""
    document = document_in(data)
    status = document.get("status")
    if not isinstance(status, str) or not status.strip():
        raise OutcomeUnknownError("the answer makes no sense: a snapshot without a status")
    word = one_line(_text(status))
    # Known words in another case are those words: reports are read that way too.
    known = word.lower() if word.lower() in set(SnapshotStatus) else word
    return Snapshot(_id(document), known, _time(document.get("created")))


def _id(document: dict[str, object]) -> str:
    identifier = document.get("_id")
    if isinstance(identifier, str) and is_id(identifier):
        return identifier
    raise OutcomeUnknownError('the answer makes no sense: no "_id" of 24 hex digits')


def _text(value: object) -> str:
    """Text as it is; what UTF-8 can't hold (half a surrogate pair) as a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
