"""Slows the whole run down when the site says that it is asked too much (429).

Each call asks to be admitted; while all is well that costs nothing. A 429 holds every call back for
as long as the site asks, then spaces them out; each call that goes well narrows the space a little.
So the run settles just below what the site allows, instead of each worker finding out by itself.
"""

import math
import threading

from .clock import Clock

_FIRST_INTERVAL_SECONDS = 0.04  # 25 calls a second: where spacing begins after a first 429
_LONGEST_INTERVAL_SECONDS = 2.0
_WIDEN = 1.5
_NARROW = 0.995  # a call that goes well: after 140 of them the interval has halved
_DEFAULT_HOLD_SECONDS = 1.0  # after a 429 that doesn't say how long
_LONGEST_HOLD_SECONDS = 60.0  # a longer wish is the business of each call's own patience


class Throttle:
    """Admits calls; shared by all workers of a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._interval = 0.0
        self._next = 0.0
        self._held_until = -math.inf
        self._widened = 0.0

    def admit(self) -> float:
        """Return, at the time that it returns, when the next call may be sent.

        Raises:
            TerminatedError: The run is to end.
        """
        while True:
            with self._lock:
                now = self._clock.monotonic()
                turn = max(now, self._next)
                if self._interval:
                    self._next = turn + self._interval
            if turn > now:
                self._clock.sleep(turn - now)
            with self._lock:  # while this one waited, another may have been refused
                now = self._clock.monotonic()
                if now >= self._held_until:
                    return now

    def went_well(self) -> None:
        """Narrow the space between calls a little."""
        with self._lock:
            self._interval *= _NARROW
            if self._interval < _FIRST_INTERVAL_SECONDS / 10:
                self._interval = 0.0

    def slow_down(self, sent: float, retry_after: float | None) -> None:
        """Hold every call back, and space out those that follow.

        Args:
            sent: When the refused call was admitted. Sixteen refusals of calls that were sent
                together are one piece of news: only the first widens the space.
            retry_after: Seconds that the site asked for; None where it didn't say.
        """
        hold = _DEFAULT_HOLD_SECONDS if retry_after is None else retry_after
        with self._lock:
            now = self._clock.monotonic()
            self._held_until = max(self._held_until, now + min(hold, _LONGEST_HOLD_SECONDS))
            self._next = max(self._next, self._held_until)
            if sent >= self._widened:
                self._widened = now
                self._interval = min(
                    max(self._interval * _WIDEN, _FIRST_INTERVAL_SECONDS),
                    _LONGEST_INTERVAL_SECONDS,
                )
