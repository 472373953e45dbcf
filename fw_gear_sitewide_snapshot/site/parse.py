"""Parses a site's responses, decoded from JSON, into values. Does no I/O.

All of these functions raise OutcomeUnknownError, if they say nothing else, for what can't be read.
"""

import math
from datetime import UTC, datetime

from ..errors import AcceptedError, OutcomeUnknownError
from ..models import Project, Snapshot, SnapshotList, SnapshotStatus, UnreadableSnapshot
from ..text import is_id, one_line
from .http import find_message


def parse_document(data: object) -> dict[str, object]:
    """Return the response as one document."""
    if isinstance(data, dict):
        return data
    raise OutcomeUnknownError("unexpected response: no JSON object")


def parse_projects(data: object) -> tuple[list[Project], int]:
    """Return a page of projects in the site's order, and their total; 0 where it doesn't say."""
    return [parse_project(item) for item in _documents(data)], parse_total(data)


def parse_total(data: object) -> int:
    """Return how many items a page says that there are in all; 0 where it doesn't say."""
    totals = [data.get(name) for name in ("total", "total_count")] if isinstance(data, dict) else []
    return max([_count(total) for total in totals if total is not None], default=0)


def _count(value: object) -> int:
    """Return a number of items, also where it came as text, or as ``620.0``."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not number.is_integer():
        raise OutcomeUnknownError("unexpected response: a total that is no number")
    return int(number)


def parse_project(data: object, asked: str = "") -> Project:
    """Return one project: the one whose id was ``asked`` for, where one was."""
    document = parse_document(data)
    project_id = _parse_id(document.get("_id"), asked)
    return Project(project_id, _text(document.get("label")), _text(document.get("group")))


def parse_snapshots(data: object, limit: int) -> SnapshotList:
    """Return a project's snapshots; of an unreadable one its id and time, if these can be read.

    The request was for the newest ones first, and for ``limit`` of them at the most.
    """
    documents = _documents(data)
    snapshots, unreadable = [], []
    for item in documents:
        try:
            snapshots.append(parse_snapshot(item))
        except OutcomeUnknownError:
            record = item if isinstance(item, dict) else {}
            identifier = _text(record.get("_id"))
            known_id = identifier if is_id(identifier) else ""
            unreadable.append(UnreadableSnapshot(parse_time(record.get("created")), known_id))
    times = [snapshot.created for snapshot in snapshots if snapshot.created]
    whole_since = datetime.min.replace(tzinfo=UTC)
    if len(documents) >= limit or _may_lack_some(data, len(documents)):
        # There are more. If these are sorted, none is missing that is newer than the oldest one.
        newest_first = bool(times) and times == sorted(times, reverse=True)
        whole_since = times[-1] if newest_first else datetime.max.replace(tzinfo=UTC)
    return SnapshotList(tuple(snapshots), tuple(unreadable), whole_since)


def _may_lack_some(data: object, count: int) -> bool:
    """Say whether a page of so many items has others beside it, or doesn't tell in numbers."""
    try:
        return parse_total(data) > count
    except OutcomeUnknownError:
        return True


def parse_snapshot(data: object, asked: str = "") -> Snapshot:
    """Return one snapshot; a status that nobody knows is kept as it is.

    It is the one whose id was ``asked`` for, where one was.
    """
    document = parse_document(data)
    status = document.get("status")
    if not isinstance(status, str) or not status.strip():
        raise OutcomeUnknownError("unexpected response: a snapshot without a status")
    word = one_line(_text(status))
    # Upper and lower case mean the same, as in reports. "planned" is the gear's own status.
    if word.lower() == SnapshotStatus.PLANNED:
        word = f"{word} (on the site)"
    elif word.lower() in set(SnapshotStatus):
        word = word.lower()
    reason = one_line(find_message(document)) if word == SnapshotStatus.FAILED else ""
    snapshot_id = _parse_id(document.get("_id"), asked)
    return Snapshot(snapshot_id, word, parse_time(document.get("created")), reason)


def parse_created(data: object) -> Snapshot:
    """Return the snapshot that a create has made; AcceptedError where the response names none."""
    try:
        return parse_snapshot(data)
    except OutcomeUnknownError as error:
        raise AcceptedError(f"accepted, but the response names no snapshot: {error}") from None


def _documents(data: object) -> list[object]:
    """Return the items of a list, bare or in the ``results`` of a page: sites do either."""
    items = data.get("results") if isinstance(data, dict) else data
    if isinstance(items, list):
        return items
    raise OutcomeUnknownError("unexpected response: no JSON list")


def _parse_id(value: object, asked: str) -> str:
    """Return an id."""
    if not (isinstance(value, str) and is_id(value)):
        raise OutcomeUnknownError('unexpected response: no "_id" of 24 hex digits')
    if asked and value != asked:
        raise OutcomeUnknownError("unexpected response: another id than was asked for")
    return value


def _text(value: object) -> str:
    """Return text, with a question mark for what UTF-8 can't encode (half a surrogate pair)."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def parse_time(value: object) -> datetime | None:
    """Return a time in UTC, which it is in where it has no zone; None where it can't be read."""
    # A date alone would be read as its midnight, hours before the moment that it stands for.
    if not isinstance(value, str) or len(value) <= len("2026-01-31"):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
