"""How often the site is asked. Numbers only; asks for nothing.

Every snapshot that is awaited is asked for in turn, the one that was asked longest ago first, each
at most once a second. 50 calls a second are spent however few are awaited: with up to 50 each is
asked every second, which costs the site nothing. With more, a turn takes five seconds, so that
quick builds are seen quickly; that takes more calls the more there are, but never more than 250 in
any second, a few dozen people's browsing: with 5,000 a turn takes 20 s. Second attempts and the
final poll keep to that bound too. A snapshot that is younger than half of what the quickest one has
taken, and than five seconds, is not asked at all.
"""

import math
from collections import deque

from ..errors import OutcomeUnknownError, ServiceUnavailableError
from .retry import backoff_seconds

MAX_CONCURRENT_CALLS = 16
"""Calls to the site at one time, at the most. A create takes the site about 0.1 s: sixteen at a
time start 500 snapshots in three seconds, and a site serves that many browsers without noticing."""

FEWEST_CALLS_PER_SECOND = 50
MAX_CALLS_PER_SECOND = 250
_SHORTEST_INTERVAL_SECONDS = 1.0
_INTERVAL_SECONDS = 5.0
_MAX_MIN_AGE_SECONDS = 5.0

FEW_CREATES = 4  # that fail in a row, of as many projects: more are no chance
FEW_READS = 32  # likewise; twice what is under way at a time: some projects' alone may hang

_FIRST_SPACING_SECONDS = 0.04  # 25 calls a second: where spacing begins after a first 429
_MAX_SPACING_SECONDS = 2.0
_WIDEN = 1.5
_NARROW = 0.995  # a call that goes well: after 140 of them the spacing has halved
_MAX_HOLD_SECONDS = 60.0  # a longer wish is heeded by the project that it was told to
_TOO_MANY_REQUESTS = 429


def poll_interval(pending: int) -> float:
    """Return how many seconds it takes until each of so many snapshots was asked for once."""
    calls = min(max(pending / _INTERVAL_SECONDS, FEWEST_CALLS_PER_SECOND), MAX_CALLS_PER_SECOND)
    return max(_SHORTEST_INTERVAL_SECONDS, pending / calls)


def min_age(quickest: float) -> float:
    """Return the age in seconds below which no snapshot can be finished, by the quickest one's."""
    return 0.0 if math.isinf(quickest) else min(quickest / 2, _MAX_MIN_AGE_SECONDS)


class RateLimit:
    """Counts the calls of the last second."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque()  # monotonic

    def count(self, now: float) -> None:
        """Take note that a call has ended."""
        self._ends.append(now)

    def left(self, now: float, in_flight: int) -> int:
        """Return how many calls may be sent now of what any second may have; 0 or less: none.

        A call that was sent within the last second is in flight, or has ended within it.
        """
        while self._ends and self._ends[0] <= now - 1.0:
            self._ends.popleft()
        return MAX_CALLS_PER_SECOND - len(self._ends) - in_flight


class Gate:
    """Lets calls of one kind through; one at a time, and rarely, while none of them is answered.

    A 429 holds all of them back for as long as the site asks, then spaces them out; each call that
    goes well narrows the space a little. So the run settles just below what the site allows. Where
    a few calls in a row have brought nothing but "not done" or "unknown", a single call with
    growing pauses tries whether that goes on.
    """

    def __init__(self, few: int) -> None:
        self.problem = ""  # what the last call has brought, while that goes on
        self._few = few  # so many calls in a row
        self._failures = 0
        self._rounds = 0  # of failures of calls that were sent after the one before
        self._failing_since = math.inf
        self._good = -math.inf  # monotonic: when the last answer came that was one
        self._waited = 0.0  # seconds of outages that are over
        self._spacing = 0.0
        self._next = -math.inf  # monotonic: when the next one may be sent
        self._held_until = -math.inf  # monotonic: likewise, by the site's own word
        self._closed = -math.inf  # monotonic: when the last round of failures was seen

    def opens_at(self, in_flight: int) -> float:
        """Return the monotonic time at which one more call may be sent; -inf: at any."""
        if self._failures >= self._few and in_flight:
            return math.inf  # its answer tells
        return max(self._next, self._held_until)

    def sent(self, now: float) -> None:
        """Take note that a call is sent."""
        if self._spacing:
            self._next = max(self._next, now) + self._spacing

    def answered(self, now: float, sent: float, error: Exception | None) -> None:
        """Take note of how a call ended.

        Refusals of calls that were sent together, by ``sent``, are one piece of news.
        """
        if not isinstance(error, ServiceUnavailableError | OutcomeUnknownError):
            self._waited = self.outage_seconds(now)
            self._failures = self._rounds = 0
            self._failing_since, self.problem, self._good = math.inf, "", now
            narrower = self._spacing * _NARROW
            self._spacing = narrower if narrower >= _FIRST_SPACING_SECONDS / 10 else 0.0
            return
        self._failures += 1
        self._failing_since = min(self._failing_since, max(sent, self._good))
        self.problem = str(error)
        is_limit = isinstance(error, ServiceUnavailableError) and error.status == _TOO_MANY_REQUESTS
        asked = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        if is_limit:
            hold = min(1.0 if asked is None else asked, _MAX_HOLD_SECONDS)
            if asked is not None:
                self._held_until = max(self._held_until, now + hold)
            self._next = max(self._next, now + hold)
        if sent > self._closed:
            self._closed = now
            self._rounds += 1
            if is_limit:
                wider = max(self._spacing * _WIDEN, _FIRST_SPACING_SECONDS)
                self._spacing = min(wider, _MAX_SPACING_SECONDS)
        if self._failures >= self._few:
            self._next = max(self._next, now + backoff_seconds(max(1, self._rounds)))

    def hurry(self, now: float) -> None:
        """Take note that the site has got room: our own pause after a failure is over."""
        if self._failures:
            self._next = min(self._next, now)

    def outage_seconds(self, now: float) -> float:
        """Return for how long nothing but failures has come, at any time so far."""
        return self._waited + max(0.0, now - self._failing_since)
