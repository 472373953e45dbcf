"""How often the site is asked. Arithmetic only; makes no calls.

Pending snapshots are polled in turn, the one that was polled longest ago first. Up to 50 are each
polled once a second, and up to 250 share 50 calls a second, which costs the site nothing. More than
that are each polled every five seconds, so that quick builds are seen quickly, but never with more
than 250 calls in any second, a few dozen people's browsing: 5,000 take 20 s. Second attempts and
the final poll keep to that bound too. A snapshot that is younger than half of what the quickest one
has taken, and than five seconds, is not polled at all.
"""

import math
from collections import deque

from ..errors import OutcomeUnknownError, ServiceUnavailableError
from .retry import backoff_seconds

MAX_CONCURRENT_CALLS = 16
"""A create takes the site about 0.1 s: sixteen at a time start 500 snapshots in three seconds, and
a site serves that many browsers without noticing."""

MIN_CALLS_PER_SECOND = 50
MAX_CALLS_PER_SECOND = 250
_MIN_INTERVAL_SECONDS = 1.0
_INTERVAL_SECONDS = 5.0
_MAX_MIN_AGE_SECONDS = 5.0

# So many failures in a row, each of another project, are an outage and no coincidence. Reads: twice
# what is in flight at a time, as a few projects' reads may be slow while the others are answered.
CREATE_FAILURE_THRESHOLD = 4
READ_FAILURE_THRESHOLD = 32

_FIRST_SPACING_SECONDS = 0.04  # 25 calls a second: where spacing begins after a first 429
_MAX_SPACING_SECONDS = 2.0
_WIDENING = 1.5
_NARROWING = 0.995  # with each success: after 140 of them the spacing has halved
_MAX_HOLD_SECONDS = 60.0  # a longer Retry-After holds back only the project that it was sent for
_TOO_MANY_REQUESTS = 429


def poll_interval(pending: int) -> float:
    """Return how many seconds it takes to poll each of so many pending snapshots once."""
    calls = min(max(pending / _INTERVAL_SECONDS, MIN_CALLS_PER_SECOND), MAX_CALLS_PER_SECOND)
    return max(_MIN_INTERVAL_SECONDS, pending / calls)


def min_age(quickest: float) -> float:
    """Return the age in seconds below which no snapshot is polled, from that of the quickest."""
    return min(quickest / 2, _MAX_MIN_AGE_SECONDS)


class RateLimit:
    """Counts the calls of the last second."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque()  # monotonic

    def count(self, now: float) -> None:
        """Count a call that has ended."""
        self._ends.append(now)

    def left(self, now: float, in_flight: int) -> int:
        """Return how many calls may be sent now; 0 or less: none."""
        # Each call that was sent within the last second is in flight, or has ended within it.
        while self._ends and self._ends[0] <= now - 1.0:
            self._ends.popleft()
        return MAX_CALLS_PER_SECOND - len(self._ends) - in_flight


class Gate:
    """Adapts the rate of one kind of call to the site: a circuit breaker. All times are monotonic.

    A 429 holds all of them back for as long as the site asks, then spaces them out; each success
    narrows the spacing a little. So the run settles just below what the site allows. After
    ``failure_threshold`` failures in a row (unavailable, or outcome unknown) a single call with
    growing pauses tries whether the outage goes on.
    """

    def __init__(self, failure_threshold: int) -> None:
        self.problem = ""  # the last failure's message; empty after a success
        self._failure_threshold = failure_threshold
        self._failures = 0  # in a row
        self._rounds = 0  # likewise; failures of calls that were in flight together are one
        self._round_seen = -math.inf  # when the last round of failures was seen
        self._failing_since = math.inf
        self._last_success = -math.inf
        self._past_outage_seconds = 0.0
        self._spacing = 0.0
        self._next = -math.inf  # when the next call may be sent
        self._held_until = -math.inf  # likewise, by the site's own Retry-After

    def opens_at(self, in_flight: int) -> float:
        """Return when one more call may be sent; -inf: at any time."""
        if self._failures >= self._failure_threshold and in_flight:
            return math.inf  # until that single call has ended
        return max(self._next, self._held_until)

    def sent(self, now: float) -> None:
        """Record that a call is sent."""
        if self._spacing:
            self._next = max(self._next, now) + self._spacing

    def answered(self, now: float, sent: float, error: Exception | None) -> None:
        """Record how a call ended, and when it was ``sent``."""
        if not isinstance(error, ServiceUnavailableError | OutcomeUnknownError):
            self._past_outage_seconds = self.outage_seconds(now)
            self._failures = self._rounds = 0
            self._failing_since, self.problem, self._last_success = math.inf, "", now
            narrower = self._spacing * _NARROWING
            self._spacing = narrower if narrower >= _FIRST_SPACING_SECONDS / 10 else 0.0
            return
        self._failures += 1
        self._failing_since = min(self._failing_since, max(sent, self._last_success))
        self.problem = str(error)
        is_limit = isinstance(error, ServiceUnavailableError) and error.status == _TOO_MANY_REQUESTS
        asked = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        if is_limit:
            hold = min(1.0 if asked is None else asked, _MAX_HOLD_SECONDS)
            if asked is not None:
                self._held_until = max(self._held_until, now + hold)
            self._next = max(self._next, now + hold)
        if sent > self._round_seen:
            self._round_seen = now
            self._rounds += 1
            if is_limit:
                wider = max(self._spacing * _WIDENING, _FIRST_SPACING_SECONDS)
                self._spacing = min(wider, _MAX_SPACING_SECONDS)
        if self._failures >= self._failure_threshold:
            self._next = max(self._next, now + backoff_seconds(max(1, self._rounds)))

    def end_backoff(self, now: float) -> None:
        """End our own pause after a failure, not one that the site has asked for."""
        if self._failures:
            self._next = min(self._next, now)

    def outage_seconds(self, now: float) -> float:
        """Return for how long calls have only failed, summed over all outages so far."""
        return self._past_outage_seconds + max(0.0, now - self._failing_since)
