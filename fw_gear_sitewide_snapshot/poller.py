"""Waits for snapshots to finish: within a deadline, at a pace, by an injected clock."""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from .clock import Clock
from .errors import SiteError, TerminatedError
from .models import Snapshot, SnapshotRecord, SnapshotStatus, one_line
from .pace import Pace, turn_seconds
from .progress import Progress
from .restarts import CALLS_EACH, PrepareRestarts, Restarts
from .site import Site
from .waited import Waited
from .wording import counted, duration
from .workers import Gathering, Workers

log = logging.getLogger(__name__)

_PULSE_SECONDS = 0.25  # calls are sent in small batches: this often
_MOST_HANGING = 4  # calls in flight for what hung the last time: the others have workers left
_LAST_LOOK_SECONDS = 15.0  # at the deadline, at the least, however slow the site is
_LAST_ANSWERS_SECONDS = 5.0  # after the last of the last calls was sent


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of asking for one snapshot once, and how long that took."""

    out: Waited
    answer: Snapshot | SiteError
    seconds: float


class Poller:
    """Waits for the snapshots of one run.

    Args:
        site: The site that makes them.
        workers: How many are asked for at a time.
        clock: The time to wait by.
        timeout_seconds: How long to wait, from now, or from when the last project had its first
            snapshot of this run (a second attempt gets no more time); then every snapshot is looked
            at once more.
        prepare_restarts: See Restarts.
    """

    def __init__(
        self,
        site: Site,
        workers: Workers,
        clock: Clock,
        timeout_seconds: float,
        prepare_restarts: PrepareRestarts,
    ) -> None:
        self._site = site
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._deadline = clock.monotonic() + timeout_seconds
        self._calls: Gathering[_Look | SnapshotRecord] = workers.gather()
        self._out: dict[str, Waited] = {}  # by project; the one that was asked longest ago first
        self._asked = 0  # how many of them have an answer to come
        self._restarts = Restarts(prepare_restarts, clock)
        self._pace = Pace()
        self._progress = Progress(clock)

    def wait(self, records: Iterable[SnapshotRecord]) -> Iterator[SnapshotRecord]:
        """Wait until every snapshot is finished, or the deadline has come.

        A call that hangs takes one of the workers; the others go on with the rest.

        Args:
            records: The batch; what has no running snapshot is only counted.

        Yields:
            The replaced record each time that there is something new of a snapshot; at the
            deadline, those that are not finished, with the reason.

        Raises:
            TerminatedError: The run is to end; what was answered until then has been yielded.
        """
        for record in records:
            self._replace(None, record)
        try:
            while self._is_busy() and self._clock.monotonic() < self._deadline:
                yield from self._until_deadline()
                yield from self._last_look()  # may move the deadline, with a first snapshot
            yield from self._unfinished()
        except TerminatedError:
            yield from self._take_in(math.inf)
            raise
        finally:
            self._calls.abandon()
        self._progress.log(at_once=True)

    def _is_busy(self) -> bool:
        return bool(self._out or self._restarts.is_busy)

    def _until_deadline(self) -> Iterator[SnapshotRecord]:
        while self._is_busy() and self._clock.monotonic() < self._deadline:
            next_pulse = min(self._clock.monotonic() + _PULSE_SECONDS, self._deadline)
            self._progress.log(self._deadline - self._clock.monotonic() if self._out else None)
            self._restart()
            self._ask(self._due())
            yield from self._take_in(next_pulse)
            if self._is_busy():
                self._clock.sleep(max(0.0, next_pulse - self._clock.monotonic()))

    def _last_look(self) -> Iterator[SnapshotRecord]:
        """Ask for everything once more, at the pace of before."""
        if not self._out and not self._restarts.in_flight:
            return
        log.info("The time is up; looking once more at %s", counted(len(self._out), "snapshot"))
        looked = self._clock.monotonic()
        seconds = max(_LAST_LOOK_SECONDS, turn_seconds(len(self._out)) + _LAST_ANSWERS_SECONDS)
        while self._clock.monotonic() < looked + seconds:
            left = [out for out in self._out.values() if out.asked < looked and not out.is_asked]
            if not left and not self._asked and not self._restarts.in_flight:
                break
            most = max(0, self._calls_left())
            self._ask(left[:most])
            next_pulse = min(self._clock.monotonic() + _PULSE_SECONDS, looked + seconds)
            yield from self._take_in(next_pulse)
            if self._asked or self._restarts.in_flight or len(left) > most:
                self._clock.sleep(max(0.0, next_pulse - self._clock.monotonic()))

    def _unfinished(self) -> Iterator[SnapshotRecord]:
        waited = duration(self._timeout_seconds)
        for out in self._out.values():
            reason = f"not finished within {waited}: the site is still at it, a retry waits for it"
            reason += f" ({out.problem})" if out.problem else ""
            yield replace(out.record, error=one_line(reason))
        for record, has_begun in self._restarts.given_up():
            reason = (
                f"not known within {waited} whether it was started again: a retry looks for it"
                if has_begun
                else f"{record.error}; the time was up before it was started again"
            )
            yield replace(record, error=one_line(reason))

    def _restart(self) -> None:
        """Have what has failed started again."""
        for restart in self._restarts.prepare(at_once=not self._out):
            self._replace(restart.failed, restart.record)
        self._send_restarts()

    def _send_restarts(self) -> None:
        for work in self._restarts.next_ones(self._calls_left(), self._deadline):
            self._calls.send(work)

    def _calls_left(self) -> int:
        in_flight = self._asked + CALLS_EACH * self._restarts.in_flight
        return self._pace.calls_left(self._clock.monotonic(), in_flight)

    def _due(self) -> list[Waited]:
        """The snapshots to ask for now: what the pace has for one pulse."""
        now = self._clock.monotonic()
        turn = turn_seconds(len(self._out))
        most = min(math.ceil(len(self._out) / turn * _PULSE_SECONDS), self._calls_left())
        hanging = _MOST_HANGING - sum(out.hangs and out.is_asked for out in self._out.values())
        due: list[Waited] = []
        for out in self._out.values():
            if out.asked + turn > now or len(due) >= most:
                break
            if (
                out.is_asked
                or out.not_before > now
                or (out.hangs and hanging <= 0)
                or not self._pace.is_old_enough(now - out.since)
            ):
                continue
            hanging -= out.hangs
            due.append(out)
        return due

    def _ask(self, outs: list[Waited]) -> None:
        for out in outs:
            out.asked, out.is_asked = self._clock.monotonic(), True
            self._asked += 1
            self._out[out.record.project.id] = self._out.pop(out.record.project.id)
            self._calls.send(partial(self._look, out))

    def _take_in(self, until: float) -> Iterator[SnapshotRecord]:
        """Yield the records that are changed by what comes until then."""
        for came in self._calls.results(until):
            now = self._clock.monotonic()
            if isinstance(came, SnapshotRecord):
                self._pace.answered(now, CALLS_EACH)
                before, record = self._restarts.came(came), came
                if came.is_running and came.started == 1:
                    self._deadline = now + self._timeout_seconds
                self._send_restarts()
            else:
                self._pace.answered(now)
                self._asked -= 1
                came.out.is_asked = False
                before, record = came.out.record, self._told(came)
            if record != before:
                self._replace(before, record)
                yield record

    def _look(self, out: Waited) -> _Look:
        began = self._clock.monotonic()
        answer: Snapshot | SiteError
        try:
            answer = self._site.snapshot(out.record.project.id, out.record.snapshot_id)
        except SiteError as error:
            answer = error
        return _Look(out, answer, self._clock.monotonic() - began)

    def _told(self, look: _Look) -> SnapshotRecord:
        """The record after an answer."""
        if isinstance(look.answer, Snapshot):
            return look.out.answered(look.answer)
        now = self._clock.monotonic()
        return look.out.not_answered(look.answer, look.seconds, now, self._site.now())

    def _replace(self, before: SnapshotRecord | None, after: SnapshotRecord) -> None:
        now = self._clock.monotonic()
        self._progress.count(before, after)
        out = self._out.get(after.project.id)
        if not after.is_running:
            self._out.pop(after.project.id, None)
            if out is not None and after.is_complete:
                self._pace.finished(now - out.since)
            if after.status == SnapshotStatus.FAILED and after.snapshot_id:
                self._restarts.add(after)
        elif out is not None:
            out.record = after
        else:
            self._out[after.project.id] = Waited(after, since=now)
