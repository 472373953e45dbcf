"""The loop: sends the calls that are due and applies what they bring, until all is finished.

One thread decides, here; workers only carry calls. What a project needs next, and what an answer
means for it, is in ``snapshot``; how often the site may be asked is in ``pace``. Creates, lists,
look-ups, polls and second attempts are all just calls that are due.
"""

import heapq
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from . import snapshot
from .batch import BatchReport
from .clock import Clock
from .errors import OutcomeUnknownError, OutputError, SiteError, TerminatedError
from .models import SnapshotOrder, SnapshotRecord, SnapshotStatus, one_line
from .pace import Gate, PollSchedule, poll_interval
from .progress import Progress
from .retry import backoff_seconds
from .site import CallResult, Site
from .snapshot import Call, Now, ProjectState
from .wording import counted, duration
from .workers import MAX_CONCURRENT_CALLS, Task, TaskQueue, Workers

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.25  # calls are sent in small batches, and the report looked after: this often
_RESTART_SECONDS = 5.0  # a report goes before second attempts: not at each tick
_FINAL_POLL_SECONDS = 15.0  # at the deadline, at the least, however slow the site is
_SLOW_SECONDS = 5.0  # a call that fails after so long
_MAX_SLOW = 4  # calls in flight for what was slow the last time: the others have workers left
_OVERDUE_SECONDS = 1.0  # beyond a call's own time: nothing else has ended it
_SECONDS: Final = {Call.LOOK_UP: 30.0, Call.LIST: 10.0, Call.CREATE: 30.0, Call.POLL: 10.0}


@dataclass(slots=True)
class _Flight:
    """A call under way; times are monotonic."""

    project_id: str
    call: Call
    gate: Gate
    task: Task
    sent: float


class Poller:
    """Brings the projects of one run to their snapshots.

    Args:
        site: The site that makes them.
        workers: What carries the calls.
        clock: The time to go by.
        report: What is kept on disk.
        timeout_seconds: How long to wait from the moment that every project has been asked for
            once; then whatever is unfinished is looked at once more. A time in which the site can't
            be asked counts as waiting.
        attempts: How many snapshots to start for one project while they fail.
    """

    def __init__(
        self,
        site: Site,
        workers: Workers,
        clock: Clock,
        report: BatchReport,
        *,
        timeout_seconds: float,
        attempts: int = 1,
    ) -> None:
        self._site = site
        self._clock = clock
        self._report = report
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._deadline = math.inf
        self._tasks: TaskQueue[tuple[_Flight, CallResult[Any]]] = workers.queue()
        self._states: dict[str, ProjectState] = {}  # of all that is not finished
        self._in_flight: dict[str, _Flight] = {}  # by project, like all that follow
        self._due: dict[Call, list[tuple[float, int, str]]] = {call: [] for call in Call}
        self._to_poll: dict[str, float] = {}  # when it was last polled; in that order
        self._to_restart: list[str] = []
        self._unasked: set[str] = set()
        self._pending_since: dict[str, float] = {}
        self._slow: set[str] = set()
        self._answered: set[str] = set()  # by the final poll
        self._restarted = -math.inf
        self._entries = 0
        self._outcomes = 0
        self._orders = 0
        self._create_gate, self._read_gate = Gate(), Gate()
        self._schedule = PollSchedule()
        self._progress = Progress(clock)

    def run(self, orders: Iterable[SnapshotOrder], others: Iterable[SnapshotRecord]) -> None:
        """Start what is to be started, and wait until all is finished or the deadline has come.

        The report follows each step.

        Args:
            orders: The projects that are to have a snapshot.
            others: The other rows of the batch: what is running is waited for, the rest counted.

        Raises:
            TerminatedError: The run is to end; what was answered until then is in the report.
        """
        now = self._clock.monotonic()
        for record in others:
            self._progress.count(None, record)
            if record.is_running:
                state = snapshot.resume(record, self._attempts, now, self._site.now())
                self._states[record.project.id] = state
                self._to_poll[record.project.id] = -math.inf
                self._pending_since[record.project.id] = -math.inf
        for order in orders:
            self._progress.count(None, order.record)
            self._unasked.add(order.record.project.id)
            self._queue(snapshot.start(order, self._attempts, now))
        self._orders = len(self._unasked)
        try:
            self._until_deadline()
            self._final_poll()
            self._give_up()
        except TerminatedError:
            self._collect(math.inf)
            raise
        finally:
            self._tasks.cancel_pending()
        self._progress.log(at_once=True)

    # The loop

    def _until_deadline(self) -> None:
        while self._states:
            now = self._clock.monotonic()
            if not self._unasked and math.isinf(self._deadline):
                self._deadline = now + self._timeout_seconds
            if now >= self._deadline or self._is_outage(now):
                self._deadline = min(self._deadline, now)
                return
            waiting = bool(self._pending_since) and not math.isinf(self._deadline)
            self._progress.log(self._deadline - now if waiting else None)
            self._restart(now)
            self._send_due(now)
            self._collect(min(now + _TICK_SECONDS, self._deadline))
            self._rest(min(now + _TICK_SECONDS, self._deadline))
            self._report.save_if_due()

    def _rest(self, until: float) -> None:
        """Let the time pass where nothing under way has done so, or nothing more can be sent yet."""
        now = self._clock.monotonic()
        if now < until and self._states and not self._can_send(now):
            self._clock.sleep(until - now)

    def _can_send(self, now: float) -> bool:
        """Say whether a first call is due and has a worker: nobody waits for the next tick then."""
        return len(self._in_flight) < MAX_CONCURRENT_CALLS and any(
            entries
            and entries[0][0] <= now
            and self._gate(call).opens_at(self._flying(call)) <= now
            for call, entries in self._due.items()
            if self._unasked
        )

    def _is_outage(self, now: float) -> bool:
        """Say whether projects could not be asked for during the whole time there is to wait."""
        return any(
            self._gate(call).outage_seconds(now) >= self._timeout_seconds
            and any(project_id in self._unasked for _, _, project_id in entries)
            for call, entries in self._due.items()
        )

    def _final_poll(self) -> None:
        """Look once more at everything that is unfinished."""
        if not self._states:
            return
        log.info("The time is up; looking once more at %s", counted(len(self._states), "project"))
        began = self._clock.monotonic()
        left = [
            project_id
            for project_id, state in self._states.items()
            if state.call in {Call.POLL, Call.LIST} and project_id not in self._in_flight
        ]
        left.reverse()
        until = began + max(_FINAL_POLL_SECONDS, poll_interval(len(left)) + _FINAL_POLL_SECONDS / 3)
        while (left or self._in_flight) and (now := self._clock.monotonic()) < until:
            budget = self._schedule.calls_left(now, len(self._in_flight))
            budget = min(budget, MAX_CONCURRENT_CALLS - len(self._in_flight))
            while left and budget > 0:
                project_id = left.pop()
                if project_id in self._states:
                    self._send(project_id, now)
                    budget -= 1
            tick = min(now + _TICK_SECONDS, until)
            self._collect(tick, most=1 if left else None)
            if not self._in_flight and left:
                self._clock.sleep(max(0.0, tick - self._clock.monotonic()))
            self._report.save_if_due()

    def _give_up(self) -> None:
        waited = duration(self._timeout_seconds)
        failed = set(self._to_restart)
        for project_id, state in self._states.items():
            if project_id in failed:
                words = f"{state.record.error}; the time was up before it was started again"
                self._update(state.record, state.record.with_error(words))
                continue
            outage = self._create_gate.problem or self._read_gate.problem
            after = snapshot.give_up(
                state,
                waited,
                self._site.now(),
                was_asked=project_id in self._answered,
                outage=outage if project_id in self._unasked else "",
            )
            self._update(state.record, after)

    # Sending

    def _send_due(self, now: float) -> None:
        """Send the calls that are due, as far as their number, the pace and the site allow."""
        slots = MAX_CONCURRENT_CALLS - len(self._in_flight)
        if not self._unasked:
            slots = min(slots, self._schedule.calls_left(now, len(self._in_flight)))
        for call in (Call.LIST, Call.LOOK_UP, Call.CREATE, Call.POLL):
            entries, gate = self._due[call], self._gate(call)
            while (
                slots > 0
                and entries
                and entries[0][0] <= now
                and gate.opens_at(self._flying(call)) <= now
            ):
                _, _, project_id = heapq.heappop(entries)
                if project_id in self._slow and self._slow_in_flight() >= _MAX_SLOW:
                    self._push(call, now + 1.0, project_id)
                    continue
                self._send(project_id, now)
                slots -= 1
        interval = poll_interval(len(self._to_poll))
        most = min(slots, math.ceil(len(self._to_poll) / interval * _TICK_SECONDS))
        for project_id in list(self._polls_due(now - interval, now, most)):
            if self._read_gate.opens_at(self._flying(Call.POLL)) > now:
                break
            del self._to_poll[project_id]
            self._send(project_id, now)

    def _polls_due(self, before: float, now: float, most: int) -> Iterator[str]:
        for project_id, polled in self._to_poll.items():
            if polled > before or most <= 0:
                return
            if self._schedule.is_old_enough(now - self._pending_since[project_id]):
                most -= 1
                yield project_id

    def _send(self, project_id: str, now: float) -> None:
        state = self._states[project_id]
        call = state.call
        if call is None:
            return
        if call == Call.CREATE and state.sent is None:
            log.info("%s: starting a snapshot", _where(state.record))
        self._states[project_id] = snapshot.sending(state, now)
        self._to_poll.pop(project_id, None)
        gate = self._gate(call)
        gate.sent(now)
        ask: Callable[[], CallResult[Any]]
        match call:
            case Call.LOOK_UP:
                ask = partial(self._site.project, project_id)
            case Call.LIST:
                ask = partial(self._site.snapshots, project_id)
            case Call.CREATE:
                ask = partial(self._site.create_snapshot, project_id)
            case Call.POLL:
                ask = partial(self._site.snapshot, project_id, state.record.snapshot_id)
        flight = _Flight(project_id, call, gate, Task(), now)
        self._in_flight[project_id] = flight
        flight.task = self._tasks.submit(lambda: (flight, ask()))

    def _gate(self, call: Call) -> Gate:
        return self._create_gate if call == Call.CREATE else self._read_gate

    def _flying(self, call: Call) -> int:
        gate = self._gate(call)
        return sum(flight.gate is gate for flight in self._in_flight.values())

    def _slow_in_flight(self) -> int:
        return sum(project_id in self._slow for project_id in self._in_flight)

    # Collecting

    def _collect(self, until: float, most: int | None = None) -> None:
        """Apply what comes until then; return early where that lets something be sent."""
        overdue = min(
            (f.sent + _SECONDS[f.call] + _OVERDUE_SECONDS for f in self._in_flight.values()),
            default=math.inf,
        )
        came = 0
        for flight, result in self._tasks.results(min(until, overdue)):
            self._ended(flight, self._site.observe(result), result.seconds)
            came += 1
            if came == most or self._can_send(self._clock.monotonic()):
                break
        now = self._clock.monotonic()
        for flight in list(self._in_flight.values()):
            if now >= flight.sent + _SECONDS[flight.call] + _OVERDUE_SECONDS:
                self._tasks.abandon(flight.task)
                words = f"the site did not answer within {_SECONDS[flight.call]:g} s"
                self._ended(flight, OutcomeUnknownError(words), now - flight.sent)

    def _ended(self, flight: _Flight, value: snapshot.CallValue, seconds: float) -> None:
        """Apply the end of a call."""
        now = self._clock.monotonic()
        error = value if isinstance(value, SiteError) else None
        project_id = flight.project_id
        del self._in_flight[project_id]
        self._schedule.answered(now)
        flight.gate.answered(now, flight.sent, error)
        if error and seconds >= _SLOW_SECONDS:
            self._slow.add(project_id)
        else:
            self._slow.discard(project_id)
        before = self._states[project_id]
        after = snapshot.apply(
            before,
            value,
            Now(
                now,
                self._site.now(),
                self._site.clock.at(now if before.sent is None else before.sent),
                backoff_seconds(before.failures + 1, error),
            ),
        )
        if error is None and math.isfinite(self._deadline) and now >= self._deadline:
            self._answered.add(project_id)
        if error or after.record.snapshot_id or after.call is None:
            self._unasked.discard(project_id)
        if before.unknown_creates and after.record.snapshot_id and not before.record.snapshot_id:
            self._create_gate.answered(now, now, None)  # they are done, however they are answered
        _log_step(flight.call, before, after, error)
        if error is None and flight.call == Call.POLL and after.call == Call.POLL:
            self._states[project_id] = after
            self._to_poll[project_id] = now
        else:
            self._queue(after)
        self._update(before.record, after.record)

    def _queue(self, state: ProjectState) -> None:
        """Put a project where what it needs next is looked for."""
        project_id = state.record.project.id
        self._states[project_id] = state
        if snapshot.starts_again(state):
            self._to_restart.append(project_id)
            self._pending_since.pop(project_id, None)
        elif state.call is None:
            del self._states[project_id]
        elif state.call == Call.POLL and not state.failures and state.missed_since is None:
            self._to_poll[project_id] = self._clock.monotonic()
        else:
            self._push(state.call, state.due, project_id)

    def _push(self, call: Call, due: float, project_id: str) -> None:
        self._entries += 1
        heapq.heappush(self._due[call], (due, self._entries, project_id))

    def _update(self, before: SnapshotRecord, after: SnapshotRecord) -> None:
        """Have the report, the counts and the log know what has changed."""
        if before == after:
            return
        project_id, now = after.project.id, self._clock.monotonic()
        self._progress.count(before, after)
        self._report.update(after)
        if after.is_running:
            self._pending_since.setdefault(project_id, now)
        elif (since := self._pending_since.pop(project_id, None)) is not None:
            if after.is_complete:
                self._schedule.finished(now - since)
            self._hurry_create(now)
        if not before.snapshot_id and (after.snapshot_id or project_id not in self._states):
            self._outcomes += 1
            place = f"[{self._outcomes}/{self._orders}] " if self._outcomes <= self._orders else ""
            _log_outcome(after, place)
        elif after.status == SnapshotStatus.FAILED and before.status != SnapshotStatus.FAILED:
            log.info("%s: snapshot %s: %s", _where(after), after.snapshot_id, after.error)

    def _hurry_create(self, now: float) -> None:
        """Send a create that was refused: a site that limits its builds has room again."""
        creates = self._due[Call.CREATE]
        if creates and creates[0][0] > now:
            state = self._states[creates[0][2]]
            if state.failures and not state.heeds_site:
                heapq.heapreplace(creates, (now, creates[0][1], creates[0][2]))
        self._create_gate.hurry(now)

    # Second attempts

    def _restart(self, now: float) -> None:
        """Have what has failed started again, once the report on disk says so."""
        is_idle = len(self._to_restart) == len(self._states)
        if not self._to_restart or not (is_idle or now >= self._restarted + _RESTART_SECONDS):
            return
        self._restarted = now
        site_now = self._site.now()
        failed = [self._states[project_id] for project_id in self._to_restart]
        again = [snapshot.start_again(s, Now(now, site_now, site_now)) for s in failed]
        for state in again:
            self._report.update(state.record)
        try:
            self._report.save()  # a run that is killed now tells the next one since when to look
        except OutputError as error:
            log.warning("%s; so nothing is started again", error)
            for state in failed:
                self._report.update(state.record)
                del self._states[state.record.project.id]
            self._to_restart.clear()
            return
        self._to_restart.clear()
        for before, state in zip(failed, again, strict=True):
            self._progress.count(before.record, state.record)
            self._queue(state)


def _where(record: SnapshotRecord) -> str:
    return f"{record.project.path} ({record.project.id})"


def _log_outcome(record: SnapshotRecord, place: str) -> None:
    where = f"{place}{_where(record)}"
    if record.snapshot_id:
        log.info("%s: snapshot %s is %s", where, record.snapshot_id, record.status)
    elif record.status == SnapshotStatus.FAILED:
        log.info("%s: no snapshot was started: %s", where, record.error)
    else:
        log.info("%s: %s", where, record.error)


def _log_step(
    call: Call, before: ProjectState, after: ProjectState, error: SiteError | None
) -> None:
    """Say what a project waits for, where a call has not brought what it was sent for."""
    path = before.record.project.path
    if error is not None and after.call == Call.LIST and call == Call.CREATE:
        log.warning("%s: %s; looking whether it was started", path, one_line(str(error)))
    elif error is not None and after.call is not None and call != Call.POLL:
        log.warning("%s: %s; asking again", path, one_line(str(error)))
    elif call == Call.LIST and after.record.snapshot_id and not before.record.snapshot_id:
        log.info("%s: it was started: snapshot %s", path, after.record.snapshot_id)
