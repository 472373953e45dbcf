"""Sums a batch up for the log, the page, the metadata and the exit status."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ..models import Origin, Project, SnapshotContent, SnapshotRecord, report_order
from .changes import Changes


@dataclass(frozen=True, slots=True)
class Summary:
    """What the batch came to."""

    counts: dict[str, int] = field(default_factory=dict)  # by status, most frequent first
    batch_labels: tuple[str, ...] = ()  # sorted; without the empty one
    # Rows that are not complete, or not fetched or copied where that was asked for; in the report's
    # order.
    incomplete: tuple[SnapshotRecord, ...] = ()
    fetched: tuple[SnapshotContent, ...] = ()  # of the snapshots that were fetched and checked
    # Rows whose snapshots are copied to an object store: to that place, where one was given.
    copied: tuple[SnapshotRecord, ...] = ()
    to_fetch: bool = False  # whether the snapshots were to be fetched, or
    copy_to: str = ""  # to be copied to this place; empty: nowhere
    hidden: tuple[Project, ...] | None = None  # that the user can't see; None: that is not known
    reused: int = 0  # of the complete snapshots, those that were made before the batch began
    begin: datetime | None = None  # when the first snapshot was started; None for none
    end: datetime | None = None  # when the last was seen to be finished; None: not yet
    slowest_seconds: float = 0.0  # that a snapshot took which the batch has started; 0: not known
    changes: Changes | None = None  # since an earlier report; None: none was given
    is_batch_copied: bool = True  # or was not to be: the report, its page and the checksums
    audit_hours: float = 0.0  # how new a snapshot had to be in an audit; 0: this was none

    @classmethod
    def of(
        cls,
        records: Iterable[SnapshotRecord],
        *,
        to_fetch: bool = False,
        copy_to: str = "",
        hidden: tuple[Project, ...] | None = None,
        changes: Changes | None = None,
        audit_hours: float = 0.0,
    ) -> "Summary":
        """Sum the batch up; those not fetched (or copied), if that was to be, are incomplete."""
        records = sorted(records, key=report_order)
        ends = [record.finished_at for record in records if record.finished_at]
        counts = Counter(str(record.status) for record in records)
        return cls(
            counts=dict(counts.most_common()),
            batch_labels=tuple(sorted({r.batch_label for r in records} - {""})),
            incomplete=tuple(
                r
                for r in records
                if not r.is_complete
                or (to_fetch and r.content is None)
                or (copy_to and not r.is_copied_to(copy_to))
            ),
            fetched=tuple(record.content for record in records if record.content is not None),
            copied=tuple(record for record in records if record.is_copied_to(copy_to)),
            to_fetch=to_fetch,
            copy_to=copy_to,
            hidden=hidden,
            reused=sum(r.is_complete and r.origin == Origin.REUSED for r in records),
            begin=min(filter(None, (r.timestamp for r in records if r.is_started)), default=None),
            end=None if any(r.is_running for r in records) else max(ends, default=None),
            slowest_seconds=max((record.took_seconds or 0.0 for record in records), default=0.0),
            changes=changes,
            audit_hours=audit_hours,
        )

    @property
    def seconds(self) -> float | None:
        """How long the batch took, from its first start to its last end; None where unknown."""
        if self.begin is None or self.end is None:
            return None
        return max(0.0, (self.end - self.begin).total_seconds())

    @property
    def total(self) -> int:
        """How many projects the batch has."""
        return sum(self.counts.values())

    @property
    def is_complete(self) -> bool:
        """Whether every project of the batch has what was asked for."""
        return not self.incomplete and self.is_batch_copied

    @property
    def copied_bytes(self) -> int:
        """How large the copies are together."""
        return sum(record.content.size_bytes for record in self.copied if record.content)

    def lacks(self, record: SnapshotRecord) -> str:
        """Return what a complete row was to be and is not: ``fetched`` or ``copied``; or empty."""
        if not record.is_complete:
            return ""
        if self.copy_to and not record.is_copied_to(self.copy_to):
            return "copied"
        return "fetched" if self.to_fetch and record.content is None else ""

    @property
    def unfetched(self) -> tuple[SnapshotRecord, ...]:
        """Those of the incomplete whose snapshot is complete: it was not fetched, or not copied."""
        return tuple(record for record in self.incomplete if record.is_complete)
