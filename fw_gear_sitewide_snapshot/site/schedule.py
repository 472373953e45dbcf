"""Which project's call is to be sent next: what is due, what the pace and the site allow.

Knows no call's content. All times are monotonic.
"""

import heapq
import math
from collections.abc import Iterable, Iterator

from ..models import Call, ProjectState
from .rates import (
    FEW_CREATES,
    FEW_READS,
    MAX_CONCURRENT_CALLS,
    Gate,
    RateLimit,
    min_age,
    poll_interval,
)

TICK_SECONDS = 0.02  # calls are sent in small batches: no more often than this
_FIRST_POLL_SECONDS = 0.5  # a new one is polled so much earlier than one that was just polled
_SLOW_SECONDS = 5.0  # a call that fails after so long
_MAX_BESIDE_POLLS = MAX_CONCURRENT_CALLS // 2  # once all were asked: each of them may hang
_MAX_SLOW = 4  # calls in flight for what was slow the last time: the others have workers left


class Schedule:
    """The calls of one run that are under way or to come, each project's at most one."""

    def __init__(self) -> None:
        # The projects that no call has asked the Snapshot service for yet. While there are any,
        # only the number of calls at a time is bounded; afterwards their rate is too.
        self.unasked: set[str] = set()
        self.in_flight: dict[str, tuple[Call, float]] = {}  # by project: what, and when sent
        self._create_gate, self._read_gate = Gate(FEW_CREATES), Gate(FEW_READS)
        self._rate = RateLimit()
        self._due: dict[Call, list[tuple[float, int, str]]] = {call: [] for call in Call}
        self._heeds_site: set[str] = set()  # the site itself has asked them to wait
        self._to_poll: dict[str, float] = {}  # when each was last asked; in that order
        self._running_since: dict[str, float] = {}
        self._next_poll = -math.inf  # polls are spread evenly over their interval
        self._quickest = math.inf  # seconds until the quickest snapshot was seen to be finished
        self._slow: set[str] = set()
        self._added = 0

    @property
    def problem(self) -> str:
        """What the site answers, while it is nothing but that it can't."""
        return self._create_gate.problem or self._read_gate.problem

    def add(self, state: ProjectState, now: float, polled: float | None = None) -> None:
        """Put a project's next call where it is found when due; polled None: just now."""
        project_id = state.record.project.id
        assert state.call is not None  # noqa: S101  the caller's promise
        is_new = state.record.is_running and project_id not in self._running_since
        if is_new:
            self._running_since[project_id] = now
        if state.call == Call.POLL and not state.failures and state.missed_since is None:
            if is_new and math.isfinite(self._quickest):  # it can't be finished before
                self._push(Call.POLL, now + min_age(self._quickest), project_id)
            else:
                first = now - (_FIRST_POLL_SECONDS if is_new else 0.0)
                self._to_poll[project_id] = first if polled is None else polled
            return
        if state.heeds_site:
            self._heeds_site.add(project_id)
        self._push(state.call, state.due, project_id)

    @property
    def is_busy(self) -> bool:
        """Whether any call is under way or to come."""
        return bool(self.in_flight or self._to_poll or any(self._due.values()))

    def poll_once_more(self, project_ids: Iterable[str]) -> None:
        """Let these be asked at once, each a last time, and nothing else be sent any more."""
        self._due = {call: [] for call in Call}
        self._to_poll = {p: -math.inf for p in project_ids if p not in self.in_flight}
        self._next_poll = -math.inf

    def _push(self, call: Call, due: float, project_id: str) -> None:
        self._added += 1
        heapq.heappush(self._due[call], (due, self._added, project_id))

    def due(self, now: float) -> Iterator[str]:
        """Yield the projects whose calls are to be sent now; each is sent before the next."""
        for call in (Call.LIST, Call.LOOK_UP, Call.CREATE, Call.POLL):
            entries = self._due[call]
            while self.room(now) > 0 and self._is_open(call, now):
                if call != Call.POLL and not self.unasked and self._beside_polls() <= 0:
                    break
                _, _, project_id = heapq.heappop(entries)
                if self._may_hang(project_id):
                    self._push(call, now + 1.0, project_id)
                else:
                    yield project_id
        pending = len(self._to_poll)  # as many as may be under way at once need no spreading
        spacing = poll_interval(pending) / pending if pending > MAX_CONCURRENT_CALLS else 0.0
        for project_id in list(self._to_poll):
            if self.room(now) <= 0 or self._poll_due() > now:
                break
            self._next_poll = max(self._next_poll + spacing, now - TICK_SECONDS)
            yield project_id

    def can_send(self, now: float) -> bool:
        """Say whether a call can be sent at once."""
        calls = list(Call) if self.unasked or self._beside_polls() > 0 else [Call.POLL]
        is_due = any(self._is_open(call, now) for call in calls) or self._poll_due() <= now
        return is_due and self.room(now) > 0

    def next_due(self) -> float:
        """Return when the next call is due, as far as that is known by now."""
        dues = (max(due[0][0], self._opens(call)) for call, due in self._due.items() if due)
        return min([self._poll_due(), *dues])

    def _poll_due(self) -> float:
        """Return when the next of the polls in turn is due."""
        polled = next(iter(self._to_poll.values()), math.inf)
        in_turn = polled + poll_interval(len(self._to_poll))
        return max(in_turn, self._next_poll, self._opens(Call.POLL))

    def room(self, now: float) -> int:
        """Return how many more calls may be sent now."""
        slots = MAX_CONCURRENT_CALLS - len(self.in_flight)
        return slots if self.unasked else min(slots, self._rate.left(now, len(self.in_flight)))

    def _is_open(self, call: Call, now: float) -> bool:
        entries = self._due[call]
        return bool(entries) and entries[0][0] <= now and self._opens(call) <= now

    def _beside_polls(self) -> int:
        return _MAX_BESIDE_POLLS - sum(call != Call.POLL for call, _ in self.in_flight.values())

    def _may_hang(self, project_id: str) -> bool:
        slow = sum(other in self._slow for other in self.in_flight)
        return project_id in self._slow and slow >= _MAX_SLOW

    def sent(self, project_id: str, call: Call, now: float) -> None:
        """Take note that a project's call is under way."""
        self._to_poll.pop(project_id, None)
        self._heeds_site.discard(project_id)
        self._gate(call).sent(now)
        self.in_flight[project_id] = (call, now)

    def ended(self, project_id: str, now: float, error: Exception | None) -> float:
        """Take note of how a project's call ended; return when it was sent."""
        call, sent = self.in_flight.pop(project_id)
        self._rate.count(now)
        self._gate(call).answered(now, sent, error)
        if error and now - sent >= _SLOW_SECONDS:
            self._slow.add(project_id)
        else:
            self._slow.discard(project_id)
        return sent

    def creates_are_done(self, now: float) -> None:
        """Take note that a create was done, however it was answered."""
        self._create_gate.hurry(now)
        self._create_gate.answered(now, now, None)

    def finished(self, project_id: str, now: float, *, is_complete: bool) -> None:
        """Take note that a snapshot is final: a site that limits its builds has room again."""
        since = self._running_since.pop(project_id, None)
        if since is None:
            return
        if is_complete:
            self._quickest = min(self._quickest, now - since)
        self._create_gate.hurry(now)
        creates = self._due[Call.CREATE]
        if creates and creates[0][0] > now and creates[0][2] not in self._heeds_site:
            heapq.heapreplace(creates, (now, *creates[0][1:]))

    def outage_seconds(self, now: float) -> float:
        """Return for how long nothing could be asked for, or not what is to be asked first."""
        calls = {call for call, entries in self._due.items() if entries}
        calls |= {call for call, _ in self.in_flight.values()}
        calls |= {Call.POLL} if self._to_poll else set()
        outages = {call: self._gate(call).outage_seconds(now) for call in calls}
        longest = max(outages.values(), default=0.0)
        if not self.unasked or longest < 1.0:
            return min(outages.values(), default=0.0)
        first = (call for call in calls if any(e[2] in self.unasked for e in self._due[call]))
        return max((outages[call] for call in first), default=0.0)

    def _opens(self, call: Call) -> float:
        gate = self._gate(call)
        return gate.opens_at(sum(self._gate(c) is gate for c, _ in self.in_flight.values()))

    def _gate(self, call: Call) -> Gate:
        return self._create_gate if call == Call.CREATE else self._read_gate
