"""The time by a site's clock, from the ``Date`` of its responses. Does no I/O."""

import statistics
from collections import deque
from datetime import datetime, timedelta

_MAX_DATES = 9  # only the newest ones are kept
_CONTRADICTION_SECONDS = 5.0


class SiteClock:
    """Knows the site's time at any moment of this machine's monotonic clock.

    The Snapshot service's dates count before those of other services, because it writes
    ``created``. A single date that contradicts all others, as an old response from a cache does, is
    ignored; two are believed, as the service's clock may differ from the others'.

    A ``Date`` has whole seconds and arrives after it was written: the time is late, never ahead.
    What caches have kept counts only while nothing else is known; and until the site has sent its
    time at all, ``now`` does, this machine's time at ``monotonic``.
    """

    def __init__(self, now: datetime, monotonic: float) -> None:
        self._epoch = now - timedelta(seconds=monotonic)
        self._service: deque[float] = deque(maxlen=_MAX_DATES)  # seconds ahead of this machine
        self._others: deque[float] = deque(maxlen=_MAX_DATES)
        self._cached: deque[float] = deque(maxlen=_MAX_DATES)

    def observe(
        self, date: datetime, received: float, *, is_service: bool, is_cached: bool = False
    ) -> None:
        """Record a response's date, and the monotonic time at which the response came."""
        ahead = (date - self._epoch).total_seconds() - received
        uncached = self._service if is_service else self._others
        (self._cached if is_cached else uncached).append(ahead)

    def at(self, monotonic: float) -> datetime:
        """Return the site's time at a monotonic time."""
        ahead = self._ahead()
        try:
            return self._epoch + timedelta(seconds=ahead + monotonic)
        except OverflowError:  # the site's clock is near the year 9999
            return self._epoch + timedelta(seconds=ahead)

    def _ahead(self) -> float:
        others = statistics.median_high(self._others or self._cached or [0.0])
        service = self._service or [others]
        if len(service) > 2 or not self._others:
            return statistics.median_high(service)
        nearest = min(service, key=lambda ahead: abs(ahead - others))
        contradicted = [abs(nearest - other) > _CONTRADICTION_SECONDS for other in self._others]
        return others if len(service) == 1 and all(contradicted) else nearest
