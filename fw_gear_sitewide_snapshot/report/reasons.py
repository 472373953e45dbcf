"""Why rows are not complete, the same reason once, and what a person can do about it."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..models import SnapshotRecord
from ..text import duration
from .summary import Summary

_IDENTIFIER = re.compile(r"\b[0-9a-f]{16,}\b")  # of a project, a snapshot, a request, a checksum

# What to do, by the words that this gear writes into rows; the first that fits is given.
# Second, whether a retry can help.
_ADVICE: tuple[tuple[str, bool, str], ...] = (
    (
        r"the site says 40[13]\b",
        False,
        "You lack a right there, so a retry can't help. By default a project's Admin may make "
        "snapshots; an administrator of the project or the site can give you that role.",
    ),
    (
        r"there is no such project",
        False,
        "It was deleted, and nothing is left to do; or you can't see it any more: then ask an "
        "administrator of the project for access.",
    ),
    (
        r"the snapshot is gone",
        True,
        'Somebody has deleted the snapshot. A retry ("retry failed") starts another one.',
    ),
    (
        r"not finished within|no snapshot was seen within|not known within",
        True,
        'A retry ("retry failed") waits for it and starts nothing twice.{slowest} A longer '
        '"timeout minutes" gives the site more time.',
    ),
    (
        r"no room|the disk is full",
        True,
        "The job's disk is too small. Fetch fewer projects at a time, or run on a larger disk.",
    ),
    (
        r"^download failed",
        True,
        'A retry ("retry failed", with "download snapshots") fetches it again.',
    ),
    (
        r"the site reports that it failed",
        True,
        'A retry ("retry failed") starts another one. If that fails too, show the reason to the '
        "site's administrator.",
    ),
    (
        r"the site says (408|421|425|429|499|5\d\d)\b|no connection|no answer|did not answer|"
        r"broken connection|unexpected response|redirect|was not asked|before the site was asked",
        True,
        'The site, or the way to it, was in trouble. Retry later ("retry failed").',
    ),
    (
        r"the site says 4\d\d\b",
        False,
        "The site refuses it, and will again until what it says has been put right.",
    ),
)


class ReasonGroup(NamedTuple):
    """A reason, and the rows that it concerns, in the report's order."""

    status: str
    text: str  # in one line; with identifiers masked where it concerns several
    advice: str  # what to do; empty where nothing is known
    records: tuple[SnapshotRecord, ...]


def group_by_reason(records: Iterable[SnapshotRecord], summary: Summary) -> list[ReasonGroup]:
    """Group rows by why they are not complete, the reason that concerns most first."""
    groups: dict[tuple[str, str], list[SnapshotRecord]] = {}
    for record in records:
        key = str(record.status), mask_identifiers(_reason(record))
        groups.setdefault(key, []).append(record)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))  # stable
    return [
        ReasonGroup(
            status,
            text if len(found) > 1 else _reason(found[0]),
            advice_for(text, summary),
            tuple(found),
        )
        for (status, text), found in ordered
    ]


def _reason(record: SnapshotRecord) -> str:
    return record.reason or "the run ended before it was fetched"


def mask_identifiers(text: str) -> str:
    """Replace what differs from row to row: 25 vanished projects have one reason."""
    return _IDENTIFIER.sub("…", text)


def advice_for(text: str, summary: Summary) -> str:
    """Say what a person can do about a row's error; empty where nothing is known."""
    seconds = summary.slowest_seconds
    slowest = f" The slowest one took {duration(seconds)}." if seconds else ""
    found = (advice for words, _, advice in _ADVICE if re.search(words, text))
    return next(found, "").format(slowest=slowest)


def may_retry_help(summary: Summary) -> bool:
    """Say whether a retry may bring any row further; where nothing is known of a reason, it may."""
    return any(
        next((helps for words, helps, _ in _ADVICE if re.search(words, record.reason)), True)
        for record in summary.incomplete
    )
