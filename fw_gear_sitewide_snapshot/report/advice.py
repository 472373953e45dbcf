"""Why rows are not complete, the same reason once, and what a person can do about it."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..models import SnapshotRecord, SnapshotStatus
from ..text import duration
from .summary import Summary

# What differs from row to row: ids, checksums, ages, sizes.
_VARYING = re.compile(
    r"\b[0-9a-f]{16,}\b|\b\d+ (?:min|h|days)(?= old)|\b[\d,.]+ (?:bytes?|[KMGT]iB)\b"
)
# After these words the site's own follow, from which nothing can be told.
_SITE_WORDS = re.compile(r"(the site reports that it failed|the site says \d{3}): .*", re.DOTALL)


class Advice(NamedTuple):
    """What a person can do about a reason."""

    words: str  # a regular expression: what this gear writes into such a row
    text: str
    may_retry_help: bool


# The first one that fits is given. What a retry waits or looks for comes first, whatever the site
# has said of it.
_ADVICE = (
    Advice(
        r"not finished within|no snapshot was seen within",
        'A retry ("retry failed") waits for it and starts nothing twice.{slowest} A longer '
        '"timeout minutes" gives the site more time.',
        may_retry_help=True,
    ),
    Advice(
        r"whether a snapshot was started",
        'With this report as "retry failed" none is started twice.',
        may_retry_help=True,
    ),
    Advice(
        r"the site says 40[13]\b",
        "You lack a right there, so a retry can't help. By default a project's Admin probably has "
        "it; an administrator of the project or the site can give you that role.",
        may_retry_help=False,
    ),
    Advice(
        r"there is no such project",
        "It was deleted, and nothing is left to do; or you can't see it any more: then ask an "
        "administrator of the project for access.",
        may_retry_help=False,
    ),
    Advice(
        r"the snapshot is gone",
        'Somebody has deleted the snapshot. A retry ("retry failed") starts another one.',
        may_retry_help=True,
    ),
    Advice(
        r"no room|the disk is full",
        "The job's disk is too small. Fetch fewer projects at a time, or run on a larger disk.",
        may_retry_help=True,
    ),
    Advice(
        r"^download failed",
        'A retry ("retry failed", with the same options) fetches it again.',
        may_retry_help=True,
    ),
    Advice(
        r"^copy failed: there is another file already",
        "The copy that is there is not of this snapshot, or it was changed. Nothing is replaced: "
        "move it away, or copy to another place; then retry.",
        may_retry_help=True,
    ),
    Advice(
        r"^copy failed",
        'A retry ("retry failed", with "copy to") copies it, and starts nothing.',
        may_retry_help=True,
    ),
    Advice(
        r"the site reports that it failed",
        'A retry ("retry failed") starts another one. If that fails too, show the reason to the '
        "site's administrator.",
        may_retry_help=True,
    ),
    Advice(
        r"the site says (408|421|425|429|499|5\d\d)\b|no connection|no answer|did not answer|"
        r"broken connection|unexpected response|redirect|was not asked|before the site was asked",
        'The site, or the way to it, was in trouble. Retry later ("retry failed").',
        may_retry_help=True,
    ),
    Advice(
        r"the site says 4\d\d\b",
        "The site refuses it, and will again until what it says has been put right.",
        may_retry_help=False,
    ),
)
_UNKNOWN = Advice("", "", may_retry_help=True)


class ReasonGroup(NamedTuple):
    """A reason, and the rows that it concerns, in the report's order."""

    status: str
    text: str  # in one line; what differs from row to row is masked
    advice: str  # what to do; empty where nothing is known
    records: tuple[SnapshotRecord, ...]


def group_by_reason(records: Iterable[SnapshotRecord], summary: Summary) -> list[ReasonGroup]:
    """Group rows by why they need a look, the reason that concerns most first."""
    groups: dict[tuple[str, str], list[SnapshotRecord]] = {}
    for record in records:
        lacks = summary.lacks(record)
        words = f"{record.status}, not {lacks}" if lacks else str(record.status)
        key = words, _VARYING.sub("…", _reason(record, summary))
        groups.setdefault(key, []).append(record)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))  # stable
    return [
        ReasonGroup(
            status,
            text if len({_reason(r, summary) for r in found}) > 1 else _reason(found[0], summary),
            _advice_text(status, text, summary),
            tuple(found),
        )
        for (status, text), found in ordered
    ]


def may_retry_help(summary: Summary) -> bool:
    """Say whether a retry may bring any row further; where nothing is known of a reason, it may."""
    is_helped = (_advice(_reason(row, summary)).may_retry_help for row in summary.incomplete)
    return not summary.is_batch_copied or any(is_helped)


def _reason(record: SnapshotRecord, summary: Summary) -> str:
    return record.reason or f"the run ended before it was {summary.lacks(record) or 'fetched'}"


def _advice(text: str) -> Advice:
    own = _SITE_WORDS.sub(r"\1", text)
    return next((advice for advice in _ADVICE if re.search(advice.words, own)), _UNKNOWN)


def _advice_text(status: str, text: str, summary: Summary) -> str:
    advice = _advice(text)
    if summary.audit_hours and advice.may_retry_help:  # a retry may start what is there already
        return "" if status == SnapshotStatus.PLANNED else "Audit again later."
    return advice.text.format(slowest=_slowest(summary))


def _slowest(summary: Summary) -> str:
    seconds = summary.slowest_seconds
    return f" The slowest one took {duration(seconds)}." if seconds else ""
