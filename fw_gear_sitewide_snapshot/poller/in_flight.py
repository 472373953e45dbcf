"""The calls that are in flight: since when, beside how many others, and which of them hang.

All times are monotonic.
"""

import math
from typing import NamedTuple

from ..errors import OutcomeUnknownError, ServiceUnavailableError
from ..site.client import QUICK_SECONDS
from ..site.http import CALL_SECONDS
from ..site.rates import ConcurrencyLimit
from ..snapshot.project_state import Call

_OVERDUE_SECONDS = 1.0  # beyond a call's own time: nothing else has ended it
_SLOW_SECONDS = 5.0  # a project is slow if its last call has failed after so long


class InFlight(NamedTuple):
    """A call that is in flight."""

    call: Call
    sent: float
    beside: int  # how many calls were in flight when it was sent, itself included
    era: int  # of the limit of calls in flight, likewise

    @property
    def most_seconds(self) -> float:
        """How long the call may take."""
        return QUICK_SECONDS if self.call in {Call.LIST, Call.POLL} else CALL_SECONDS


class CallsInFlight(dict[str, InFlight]):
    """Those of one run by project, each project's at most one; teaches the limit how they end."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        super().__init__()
        self._limit = limit
        self.creates = 0
        self.slow: set[str] = set()  # projects
        self._newest_answered = -math.inf  # when the call was sent that was sent last of these

    def add(self, project_id: str, call: Call, now: float) -> None:
        """Add a call that is sent now."""
        self.creates += call == Call.CREATE
        self[project_id] = InFlight(call, now, len(self) + 1, self._limit.era)

    def end(self, project_id: str, now: float, error: Exception | None, seconds: float) -> InFlight:
        """Remove and return a call that has ended, so many seconds after it was sent."""
        ended = self.pop(project_id)
        self.creates -= ended.call == Call.CREATE
        most, beside = ended.most_seconds, (ended.beside, len(self) + 1)
        self.slow.discard(project_id)
        if error is not None and now - ended.sent >= _SLOW_SECONDS:
            self.slow.add(project_id)
            self._limit.answered(ended.call, ended.era, most, beside, most)
        elif not isinstance(error, OutcomeUnknownError | ServiceUnavailableError):
            took = min(seconds, now - ended.sent)
            self._limit.answered(ended.call, ended.era, took, beside, most)
            self._newest_answered = max(self._newest_answered, ended.sent)
        return ended

    def live(self, now: float) -> list[Call]:
        """List what is asked of the site by calls that don't hang, as far as is known.

        Where all creates take long, the site is slow, and more calls make it slower: then one of
        them hangs at the most, until another one, which was sent later, is answered.
        """
        live, may_hang = [], True
        for project_id, (call, sent, *_) in self.items():
            hangs = project_id in self.slow or now - sent > self._limit.hanging_seconds(call)
            if hangs and call == Call.CREATE and sent >= self._newest_answered:
                hangs, may_hang = may_hang, False
            if not hangs:
                live.append(call)
        return live

    def overdue(self) -> dict[str, float]:
        """Return when each call has lasted longer than its own time, by project."""
        return {p: one.sent + _OVERDUE_SECONDS + one.most_seconds for p, one in self.items()}
