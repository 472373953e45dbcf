"""How often a running snapshot is polled: the more polls find a finished one, the more often."""

import math

_FIRST_INTERVAL_SECONDS = 0.25
# Polling more often than these would bring little: what has lasted long will go on for a while.
_SHARE_OF_AGE = 0.005  # of the newest snapshot's
_SHARE_OF_QUIET = 0.05  # of the time since one was finished
_CALLS_PER_SECOND = 10.0  # for all together, at the least: costs the site nothing
_STEP = 0.03  # longer after each poll that finds a snapshot running, where these are so many:
_MANY = 500
_SHORTER = 0.67  # of a step, after each that finds one finished: in balance at three of five


class PollInterval:
    """How long a running snapshot is left alone between two polls.

    Each poll that finds a snapshot still running makes it longer, each that finds one finished
    shorter: so more than half of the polls find a finished one, however long builds take. The fewer
    there are, the smaller the steps, and the bound: the last few are polled most often.
    """

    def __init__(self) -> None:
        self.seconds = _FIRST_INTERVAL_SECONDS
        self._finished = -math.inf  # when one was finished last

    def found(self, *, is_finished: bool, pending: int, newest: float, now: float) -> None:
        """Learn what a poll has found.

        Args:
            is_finished: Whether the snapshot was finished.
            pending: How many are running, this one included.
            newest: When the newest of them was started.
            now: When the poll was answered.
        """
        if is_finished:
            self._finished = now
        step = _STEP * min(1.0, pending / _MANY)
        self.seconds *= 1 - _SHORTER * step if is_finished else 1 + step
        quiet = _SHARE_OF_QUIET * (now - self._finished)
        least = max(_FIRST_INTERVAL_SECONDS, min(quiet, _SHARE_OF_AGE * (now - newest)))
        most = max(least, pending / max(_CALLS_PER_SECOND, math.sqrt(pending)))
        self.seconds = min(max(self.seconds, least), most)
