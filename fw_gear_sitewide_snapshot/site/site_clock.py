"""The time by a site's clock, from the ``Date`` of its answers. Values only."""

import statistics
from collections import deque
from datetime import datetime, timedelta

_MAX_DATES = 9  # the newest ones
_CONTRADICTION_SECONDS = 5.0


class SiteClock:
    """Knows the site's time at any moment of this machine's monotonic clock.

    What the Snapshot service says goes before what the others say: it writes ``created``. A date
    that contradicts the others, an old answer from a cache say, is outvoted; by two at the least,
    so that a service whose clock differs from the others' is believed.

    A ``Date`` has whole seconds and was written before it came, so the time is a little late, never
    ahead.

    ``now``, this machine's time at ``monotonic``, stands in until the site has told its own.
    """

    def __init__(self, now: datetime, monotonic: float) -> None:
        self._epoch = now - timedelta(seconds=monotonic)
        self._service: deque[float] = deque(maxlen=_MAX_DATES)  # seconds ahead of this machine
        self._others: deque[float] = deque(maxlen=_MAX_DATES)

    def observe(self, date: datetime, received: float, *, is_service: bool) -> None:
        """Take note of an answer's date, and of the monotonic time at which the answer came."""
        ahead = (date - self._epoch).total_seconds() - received
        (self._service if is_service else self._others).append(ahead)

    def at(self, monotonic: float) -> datetime:
        """Return the site's time at a moment."""
        ahead = self._ahead()
        try:
            return self._epoch + timedelta(seconds=ahead + monotonic)
        except OverflowError:  # a clock that is at the end of all time
            return self._epoch + timedelta(seconds=ahead)

    def _ahead(self) -> float:
        others = statistics.median_high(self._others or [0.0])
        service = self._service or [others]
        if len(service) > 2 or not self._others:
            return statistics.median_high(service)
        nearest = min(service, key=lambda ahead: abs(ahead - others))
        is_alone = len(service) == 1 and abs(nearest - others) > _CONTRADICTION_SECONDS
        return others if is_alone else nearest
