"""Decides which project's call is sent next: what is due, as far as the rates and the site allow.

Doesn't know what calls contain. All times are monotonic.
"""

import heapq
import math
from collections.abc import Iterable, Iterator

from ..site import rates
from ..site.rates import MAX_CONCURRENT_CALLS
from ..snapshot.project_state import Call, ProjectState
from .in_flight import CallsInFlight
from .poll_interval import PollInterval

TICK_SECONDS = 0.005  # calls are sent in small batches: no more often than this
# Of the calls in flight, so many may be for slow projects, and half may be no polls once every
# project was asked for: some workers are always left for the others.
_MAX_SLOW_CALLS = 4


class Schedule:
    """The calls of one run that are in flight or still to be sent, each project's at most one."""

    def __init__(
        self, most_calls: int = MAX_CONCURRENT_CALLS, limit: rates.ConcurrencyLimit | None = None
    ) -> None:
        self._most_calls = most_calls  # in flight at a time
        self.unasked: set[str] = set()  # projects for which the Snapshot service was not asked yet
        self._limit = limit or rates.ConcurrencyLimit(most_calls)
        self.in_flight = CallsInFlight(self._limit)
        self._create_gate = rates.Gate(rates.CREATE_FAILURE_THRESHOLD)
        self._read_gate = rates.Gate(rates.READ_FAILURE_THRESHOLD)
        self._due: dict[Call, list[tuple[float, int, str]]] = {call: [] for call in Call}
        self._held_by_site: set[str] = set()  # projects that wait for a Retry-After
        self._to_poll: dict[str, float] = {}  # when each was last polled; in that order
        self._running_since: dict[str, float] = {}
        self._interval = PollInterval()
        self._next_poll = -math.inf  # polls are spread evenly over their interval
        self._added = 0

    @property
    def problem(self) -> str:
        """The message of the failures, while the site answers with nothing else; or empty."""
        return self._create_gate.problem or self._read_gate.problem

    def add(self, state: ProjectState, now: float) -> None:
        """Add a project's next call; one that is to be polled was polled just now."""
        project_id = state.record.project.id
        assert state.call is not None  # noqa: S101  the caller's promise
        is_new = state.record.is_running and project_id not in self._running_since
        if is_new:
            self._running_since[project_id] = now
        if state.call == Call.POLL and not state.failures and state.missed_since is None:
            self._to_poll[project_id] = now
            if not is_new:
                self._learn(now, is_finished=False)
            return
        if state.heeds_site:
            self._held_by_site.add(project_id)
        self._push(state.call, state.due, project_id)

    @property
    def is_busy(self) -> bool:
        """Whether any call is in flight or to be sent."""
        return bool(self.in_flight or self._to_poll or any(self._due.values()))

    def poll_at_once(self) -> None:
        """Poll all that is running as soon as may be: nothing is known of when it began."""
        self._to_poll = dict.fromkeys(self._to_poll, -math.inf)

    def poll_once_more(self, project_ids: Iterable[str], now: float) -> None:
        """Poll these at once, each a last time, and drop all other calls that are to be sent."""
        self._read_gate.end_backoff(now)
        self._due = {call: [] for call in Call}
        self._to_poll = {p: -math.inf for p in project_ids if p not in self.in_flight}
        self._next_poll = -math.inf

    def _push(self, call: Call, due: float, project_id: str) -> None:
        self._added += 1
        heapq.heappush(self._due[call], (due, self._added, project_id))

    def due(self, now: float) -> Iterator[str]:
        """Yield the projects whose calls are due; the caller sends each before it takes another."""
        for call in (Call.LIST, Call.LOOK_UP, Call.CREATE, Call.POLL):
            entries = self._due[call]
            while self._has_room(call, now) and self._is_open(call, now):
                if call != Call.POLL and not self._has_other_slot(now):
                    break
                _, _, project_id = heapq.heappop(entries)
                slow_calls = len(self.in_flight.slow & self.in_flight.keys())
                if project_id in self.in_flight.slow and slow_calls >= _MAX_SLOW_CALLS:
                    self._push(call, now + 1.0, project_id)
                else:
                    yield project_id
        while self._to_poll and self._has_room(Call.POLL, now) and self._poll_due() <= now:
            project_id, polled = next(iter(self._to_poll.items()))
            yield project_id
            self._next_poll = max(self._next_poll + self._spacing(now - polled), now - TICK_SECONDS)

    def can_send(self, now: float) -> bool:
        """Say whether a call can be sent at once."""
        calls = list(Call) if self._has_other_slot(now) else [Call.POLL]
        due = {call for call in calls if self._is_open(call, now)}
        due |= {Call.POLL} if self._poll_due() <= now else set()
        return any(self._has_room(call, now) for call in due)

    def next_due(self) -> float:
        """Return when the next call is due; a call that ends earlier may change that."""
        dues = (max(due[0][0], self._opens(call)) for call, due in self._due.items() if due)
        return min([self._poll_due(), *dues])

    def _spacing(self, waited: float) -> float:
        """Return how many seconds lie between two polls, so that they come evenly."""
        pending = len(self._to_poll)
        if pending < self._most_calls or waited > 2 * self._interval.seconds:
            return 0.0  # all can be in flight at once, or have waited for longer than they should
        return self._interval.seconds / pending

    def _poll_due(self) -> float:
        """Return when the snapshot that was polled longest ago is due."""
        polled = next(iter(self._to_poll.values()), math.inf)
        due = polled + self._interval.seconds
        return max(due, self._next_poll, self._opens(Call.POLL))

    def _has_room(self, call: Call, now: float) -> bool:
        limit, count = self._limit.calls, len(self.in_flight)
        if count < limit:
            return True
        if count >= self._most_calls:
            return False
        live = self.in_flight.live(now)
        if call == Call.POLL and call not in live and not self.unasked:
            return True  # one poll, also where no more than one call may be live
        return len(live) < limit

    def _is_open(self, call: Call, now: float) -> bool:
        entries = self._due[call]
        return bool(entries) and entries[0][0] <= now and self._opens(call) <= now

    def _has_other_slot(self, now: float) -> bool:
        """Say whether a call that is no poll may be sent: half of the calls are left to polls."""
        others = [call for call, *_ in self.in_flight.values() if call != Call.POLL]
        if self.unasked or len(others) < self._limit.calls // 2:
            return True
        live = sum(call != Call.POLL for call in self.in_flight.live(now))
        return len(others) < self._most_calls // 2 and live < max(1, self._limit.calls // 2)

    def sent(self, project_id: str, call: Call, now: float) -> None:
        """Record that a project's call was sent."""
        self._to_poll.pop(project_id, None)
        self._held_by_site.discard(project_id)
        self._gate(call).sent(now)
        self.in_flight.add(project_id, call, now)

    def ended(self, project_id: str, now: float, error: Exception | None, seconds: float) -> float:
        """Record how a project's call ended, and how long it took; return when it was sent."""
        ended = self.in_flight.end(project_id, now, error, seconds)
        self._gate(ended.call).answered(now, ended.sent, error)
        return ended.sent

    def creates_are_done(self, now: float) -> None:
        """Record that a create was done, whatever its response."""
        self._create_gate.end_backoff(now)
        self._create_gate.answered(now, now, None)

    def finished(self, project_id: str, now: float) -> None:
        """Record that a snapshot is final: a site that limits its builds has room for another."""
        if project_id not in self._running_since:
            return
        self._learn(now, is_finished=True)
        del self._running_since[project_id]
        self._create_gate.end_backoff(now)
        creates = self._due[Call.CREATE]
        if creates and creates[0][0] > now and creates[0][2] not in self._held_by_site:
            heapq.heapreplace(creates, (now, *creates[0][1:]))

    def _learn(self, now: float, *, is_finished: bool) -> None:
        newest = next(reversed(self._running_since.values()), now)
        pending = len(self._running_since)
        self._interval.found(is_finished=is_finished, pending=pending, newest=newest, now=now)

    def outage_seconds(self, now: float) -> float:
        """Return for how long all calls have failed, or all that ``unasked`` projects wait for."""
        calls = {call for call, entries in self._due.items() if entries}
        calls |= {call for call, *_ in self.in_flight.values()}
        calls |= {Call.POLL} if self._to_poll else set()
        outages = {call: self._gate(call).outage_seconds(now) for call in calls}
        longest = max(outages.values(), default=0.0)
        if not self.unasked or longest < 1.0:
            return min(outages.values(), default=0.0)
        first = (call for call in calls if any(e[2] in self.unasked for e in self._due[call]))
        return max((outages[call] for call in first), default=0.0)

    def _opens(self, call: Call) -> float:
        creates = self.in_flight.creates
        in_flight = creates if call == Call.CREATE else len(self.in_flight) - creates
        return self._gate(call).opens_at(in_flight)

    def _gate(self, call: Call) -> rates.Gate:
        return self._create_gate if call == Call.CREATE else self._read_gate
