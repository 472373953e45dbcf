"""The time by a site's clock, from the ``Date`` of its answers. Values only."""

import statistics
from collections import deque
from datetime import datetime, timedelta

_MAX_DATES = 9  # the newest ones; one that contradicts the others is outvoted


class SiteClock:
    """Knows the site's time at any moment of this machine's monotonic clock.

    What the Snapshot service says goes before what the others say: it writes ``created``. A
    ``Date`` has whole seconds and was written before it came, so the time is a little late, never
    ahead.

    Args:
        now: This machine's idea of the time, which stands in until the site has told its own.
        monotonic: The monotonic time of that.
    """

    def __init__(self, now: datetime, monotonic: float) -> None:
        self._epoch = now - timedelta(seconds=monotonic)
        self._shifts: dict[bool, deque[float]] = {}

    def observe(self, date: datetime, received: float, *, is_service: bool) -> None:
        """Take note of an answer's date, and of the monotonic time at which the answer came."""
        shifts = self._shifts.setdefault(is_service, deque(maxlen=_MAX_DATES))
        shifts.append((date - self._epoch).total_seconds() - received)

    def at(self, monotonic: float) -> datetime:
        """Return the site's time at a moment."""
        shifts = self._shifts.get(True) or self._shifts.get(False) or (0.0,)
        try:
            seconds = statistics.median_low(shifts) + monotonic
            return self._epoch + timedelta(seconds=seconds)
        except OverflowError:  # a clock that is at the end of all time
            return self._epoch + timedelta(seconds=statistics.median_low(shifts))
