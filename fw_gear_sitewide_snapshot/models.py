"""The values that flow through a run. All are frozen; none does I/O."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from .text import one_line


class SnapshotStatus(StrEnum):
    """The words that a record's status can be, besides ones that only a newer site knows.

    A status is kept as the site's own word, so a plain ``str`` that equals none of these is
    possible wherever a status is: it counts as not final.
    """

    PLANNED = "planned"
    """Ours alone: a dry run, or a person, says that a snapshot is to be started."""
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    FAILED = "failed"


class Origin(StrEnum):
    """Where the snapshot of a row is from."""

    STARTED = "started"  # by a run of the batch
    REUSED = "reused"  # made before the batch began


FINAL = frozenset({SnapshotStatus.COMPLETE, SnapshotStatus.FAILED})
"""The states that the site never leaves again."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Project:
    """A project, as the finder or a report names it; ``group`` is the group's id."""

    id: str
    label: str
    group: str

    @property
    def path(self) -> str:
        """The project's name for people: ``group/label``."""
        return f"{self.group}/{self.label}"

    @property
    def described(self) -> str:
        """The project for the log: ``group/label (id)``."""
        return f"{self.path} ({self.id})"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the site says of a snapshot."""

    id: str
    status: str
    created: datetime | None  # None where the site doesn't say
    reason: str = ""  # why it failed, in the site's words; empty where it doesn't say


@dataclass(frozen=True, slots=True)
class UnreadableSnapshot:
    """What can be read of a snapshot that is listed, and can't be read as a whole."""

    created: datetime | None  # None where that can't be read
    id: str = ""  # likewise empty


@dataclass(frozen=True, slots=True)
class SnapshotList:
    """What the site's list says of a project's snapshots."""

    snapshots: tuple[Snapshot, ...]  # those that could be read, in the site's order
    unreadable: tuple[UnreadableSnapshot, ...] = ()  # the others
    whole_since: datetime = _BEGINNING  # everything that was made after this moment is in the list

    @property
    def is_readable(self) -> bool:
        """Whether nothing in it was left out, or has no time."""
        return not self.unreadable and all(snapshot.created for snapshot in self.snapshots)

    def made_since(self, since: datetime) -> list[Snapshot]:
        """Select those that were certainly made at or after a moment, oldest first."""
        made = [(s.created, s) for s in self.snapshots if s.created and s.created >= since]
        return [snapshot for _, snapshot in sorted(made, key=lambda pair: pair[0])]

    def shows_all_since(self, since: datetime, known: Collection[str] = ()) -> bool:
        """Say whether what was made since is certainly told; ``known`` ids are none of that."""
        is_dated = all(s.created or s.id in known for s in self.snapshots)
        times = [record.created for record in self.unreadable if record.id not in known]
        is_older = all(when and when < since for when in times)
        return since > self.whole_since and is_dated and is_older


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """What was found in a snapshot that was fetched and checked."""

    size_bytes: int  # of the file as it was fetched, compressed
    sha256: str  # of the same; 64 hex digits
    subjects: int  # that are not deleted, like the three that follow
    sessions: int
    acquisitions: int
    files: int


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A row of the report: one project of the batch and where its snapshot stands."""

    project: Project
    snapshot_id: str = ""  # 24 hex digits; empty while, or because, no snapshot is known
    # When the snapshot was made, or else when the row was last decided, both by the site's clock;
    # in UTC and whole seconds.
    timestamp: datetime | None = None
    batch_label: str = ""  # the batch that the row belongs to; may be empty
    status: str = SnapshotStatus.PENDING  # the site's own word, or ``planned``
    error: str = ""  # in one line: why it is not complete, fetched or copied; may be empty
    content: SnapshotContent | None = None  # None where it was not fetched and checked
    origin: str = ""  # of the snapshot: an Origin; empty without one
    finished_at: datetime | None = None  # when its end was first seen; as timestamp
    copied_to: str = ""  # the address of its copy in an object store; empty for none
    started: int = 0  # how many snapshots this run has started for it; not in the report

    @property
    def described(self) -> str:
        """The row's project for the log."""
        return self.project.described

    @property
    def is_complete(self) -> bool:
        """Whether the snapshot is complete, by the site's word; it may still have to be fetched."""
        return self.status == SnapshotStatus.COMPLETE

    def is_copied_to(self, place: str) -> bool:
        """Whether the snapshot's copy is in a place, by its address; empty: in any."""
        return self.copied_to.startswith(f"{place}/") if place else bool(self.copied_to)

    @property
    def is_started(self) -> bool:
        """Whether a run of the batch has started the snapshot."""
        return self.origin == Origin.STARTED

    @property
    def took_seconds(self) -> float | None:
        """How long the site took to build the snapshot, at the most; None where it isn't known."""
        if not (self.is_complete and self.is_started):
            return None
        made, ended = self.timestamp, self.finished_at
        return max(0.0, (ended - made).total_seconds()) if made and ended else None

    @property
    def is_running(self) -> bool:
        """Whether the snapshot exists and is not final."""
        return bool(self.snapshot_id) and self.status not in FINAL | {SnapshotStatus.PLANNED}

    @property
    def reason(self) -> str:
        """Why the row is not complete; where nothing has said so, what its state implies."""
        if self.error or self.is_complete:
            return self.error
        if self.status == SnapshotStatus.PLANNED:
            return "planned: no snapshot was started"
        if self.is_running:
            return "the run ended before the snapshot was finished: a retry waits for it"
        if self.status == SnapshotStatus.FAILED:
            return "the site reports that it failed"
        return "the run ended before it was known whether a snapshot was started: a retry looks"

    def with_error(self, words: str) -> "SnapshotRecord":
        """Return the record with another error, and nothing else changed."""
        return replace(self, error=one_line(words))

    def with_project(self, project: Project) -> "SnapshotRecord":
        """Return the record with the site's names for its project, as far as it gives any."""
        label, group = project.label or self.project.label, project.group or self.project.group
        return replace(self, project=Project(self.project.id, label, group))

    def with_snapshot(self, snapshot: Snapshot, when: datetime) -> "SnapshotRecord":
        """Return the record after the site said, at that time, where the snapshot stands."""
        error = ""
        if snapshot.status == SnapshotStatus.FAILED:
            said = f": {snapshot.reason}" if snapshot.reason else ""
            error = one_line(f"the site reports that it failed{said}")
        made = whole_seconds(snapshot.created) if snapshot.created else self.timestamp
        return replace(
            self,
            snapshot_id=snapshot.id,
            timestamp=made,
            status=snapshot.status,
            error=error,
            finished_at=whole_seconds(when) if snapshot.status in FINAL else None,
        )

    def failed(self, reason: str, when: datetime | None) -> "SnapshotRecord":
        """Return the record when there is no usable snapshot: why, and since when.

        ``when`` is None for a snapshot that is there no longer: its row keeps its id and its time.
        """
        return replace(
            self,
            snapshot_id="" if when else self.snapshot_id,
            timestamp=whole_seconds(when) if when else self.timestamp,
            status=SnapshotStatus.FAILED,
            error=one_line(reason),
            content=None,
            origin="" if when else self.origin,
            finished_at=None,
            copied_to="",
        )

    def reset_to_pending(self, when: datetime) -> "SnapshotRecord":
        """Return the record to be on disk before a create: since when a later run is to look."""
        began = whole_seconds(when)
        return SnapshotRecord(self.project, "", began, self.batch_label, started=self.started)


@dataclass(frozen=True, slots=True)
class SnapshotOrder:
    """A project that is to have a snapshot, or whose snapshot is running."""

    record: SnapshotRecord  # as it is on disk when the work begins
    look_up: bool = False  # whether to look it up first: a create succeeds for one that is gone
    # Since when an earlier run, or attempt, may have started one; None: certainly none has.
    wanted_since: datetime | None = None
    reuse_since: datetime | None = None  # one that was made since then will do; None: only its own
    is_audit: bool = False  # whether only to see if there is one that will do
    audited: SnapshotRecord | None = None  # the row as it was before the audit, if it names one
    failed_id: str = ""  # the snapshot that is known to have failed: never taken for the new one


def report_order(record: SnapshotRecord) -> tuple[str, str, str]:
    """Return the key that rows are sorted by: group, project label, id."""
    return record.project.group, record.project.label, record.project.id


def whole_seconds(when: datetime) -> datetime:
    """Return the time in UTC without its fraction: never later than the time itself."""
    return when.astimezone(UTC).replace(microsecond=0)
