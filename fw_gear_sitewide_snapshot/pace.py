"""How often the site is asked while it is waited for. Numbers only; asks for nothing.

Every snapshot that is out is asked for in turn, the one that was asked longest ago first, each at
most once a second. 50 calls a second are spent however few are out: with up to 50 out each is asked
every second, which costs the site nothing. With more, a turn takes five seconds, so that quick
builds are seen quickly; that takes more calls the more are out, but never more than 250 in any
second, a few dozen people's browsing: with 5,000 out a turn takes 20 s. Second attempts and the
last look at the deadline keep to that bound too. A snapshot that is younger than half of what the
quickest one has taken, and than five seconds, is not asked at all.
"""

import math
from collections import deque

FEWEST_CALLS_PER_SECOND = 50
MOST_CALLS_PER_SECOND = 250
_SHORTEST_TURN_SECONDS = 1.0
_TURN_SECONDS = 5.0
_LONGEST_YOUTH_SECONDS = 5.0


def turn_seconds(out: int) -> float:
    """How long it takes until each of so many snapshots has been asked for once."""
    calls = min(max(out / _TURN_SECONDS, FEWEST_CALLS_PER_SECOND), MOST_CALLS_PER_SECOND)
    return max(_SHORTEST_TURN_SECONDS, out / calls)


class Pace:
    """What was learned while waiting, as far as it decides how often to ask."""

    def __init__(self) -> None:
        self._answers: deque[float] = deque()  # monotonic: when those of the last second came
        self._quickest = math.inf  # seconds until the quickest snapshot was seen to be finished

    def answered(self, now: float, calls: int = 1) -> None:
        """Take note that so many calls were answered."""
        self._answers.extend([now] * calls)

    def finished(self, seconds: float) -> None:
        """Take note that a snapshot was finished after so long."""
        self._quickest = min(self._quickest, seconds)

    def calls_left(self, now: float, in_flight: int) -> int:
        """How many calls may be sent now of what any second may have; not above 0: none.

        A call that was sent within the last second is in flight, or its answer came within it.
        """
        while self._answers and self._answers[0] <= now - 1.0:
            self._answers.popleft()
        return MOST_CALLS_PER_SECOND - len(self._answers) - in_flight

    def is_old_enough(self, seconds: float) -> bool:
        """Whether a snapshot of this age may be finished."""
        if math.isinf(self._quickest):
            return True
        return seconds >= min(self._quickest / 2, _LONGEST_YOUTH_SECONDS)
