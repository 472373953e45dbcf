"""Logs what happens while the batch is waited for: each step, and now and then the counts."""

import logging
import math
from collections import Counter

from ..clock import Clock
from ..errors import SiteError
from ..models import Origin, SnapshotRecord, SnapshotStatus
from ..snapshot.project_state import Call, ProjectState
from ..text import duration

log = logging.getLogger(__name__)

_CHANGES_SECONDS = 5.0  # between two lines, while the counts change
_AT_LEAST_SECONDS = 60.0  # likewise, while they don't


class Progress:
    """Counts rows by status, and logs the counts and what has changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged_counts: Counter[str] = Counter()
        self._logged = clock.monotonic()  # when the last line was written
        self._outcomes = self._expected = 0

    def expect_outcomes(self, count: int) -> None:
        """Expect this many projects to have an outcome; the log numbers them."""
        self._expected = count

    def count(self, before: SnapshotRecord | None, after: SnapshotRecord) -> None:
        """Count a row that was replaced; ``before`` is None for one that is new."""
        if before is not None:
            self._counts[before.status] -= 1
        self._counts[after.status] += 1

    def log(self, left_seconds: float = math.inf, *, at_once: bool = False) -> None:
        """Log the counts if that is due, or changed ones at once; infinite: no known deadline."""
        now = self._clock.monotonic()
        counts = +self._counts
        changed = counts != self._logged_counts
        every = _CHANGES_SECONDS if changed else _AT_LEAST_SECONDS
        if now - self._logged < every and not (at_once and changed):
            return
        rest = f"; {duration(left_seconds)} left" if 0 < left_seconds < math.inf else ""
        log.info("%s%s", ", ".join(f"{n:,} {status}" for status, n in counts.most_common()), rest)
        self._logged, self._logged_counts = now, counts

    def log_step(self, before: ProjectState, after: ProjectState, error: SiteError | None) -> None:
        """Log what a call has brought a project to, if that is news."""
        record, where = after.record, after.record.described
        if error is not None and after.call is not None:
            if before.call == Call.CREATE and after.call == Call.LIST:
                log.warning("%s: %s; looking whether it was started", where, error)
            elif after.call == Call.CREATE and before.call == Call.LIST:
                log.warning("%s: %s; so a new snapshot is started", where, error)
            elif before.call != Call.POLL:
                log.warning("%s: %s; asking again", where, error)
        elif record.snapshot_id and not before.record.snapshot_id:
            reused = ""
            if record.origin == Origin.REUSED and record.timestamp and not after.is_audit:
                reused = f"; it was made {record.timestamp.isoformat(' ')}, and is reused"
            elif before.call == Call.LIST:
                log.info("%s: it was started: snapshot %s", where, record.snapshot_id)
            number, snapshot_id = self._number(before.record), record.snapshot_id
            log.info("%s%s: snapshot %s is %s%s", number, where, snapshot_id, record.status, reused)
        elif after.call is None and not record.snapshot_id:
            is_known = record.status == SnapshotStatus.FAILED and not after.is_audit
            words = f"no snapshot was started: {record.error}" if is_known else record.error
            log.info("%s%s: %s", self._number(before.record), where, words)
        elif record.status == SnapshotStatus.FAILED != before.record.status:
            log.info("%s: snapshot %s failed: %s", where, record.snapshot_id, record.error)

    def _number(self, before: SnapshotRecord) -> str:
        """Return the number of a project's first outcome; later attempts have none."""
        if before.started:
            return ""
        self._outcomes += 1
        return f"[{self._outcomes}/{self._expected}] " if self._outcomes <= self._expected else ""
