"""Second attempts while the batch is waited for: those that are to come, those under way.

Decides neither what deserves one nor how it is made; both come with the Restart.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from .clock import Clock
from .models import SnapshotRecord

CALLS_EACH = 2  # a look-up of the project, and a create

_PREPARE_SECONDS = 5.0  # a report goes before them: not at each pulse
_MOST_AT_A_TIME = 8  # each may pause for a minute: half of the workers are left to ask with


@dataclass(frozen=True, slots=True)
class Restart:
    """A snapshot to be started again.

    Attributes:
        failed: The project's row as its last snapshot left it.
        record: The row until it is known how this one went.
        work: Starts it, in a worker, and returns the replaced row. Takes the monotonic time until
            which it may try.
    """

    failed: SnapshotRecord
    record: SnapshotRecord
    work: Callable[[float], SnapshotRecord]


PrepareRestarts = Callable[[list[SnapshotRecord]], list[Restart]]


class Restarts:
    """The second attempts of one run.

    Args:
        prepare: Given rows whose snapshots have just failed, returns the restarts of those that are
            to have another snapshot.
        clock: The time to go by.
    """

    def __init__(self, prepare: PrepareRestarts, clock: Clock) -> None:
        self._prepare = prepare
        self._clock = clock
        self._prepared = -math.inf  # monotonic: when that was last done
        self._failed: list[SnapshotRecord] = []
        self._waiting: deque[Restart] = deque()
        self._under_way: dict[str, Restart] = {}  # by project

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to be started again, or just being."""
        return bool(self._failed or self._waiting or self._under_way)

    @property
    def in_flight(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def add(self, record: SnapshotRecord) -> None:
        """Take note of a row whose snapshot has just failed."""
        self._failed.append(record)

    def prepare(self, *, at_once: bool) -> list[Restart]:
        """What is from now on to be started again; not more often than a report is worth.

        Args:
            at_once: Whether there is nothing else to wait for.
        """
        now = self._clock.monotonic()
        if not self._failed or not (at_once or now >= self._prepared + _PREPARE_SECONDS):
            return []
        failed, self._failed, self._prepared = self._failed, [], now
        restarts = self._prepare(failed)
        self._waiting.extend(restarts)
        return restarts

    def next_ones(self, most_calls: int, until: float) -> Iterator[Callable[[], SnapshotRecord]]:
        """Yield the work to be sent off now.

        Args:
            most_calls: How many calls the site may be sent now.
            until: Monotonic time until which they may try.
        """
        if self._clock.monotonic() >= until:
            return
        most = min(_MOST_AT_A_TIME - len(self._under_way), most_calls // CALLS_EACH)
        for _ in range(min(most, len(self._waiting))):
            restart = self._waiting.popleft()
            self._under_way[restart.record.project.id] = restart
            yield partial(self._begin, restart, until)

    def _begin(self, restart: Restart, until: float) -> SnapshotRecord:
        """The work; where no worker was free in time, the row is as it was."""
        return restart.work(until) if self._clock.monotonic() < until else restart.failed

    def came(self, record: SnapshotRecord) -> SnapshotRecord:
        """Take note of how one went; returns the row as it was meanwhile."""
        return self._under_way.pop(record.project.id).record

    def given_up(self) -> Iterator[tuple[SnapshotRecord, bool]]:
        """Yield the rows of those that the time was not enough for, and whether each had begun."""
        for restart in self._under_way.values():
            yield restart.record, True
        for restart in self._waiting:
            yield restart.failed, False
