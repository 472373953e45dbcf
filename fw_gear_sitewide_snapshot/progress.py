"""How the batch stands while it is waited for, in the log: not at each change, nor too rarely."""

import logging
import math
from collections import Counter

from .clock import Clock
from .models import SnapshotRecord
from .wording import duration

log = logging.getLogger(__name__)

_CHANGES_SECONDS = 5.0
_AT_LEAST_SECONDS = 60.0


class Progress:
    """Counts rows by status, and logs the counts.

    Args:
        clock: The time that decides when a line is due.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged_counts: Counter[str] = Counter()
        self._logged = -math.inf  # monotonic: when the last line was written

    def count(self, before: SnapshotRecord | None, after: SnapshotRecord) -> None:
        """Take note of a row that was replaced; None before: of one more row."""
        if before is not None:
            self._counts[before.status] -= 1
        self._counts[after.status] += 1

    def log(self, left_seconds: float | None = None, *, at_once: bool = False) -> None:
        """Write a line where it is due.

        Args:
            left_seconds: How long there is to wait for anything; None: nothing is waited for.
            at_once: Whether what has changed is to be told now.
        """
        now = self._clock.monotonic()
        counts = +self._counts
        changed = counts != self._logged_counts
        every = _CHANGES_SECONDS if changed else _AT_LEAST_SECONDS
        if now - self._logged < every and not (at_once and changed):
            return
        rest = f"; {duration(left_seconds)} left" if left_seconds and left_seconds > 0 else ""
        log.info("%s%s", ", ".join(f"{n} {status}" for status, n in counts.most_common()), rest)
        self._logged, self._logged_counts = now, counts
