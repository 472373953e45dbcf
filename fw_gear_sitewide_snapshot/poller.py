"""Waits for snapshots to finish: within a deadline, at a pace, by an injected clock.

The pace. Every snapshot that is out is asked for in turn, the one that was asked longest ago
first, each at most once a second. 50 calls a second are spent however few are out: with up to 50
out each is asked every second, which costs the site nothing. With more, a turn takes five seconds,
so that quick builds are seen quickly; that takes more calls the more are out, but never more than
250 in any second, a few dozen people's browsing: with 5,000 out a turn takes 20 s. A snapshot that
is younger than half of what the quickest one has taken, and than five seconds, is not asked at all.
"""

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from .clock import Clock
from .errors import GoneError, SiteError
from .models import Snapshot, SnapshotRecord, SnapshotStatus, one_line
from .site import Site
from .wording import counted, duration
from .workers import Workers

log = logging.getLogger(__name__)

FEWEST_CALLS_PER_SECOND = 50
MOST_CALLS_PER_SECOND = 250
_SHORTEST_TURN_SECONDS = 1.0
_TURN_SECONDS = 5.0
_PULSE_SECONDS = 0.25  # calls are sent in small batches: this often
_RESTART_SECONDS = 5.0
_LONGEST_YOUTH_SECONDS = 5.0
_LAST_LOOK_SECONDS = 15.0  # at the deadline, however many are out and however slow the site is
_GONE_AFTER = 5  # answers "404" in a row, each a turn apart: a balancer may give one or two
_LOG_CHANGES_SECONDS = 5.0
_LOG_AT_LEAST_SECONDS = 60.0

Restart = Callable[[list[SnapshotRecord], float], list[SnapshotRecord]]


@dataclass(slots=True)
class _Out:
    """A snapshot that is waited for."""

    record: SnapshotRecord
    since: float  # monotonic: when the waiting for it began
    asked: float = -math.inf  # monotonic: when it was last asked for
    gone: int = 0  # answers "404" in a row
    problem: str = ""  # why the last call told nothing


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of asking for one snapshot once."""

    out: _Out
    answer: Snapshot | SiteError


def turn_seconds(out: int) -> float:
    """How long it takes until each of so many snapshots has been asked for once."""
    calls = min(max(out / _TURN_SECONDS, FEWEST_CALLS_PER_SECOND), MOST_CALLS_PER_SECOND)
    return max(_SHORTEST_TURN_SECONDS, out / calls)


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
        self._workers = workers
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._deadline = clock.monotonic() + timeout_seconds
        self._out: dict[str, _Out] = {}  # by project; the one that was asked longest ago first
        self._quickest = 0.0  # seconds until the quickest snapshot was seen to be finished
        self._counts: Counter[str] = Counter()
        self._logged_counts: Counter[str] = Counter()
        self._logged = -math.inf
        self._failed: list[SnapshotRecord] = []  # what may be started again
        self._restarted = -math.inf
        self._pulses: deque[tuple[float, int]] = deque()  # when they ended, how many calls

    def wait(self, records: Iterable[SnapshotRecord], restart: Restart) -> Iterator[SnapshotRecord]:
        """Wait until every snapshot is finished, or the deadline has come.

        Args:
            records: The batch; what has no running snapshot is only counted.
            restart: Given records whose snapshots have just failed, and the monotonic time of the
                deadline, starts new ones for those that are to have another, and returns the
                records of these.

        Yields:
            The replaced record each time that the site says something new of a snapshot; at the
            deadline, those that are not finished, with the reason.

        Raises:
            TerminatedError: The run is to end.
        """
        for record in records:
            self._replace(None, record)
            if record.status == SnapshotStatus.FAILED and record.snapshot_id:
                self._failed.append(record)  # started, and failed before it was asked for
        self._restart(restart)
        while self._out and self._clock.monotonic() < self._deadline:
            next_pulse = self._clock.monotonic() + _PULSE_SECONDS
            self._log_progress()
            due = self._due()
            for record in self._ask(due, self._deadline):
                yield record
                if record.status == SnapshotStatus.FAILED:
                    self._failed.append(record)
            self._pulses.append((self._clock.monotonic(), len(due)))
            self._restart(restart)
            if self._out:
                rest = min(next_pulse, self._deadline) - self._clock.monotonic()
                self._clock.sleep(max(0.0, rest))
        yield from self._last_look()
        self._log_progress(at_once=True)

    def _restart(self, restart: Restart) -> None:
        """Have what has failed started again; not at each pulse, since a report goes before it."""
        now = self._clock.monotonic()
        if not self._failed or (self._out and now < self._restarted + _RESTART_SECONDS):
            return
        failed, self._failed, self._restarted = self._failed, [], now
        before = {record.project.id: record for record in failed}
        for record in restart(failed, self._deadline):
            self._replace(before[record.project.id], record)
            if record.is_running and record.started == 1:
                self._deadline = self._clock.monotonic() + self._timeout_seconds

    def _last_look(self) -> Iterator[SnapshotRecord]:
        if not self._out:
            return
        log.info("The time is up; looking once more at %s", counted(len(self._out), "snapshot"))
        yield from self._ask(list(self._out.values()), self._clock.monotonic() + _LAST_LOOK_SECONDS)
        for out in self._out.values():
            waited = duration(self._timeout_seconds)
            reason = f"not finished within {waited}: the site is still at it, a retry waits for it"
            reason += f" ({out.problem})" if out.problem else ""
            yield replace(out.record, error=one_line(reason))

    def _due(self) -> list[_Out]:
        """The snapshots to ask for now: what the pace has for one pulse."""
        now = self._clock.monotonic()
        turn = turn_seconds(len(self._out))
        most = min(math.ceil(len(self._out) / turn * _PULSE_SECONDS), self._calls_left(now))
        due: list[_Out] = []
        for out in self._out.values():
            if out.asked + turn > now or len(due) == most:
                break
            if now - out.since >= min(self._quickest / 2, _LONGEST_YOUTH_SECONDS):
                due.append(out)
        return due

    def _calls_left(self, now: float) -> int:
        """How many calls the last second has left of what any second may have."""
        while self._pulses and self._pulses[0][0] <= now - 1.0:
            self._pulses.popleft()
        return MOST_CALLS_PER_SECOND - sum(calls for _, calls in self._pulses)

    def _ask(self, outs: list[_Out], until: float) -> Iterator[SnapshotRecord]:
        """Ask for each snapshot once; yield the records that this changes."""
        for out in outs:
            out.asked = self._clock.monotonic()
            self._out[out.record.project.id] = self._out.pop(out.record.project.id)
        for look in self._workers.each(self._look, outs, until=until):
            record = self._take(look)
            if record != look.out.record:
                self._replace(look.out.record, record)
                yield record

    def _look(self, out: _Out) -> _Look:
        try:
            return _Look(out, self._site.snapshot(out.record.project.id, out.record.snapshot_id))
        except SiteError as error:
            return _Look(out, error)

    def _take(self, look: _Look) -> SnapshotRecord:
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
                self._quickest = min(self._quickest or math.inf, now - out.since)
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
