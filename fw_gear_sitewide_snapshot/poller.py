"""Waits for snapshots to finish: within a deadline, at a pace, by an injected clock."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from .clock import Clock
from .errors import GoneError, SiteError
from .models import Snapshot, SnapshotRecord, SnapshotStatus, one_line
from .pace import Pace, turn_seconds
from .site import Site
from .wording import counted, duration
from .workers import Gathering, Workers

log = logging.getLogger(__name__)

_PULSE_SECONDS = 0.25  # calls are sent in small batches: this often
_RESTART_SECONDS = 5.0
_LAST_LOOK_SECONDS = 15.0  # at the deadline, however many are out and however slow the site is
_GONE_AFTER = 5  # answers "404" in a row, each a turn apart: a balancer may give one or two
_LOG_CHANGES_SECONDS = 5.0
_LOG_AT_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Restart:
    """A snapshot to be started again.

    Attributes:
        record: The project's row until it is known how that went.
        work: Starts it, in a worker, and returns the replaced row.
    """

    record: SnapshotRecord
    work: Callable[[], SnapshotRecord]


PrepareRestarts = Callable[[list[SnapshotRecord], float], list[Restart]]


@dataclass(slots=True)
class _Out:
    """A snapshot that is waited for."""

    record: SnapshotRecord
    since: float  # monotonic: when the waiting for it began
    asked: float = -math.inf  # monotonic: when it was last asked for
    is_asked: bool = False  # whether that answer is still to come
    gone: int = 0  # answers "404" in a row
    problem: str = ""  # why the last call told nothing


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of asking for one snapshot once."""

    out: _Out
    answer: Snapshot | SiteError


class Poller:
    """Waits for the snapshots of one run.

    Args:
        site: The site that makes them.
        workers: How many are asked for at a time.
        clock: The time to wait by.
        timeout_seconds: How long to wait, from now, or from when the last project had its first
            snapshot of this run (a second attempt gets no more time); then every snapshot is looked
            at once more.
    """

    def __init__(self, site: Site, workers: Workers, clock: Clock, timeout_seconds: float) -> None:
        self._site = site
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._deadline = clock.monotonic() + timeout_seconds
        self._calls: Gathering[_Look | SnapshotRecord] = workers.gather()
        self._out: dict[str, _Out] = {}  # by project; the one that was asked longest ago first
        self._starting: dict[str, SnapshotRecord] = {}  # by project: what is being started again
        self._failed: list[SnapshotRecord] = []  # what may be started again
        self._restarted = -math.inf  # monotonic: when that was last done
        self._pace = Pace()
        self._counts: Counter[str] = Counter()
        self._logged_counts: Counter[str] = Counter()
        self._logged = -math.inf

    def wait(
        self, records: Iterable[SnapshotRecord], prepare_restarts: PrepareRestarts
    ) -> Iterator[SnapshotRecord]:
        """Wait until every snapshot is finished, or the deadline has come.

        No call holds another up: one that hangs is waited for beside the others.

        Args:
            records: The batch; what has no running snapshot is only counted.
            prepare_restarts: Given records whose snapshots have just failed, and the monotonic time
                of the deadline, returns the restarts of those that are to have another snapshot.

        Yields:
            The replaced record each time that there is something new of a snapshot; at the
            deadline, those that are not finished, with the reason.

        Raises:
            TerminatedError: The run is to end.
        """
        for record in records:
            self._replace(None, record)
        try:
            while self._is_busy() and self._clock.monotonic() < self._deadline:
                next_pulse = min(self._clock.monotonic() + _PULSE_SECONDS, self._deadline)
                self._log_progress()
                self._restart(prepare_restarts)
                self._ask(self._due())
                yield from self._take_in(next_pulse)
                if self._is_busy():
                    self._clock.sleep(max(0.0, next_pulse - self._clock.monotonic()))
            yield from self._last_look()
        finally:
            self._calls.abandon()
        self._log_progress(at_once=True)

    def _is_busy(self) -> bool:
        return bool(self._out or self._starting or self._failed)

    def _restart(self, prepare_restarts: PrepareRestarts) -> None:
        """Have what has failed started again; not at each pulse, since a report goes before it."""
        now = self._clock.monotonic()
        is_worth_it = now >= self._restarted + _RESTART_SECONDS
        if not self._failed or not (is_worth_it or not (self._out or self._starting)):
            return
        failed, self._failed, self._restarted = self._failed, [], now
        before = {record.project.id: record for record in failed}
        for restart in prepare_restarts(failed, self._deadline):
            self._replace(before[restart.record.project.id], restart.record)
            self._starting[restart.record.project.id] = restart.record
            self._calls.send(restart.work)

    def _last_look(self) -> Iterator[SnapshotRecord]:
        if not self._out and not self._starting:
            return
        log.info("The time is up; looking once more at %s", counted(len(self._out), "snapshot"))
        self._ask([out for out in self._out.values() if not out.is_asked])
        yield from self._take_in(self._clock.monotonic() + _LAST_LOOK_SECONDS)
        waited = duration(self._timeout_seconds)
        for out in self._out.values():
            reason = f"not finished within {waited}: the site is still at it, a retry waits for it"
            reason += f" ({out.problem})" if out.problem else ""
            yield replace(out.record, error=one_line(reason))
        for record in self._starting.values():
            reason = f"not known within {waited} whether it was started again: a retry looks for it"
            yield replace(record, error=reason)

    def _due(self) -> list[_Out]:
        """The snapshots to ask for now: what the pace has for one pulse."""
        now = self._clock.monotonic()
        turn = turn_seconds(len(self._out))
        most = min(
            math.ceil(len(self._out) / turn * _PULSE_SECONDS),
            self._pace.calls_left(now, self._calls.in_flight),
        )
        due: list[_Out] = []
        for out in self._out.values():
            if out.asked + turn > now or len(due) >= most:
                break
            if not out.is_asked and self._pace.is_old_enough(now - out.since):
                due.append(out)
        return due

    def _ask(self, outs: list[_Out]) -> None:
        for out in outs:
            out.asked, out.is_asked = self._clock.monotonic(), True
            self._out[out.record.project.id] = self._out.pop(out.record.project.id)
            self._calls.send(partial(self._look, out))

    def _take_in(self, until: float) -> Iterator[SnapshotRecord]:
        """Yield the records that are changed by what comes until then."""
        for came in self._calls.results(until):
            if isinstance(came, SnapshotRecord):
                before = self._starting.pop(came.project.id)
                if came.is_running and came.started == 1:
                    self._deadline = self._clock.monotonic() + self._timeout_seconds
                record = came
            else:
                self._pace.answered(self._clock.monotonic())
                came.out.is_asked = False
                before, record = came.out.record, self._told(came)
            if record != before:
                self._replace(before, record)
                yield record

    def _look(self, out: _Out) -> _Look:
        try:
            return _Look(out, self._site.snapshot(out.record.project.id, out.record.snapshot_id))
        except SiteError as error:
            return _Look(out, error)

    def _told(self, look: _Look) -> SnapshotRecord:
        """The record after an answer. A failed call changes nothing, save 404 again and again."""
        out = look.out
        if isinstance(look.answer, Snapshot):
            out.gone, out.problem = 0, ""
            return out.record.at(look.answer)
        out.problem = str(look.answer)
        out.gone = out.gone + 1 if isinstance(look.answer, GoneError) else 0
        if out.gone < _GONE_AFTER:
            return out.record
        reason = f"the snapshot is gone, deleted on the site: {look.answer}"
        return out.record.failed(reason, self._site.now(), snapshot_id=out.record.snapshot_id)

    def _replace(self, before: SnapshotRecord | None, after: SnapshotRecord) -> None:
        now = self._clock.monotonic()
        if before is not None:
            self._counts[before.status] -= 1
        self._counts[after.status] += 1
        out = self._out.get(after.project.id)
        if not after.is_running:
            self._out.pop(after.project.id, None)
            if out is not None and after.is_complete:
                self._pace.finished(now - out.since)
            if after.status == SnapshotStatus.FAILED and after.snapshot_id:
                self._failed.append(after)
        elif out is not None:
            out.record = after
        else:
            self._out[after.project.id] = _Out(after, since=now)

    def _log_progress(self, *, at_once: bool = False) -> None:
        now = self._clock.monotonic()
        counts = +self._counts
        changed = counts != self._logged_counts
        every = _LOG_CHANGES_SECONDS if changed else _LOG_AT_LEAST_SECONDS
        if now - self._logged < every and not (at_once and changed):
            return
        left = self._deadline - now
        rest = f"; {duration(left)} left" if self._out and left > 0 else ""
        log.info("%s%s", ", ".join(f"{n} {status}" for status, n in counts.most_common()), rest)
        self._logged, self._logged_counts = now, counts
