"""The loop: sends the calls that are due and applies what they bring, until all is finished.

One thread decides, here; workers only carry calls. What a project needs next, and what an answer
means for it, is in ``snapshot``; what may be sent when, in ``schedule``. Second attempts are calls
that are due like all others.
"""

import logging
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..clock import Clock
from ..errors import OutcomeUnknownError, OutputError, SiteError, TerminatedError
from ..models import SnapshotOrder, SnapshotRecord
from ..reporter import LOOK_SECONDS, BatchReport
from ..site.call_result import CallResult
from ..site.client import Site
from ..site.rates import MAX_CONCURRENT_CALLS
from ..site.retry import backoff_seconds
from ..snapshot import begin, transitions
from ..snapshot.deadline import give_up, tells_of, was_asked
from ..snapshot.project_state import Call, CallValue, Now, ProjectState
from ..text import counted, duration
from ..workers import Task, TaskQueue, Workers
from .beside import Beside
from .progress import Progress
from .schedule import TICK_SECONDS, Schedule

log = logging.getLogger(__name__)

_RESTART_SECONDS = 5.0  # a report goes before second attempts: not at each tick
_FINAL_POLL_SECONDS = 14.0  # at the deadline, however slow the site is; and for each snapshot:
_FINAL_CALL_SECONDS = 0.005


class Poller:
    """Brings the projects of one run to their snapshots; the report follows each step.

    Waits ``timeout_seconds`` from when every project has been asked for once, then looks once more
    at what is unfinished. A time in which the site can't be asked counts as waiting. While a
    project's snapshots fail, so many ``attempts`` are started for it.
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
        beside: Beside | None = None,
    ) -> None:
        self._site, self._beside = site, beside
        self._clock, self._report = clock, report
        self._timeout_seconds, self._attempts = timeout_seconds, attempts
        self._deadline = math.inf
        self._queue: TaskQueue[tuple[str, CallResult[Any]]] = workers.queue()
        self._tasks: dict[str, Task] = {}  # those of the calls under way, by project
        self._states: dict[str, ProjectState] = {}  # of all that is not finished
        self._schedule = Schedule(MAX_CONCURRENT_CALLS - (beside.calls if beside else 0))
        self._to_restart: list[str] = []
        self._restarted = -math.inf
        self._is_final = False  # whether what is unfinished is looked at once more; and since then
        self._told: set[str] = set()  # projects of which the final poll has told something
        self._progress = Progress(clock)

    def run(self, orders: Iterable[SnapshotOrder], others: Iterable[SnapshotRecord]) -> None:
        """Start what is to be started, and wait until all is finished or the deadline has come.

        The others are the batch's other rows: they are counted.

        Raises:
            TerminatedError: The run is to end; what was answered until then is in the report.
        """
        attempts, now, site_now = self._attempts, self._clock.monotonic(), self._site.now()
        for record in others:
            self._progress.count(None, record)
        for order in orders:
            self._progress.count(None, order.record)
            if not order.record.is_running:
                self._schedule.unasked.add(order.record.project.id)
            self._follow(begin.start(order, attempts, now, site_now), now)
        self._schedule.poll_at_once()
        self._progress.expect_outcomes(len(self._schedule.unasked))
        try:
            self._until_deadline()
            if self._states:
                self._final_poll()
                self._give_up()
        except TerminatedError:
            self._collect(math.inf)
            raise
        finally:
            self._queue.cancel_pending()
        self._progress.log(at_once=True)

    def _until_deadline(self) -> None:
        while self._states:
            now = self._clock.monotonic()
            if not self._schedule.unasked and math.isinf(self._deadline):
                self._deadline = now + self._timeout_seconds
                self._progress.log(self._timeout_seconds, at_once=True)
            if now >= self._deadline or self._schedule.outage_seconds(now) >= self._timeout_seconds:
                return
            self._progress.log(self._deadline - now)
            self._restart(now)
            self._turn(self._deadline)

    def _final_poll(self) -> None:
        """Look once more at everything that is unfinished."""
        log.info("The time is up; looking once more at %s", counted(len(self._states), "project"))
        left = [p for p, state in self._states.items() if state.call in {Call.POLL, Call.LIST}]
        now, self._is_final = self._clock.monotonic(), True
        self._schedule.poll_once_more(left, now)
        until = now + _FINAL_POLL_SECONDS + _FINAL_CALL_SECONDS * len(left)
        while self._schedule.is_busy and self._clock.monotonic() < until:
            self._turn(until)

    def _turn(self, until: float) -> None:
        """Send what is due, apply what comes, and let the time pass until more is due."""
        now = self._clock.monotonic()
        for project_id in self._schedule.due(now):
            self._send(project_id, now)
        until = min(until, now + LOOK_SECONDS)
        self._collect(until)
        now = self._clock.monotonic()
        wake = min(until, max(now + TICK_SECONDS, self._schedule.next_due()))
        if self._schedule.is_busy and now < wake and not self._schedule.can_send(now):
            self._clock.sleep(wake - now)
        self._report.save_if_due()
        if self._beside:
            self._beside.advance()

    def _give_up(self) -> None:
        """Have each row say what is known of it now that the time is up."""
        self._abandon(math.inf)
        waited, now = duration(self._timeout_seconds), self._site.now()
        for project_id, state in self._states.items():
            outage = self._schedule.problem if project_id in self._schedule.unasked else ""
            after = give_up(state, waited, now, was_told=project_id in self._told, outage=outage)
            self._update(state.record, after)

    def _send(self, project_id: str, now: float) -> None:
        state = self._states[project_id]
        assert state.call is not None  # noqa: S101  the schedule has only what is to be asked
        ask: dict[Call, Callable[[], CallResult[Any]]] = {
            Call.LOOK_UP: partial(self._site.project, project_id),
            Call.LIST: partial(self._site.snapshots, project_id),
            Call.CREATE: partial(self._site.create_snapshot, project_id),
            Call.POLL: partial(self._site.snapshot, project_id, state.record.snapshot_id),
        }
        if state.call == Call.CREATE and state.sent is None:
            log.info("%s: starting a snapshot", state.record.described)
        self._states[project_id] = begin.sending(state, now)
        self._schedule.sent(project_id, state.call, now)
        work = ask[state.call]
        self._tasks[project_id] = self._queue.submit(lambda: (project_id, work()))

    def _collect(self, until: float) -> None:
        """Apply what comes until then; return early where more can be sent."""
        nothing_to_send = True
        while nothing_to_send:
            nothing_to_send = False
            wake = max(self._clock.monotonic() + TICK_SECONDS, self._schedule.next_due())
            wake = min([until, wake, *self._schedule.in_flight.overdue().values()])
            for project_id, result in self._queue.results(wake):
                self._ended(project_id, self._site.observe(result), result.seconds, result.age)
                if until < math.inf:  # it may have made something due earlier than that
                    nothing_to_send = not self._schedule.can_send(self._clock.monotonic())
                    break
        self._abandon(self._clock.monotonic())

    def _abandon(self, now: float) -> None:
        """Wait no longer for calls that should have ended by then."""
        for project_id, when in self._schedule.in_flight.overdue().items():
            if when <= now:
                self._queue.abandon(self._tasks[project_id])
                self._ended(project_id, OutcomeUnknownError("the site did not answer in time"))

    def _ended(
        self, project_id: str, value: CallValue, seconds: float = math.inf, age: float = 0.0
    ) -> None:
        """Apply the end of a call that has taken so many seconds; its answer may have an age."""
        now = self._clock.monotonic()
        error = value if isinstance(value, SiteError) else None
        del self._tasks[project_id]
        asked = self._schedule.ended(project_id, now, error, seconds)
        before = self._states[project_id]
        sent = self._site.clock.at(now if before.sent is None else before.sent)
        backoff = backoff_seconds(before.failures + 1, error)
        told = Now(now, self._site.now(), sent, asked - age, backoff)
        after = transitions.apply(before, value, told)
        if self._is_final and tells_of(before.record.snapshot_id, value):
            self._told.add(project_id)
        if was_asked(before, after, value, asked):
            self._schedule.unasked.discard(project_id)
        if before.unknown_creates and after.record.snapshot_id and not before.record.snapshot_id:
            self._schedule.creates_are_done(now)
        self._progress.log_step(before, after, error)
        self._update(before.record, after.record)
        self._follow(after, now)

    def _follow(self, state: ProjectState, now: float) -> None:
        """See to what a project needs next; it has come into its state now."""
        project_id = state.record.project.id
        self._states[project_id] = state
        if state.call is not None:
            if not self._is_final or state.is_missing:
                self._schedule.add(state, now)
        elif begin.starts_again(state):
            self._to_restart.append(project_id)
        else:
            del self._states[project_id]

    def _update(self, before: SnapshotRecord, after: SnapshotRecord) -> None:
        """Have the report, the counts and the log know what has changed."""
        if before == after:
            return
        self._progress.count(before, after)
        self._report.update(after)
        if self._beside and after.is_complete:
            self._beside.add(after)
        if not after.is_running:
            self._schedule.finished(after.project.id, self._clock.monotonic())

    def _restart(self, now: float) -> None:
        """Have what has failed started again, once the report on disk says so."""
        is_idle = len(self._to_restart) == len(self._states)
        if not self._to_restart or not (is_idle or now >= self._restarted + _RESTART_SECONDS):
            return
        self._restarted = now
        failed = [self._states.pop(project_id) for project_id in self._to_restart]
        self._to_restart.clear()
        again = [begin.start_again(state, now, self._site.now()) for state in failed]
        for state in again:
            self._report.update(state.record)
        try:
            self._report.save()  # a run that is killed now tells the next one since when to look
        except OutputError as error:
            log.warning("%s; so nothing is started again", error)
            for state in failed:
                self._report.update(state.record)
            return
        for before, state in zip(failed, again, strict=True):
            self._progress.count(before.record, state.record)
            self._follow(state, now)
