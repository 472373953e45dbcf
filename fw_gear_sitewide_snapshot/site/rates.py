"""How many calls the site is sent, as far as that is worth it and does the site no harm.

Arithmetic only; makes no calls. Nothing here is known beforehand: how many calls are in flight
follows from how long the answers take, and the pauses between calls from what the site refuses.
"""

import math

from ..errors import OutcomeUnknownError, ServiceUnavailableError
from .retry import backoff_seconds

MAX_CONCURRENT_CALLS = 16
"""A create takes the site about 0.1 s: sixteen at a time start 500 snapshots in three seconds, and
a site serves that many browsers without noticing."""

_LIMITS = (1, 2, 4, 8, MAX_CONCURRENT_CALLS)
_FIRST_LIMIT = 2  # its place in them
_WORTH_IT = 1.1  # twice the calls at a time must get so many times more done
_SLOWER = 0.8  # so much less done than before: the site has become slower
_SLOW_ROUNDS = 2  # in a row, so that one that was held up is no news
_FIRST_PAUSE = 16  # rounds, after a trial of more and one of fewer have failed; then twice as many
_MAX_PAUSE = 64
_LEAST_ANSWERS = 4  # a round has; else one a call in flight
_LEAST_SECONDS = 0.001  # shorter times are not the site's
# Twice as many calls may make each so much slower, where no trial has shown that it is less; and so
# much at the least, as where they queue.
_MOST_SLOWDOWN = 4.0
_LEAST_SLOWDOWN = 2.0
# A call hangs that lasts so many times as long as answers of its kind took lately.
_HANGING = 4.0
_LEAST_HANGING_SECONDS = 2.0  # a site may stand still for a moment
_FIRST_HANGING_SECONDS = 3.0  # where none of its kind was answered yet

# So many failures in a row, each of another project, are an outage and no coincidence. Reads: twice
# what is in flight at a time, as a few projects' reads may be slow while the others are answered.
CREATE_FAILURE_THRESHOLD = 4
READ_FAILURE_THRESHOLD = 32

_FIRST_SPACING_SECONDS = 0.04  # 25 calls a second: where spacing begins after a first 429
_MAX_SPACING_SECONDS = 2.0
_WIDENING = 1.5
_NARROWING = 0.995  # with each success: after 140 of them the spacing has halved,
_NARROWING_SECONDS = 10.0  # or after seven seconds, where it is so wide that this is sooner
_MAX_HOLD_SECONDS = 60.0  # a longer Retry-After holds back only the project that it was sent for
_TOO_MANY_REQUESTS = 429


class ConcurrencyLimit:
    """How many calls may be in flight: as many as get the most done.

    What so many calls get done in a second follows from how long their answers take. Twice as many
    are tried: where these get hardly more done, half as many are tried, and likewise when the site
    becomes slower. So it is asked less before it fails. Only calls of one kind are compared.

    Attributes:
        era: Another one with each change: an answer tells of the limit of when its call was sent.
    """

    def __init__(self, most_calls: int = MAX_CONCURRENT_CALLS) -> None:
        self._most_calls = most_calls
        self._usual_seconds: dict[str, float] = {}  # that an answer takes, by kind of call
        self._place, self.era = _FIRST_LIMIT, 0
        self._start()

    def _start(self) -> None:
        self._go_to(min(self._place, _FIRST_LIMIT))
        # This round's answers, by kind: what so many calls get done in a second, and the seconds.
        self._answers: dict[str, list[tuple[float, float]]] = {}
        self._done: dict[str, float] = {}  # in a second, with the limit that was found to be right
        self._before: tuple[int, str, float] | None = None  # a trial: the place, kind, and done
        self._step = 1  # of the next trial: to more calls, or (-1) to fewer
        self._rounds_left = self._pause = self._slow_rounds = 0
        self._slowdown = _MOST_SLOWDOWN

    @property
    def calls(self) -> int:
        """How many calls may be in flight, without those that hang."""
        return min(_LIMITS[self._place], self._most_calls)

    def hanging_seconds(self, kind: str) -> float:
        """Return how long a call of a kind takes at the most, unless it hangs."""
        if kind in self._usual_seconds:
            return max(_LEAST_HANGING_SECONDS, _HANGING * self._usual_seconds[kind])
        return max([_FIRST_HANGING_SECONDS, *map(self.hanging_seconds, self._usual_seconds)])

    def answered(
        self,
        kind: str,
        era: int,
        seconds: float,
        in_flight: tuple[int, int],
        most_seconds: float = math.inf,
    ) -> None:
        """Learn how long an answer took, or a call that was not answered in time.

        Args:
            kind: Of the call.
            era: The limit's when the call was sent.
            seconds: How long it took.
            in_flight: How many calls were in flight when it was sent and when it ended, itself
                included.
            most_seconds: How long it may take: one that took as long has got nothing done.
        """
        seconds, in_time = max(seconds, _LEAST_SECONDS), seconds < most_seconds
        if kind not in self._usual_seconds:
            self._usual_seconds[kind] = seconds if in_time else _LEAST_SECONDS
            self._start()  # the site may bear fewer calls of this kind
        as_many = in_flight[0] >= self.calls or (not self._done and sum(in_flight) > self.calls)
        if era != self.era or not as_many:
            return  # it doesn't tell what this limit does
        answers = self._answers.setdefault(kind, [])
        answers.append((in_flight[0] / seconds if in_time else 0.0, seconds))
        enough = max(self.calls, _LEAST_ANSWERS)
        if self._before and kind != self._before[1]:
            enough *= 2  # a trial is told by its own kind, if that still comes
        if len(answers) >= enough:
            # A quarter was quicker: so some that were held up, here or there, don't count.
            done, usual = sorted(answers)[-1 - len(answers) // 4]
            self._usual_seconds[kind] = usual if done else self._usual_seconds[kind]
            self._answers.clear()
            self._end_round(kind, done, most_seconds)

    def _end_round(self, kind: str, done: float, most_seconds: float) -> None:
        if self._before is None:
            self._rounds_left -= 1
            is_slow = done < _SLOWER * self._done.get(kind, 0.0)
            self._slow_rounds = self._slow_rounds + 1 if is_slow else 0
            if self._slow_rounds >= _SLOW_ROUNDS:
                self._slow_rounds = 0
                self._try(-1, kind, done, most_seconds)
            elif self._rounds_left < 0:
                self._try(self._step, kind, done, most_seconds)
            elif self._done:
                self._done.setdefault(kind, done)
            return
        (place, kind_before, before), self._before = self._before, None
        step = self._place - place
        more, fewer = (done, before) if step > 0 else (before, done)
        if kind == kind_before:
            # As it may grow: by no more than by its square from one doubling to the next.
            seen = (2 * fewer / more) ** 2 if more else math.inf
            self._slowdown = min(max(seen, _LEAST_SLOWDOWN), _MOST_SLOWDOWN)
        if kind == kind_before and (more > _WORTH_IT * fewer) == (step > 0):
            self._done, self._step = {kind: done}, 1
            self._rounds_left, self._pause = _FIRST_PAUSE, 0
            self._try(step, kind, done, most_seconds)
        else:
            self._go_to(place)
            self._step = -step if place > 0 else 1
            self._done = {kind_before: before}
            self._rounds_left = self._pause
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _MAX_PAUSE)

    def _try(self, step: int, kind: str, done: float, most_seconds: float) -> None:
        if not done or self._slowdown * self._usual_seconds[kind] >= most_seconds:
            step = -1  # more could end in time-outs
        if 0 <= self._place + step < len(_LIMITS):
            self._before = (self._place, kind, done)
            self._go_to(self._place + step)

    def _go_to(self, place: int) -> None:
        self._place, self.era = place, self.era + 1


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
        self._is_outage = False  # whether one of these is more than a 429: that is the site's pace
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
            if self._is_outage:
                self._past_outage_seconds = self.outage_seconds(now)
            self._failures, self._rounds, self._is_outage = 0, 0, False
            self._failing_since, self.problem, self._last_success = math.inf, "", now
            narrowing = min(_NARROWING, math.exp(-self._spacing / _NARROWING_SECONDS))
            narrower = self._spacing * narrowing
            self._spacing = narrower if narrower >= _FIRST_SPACING_SECONDS / 10 else 0.0
            return
        self._failures += 1
        self._failing_since = min(self._failing_since, max(sent, self._last_success))
        self.problem = str(error)
        is_limit = isinstance(error, ServiceUnavailableError) and error.status == _TOO_MANY_REQUESTS
        self._is_outage |= not is_limit
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
        """Return for how long calls have only failed, summed over all outages so far.

        Once a call is done, a time in which there was nothing but 429 is none of these.
        """
        return self._past_outage_seconds + max(0.0, now - self._failing_since)
