"""Runs work in parallel threads, and never waits for a thread that hangs.

``multiprocessing.pool.ThreadPool`` rather than ``concurrent.futures``: its threads are daemons, so
a call that the site never answers keeps neither the deadline nor the end of the process waiting.
"""

import itertools
import math
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Generic, Protocol, TypeVar

from .clock import Clock
from .errors import TerminatedError

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 16
"""Calls to the site at one time, at the most. A create takes the site about 0.1 s: sixteen at a
time start 500 snapshots in three seconds, and a site serves that many browsers without noticing."""

_AHEAD = 1_000  # pieces of work in the queue: two seconds' worth, while a report is written
_LOOK_UP_SECONDS = 0.1  # how often the waiting thread looks whether it is to stop
_GRACE_SECONDS = 2.0  # how long calls in flight may still bring their answers after a SIGTERM


class Gathering(Protocol[Result]):
    """Pieces of work that were sent off, and whose results are gathered as they come."""

    @property
    def in_flight(self) -> int:
        """How many were sent and have not brought their result."""

    def send(self, work: Callable[[], Result]) -> None:
        """Have a piece of work done, as soon as there is a worker for it."""

    def results(self, until: float = math.inf) -> Iterator[Result]:
        """Yield results in the order in which they come, until there are no more to come.

        Args:
            until: Monotonic time at which to return all the same. What is in flight stays so: its
                results come with a later call.

        Raises:
            TerminatedError: The run is to end. Results that come within two seconds have been
                yielded before.
        """

    def abandon(self) -> None:
        """Begin nothing more of what was sent, and leave behind what hangs."""


class Workers(Protocol):
    """What the steps need of it; a test may bring one that does everything in turn."""

    def gather(self) -> Gathering[Result]:
        """Begin to send work off."""

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results of one function over many items, as they come."""


class ThreadWorkers:
    """Parallel workers, as many as there may be calls in flight."""

    def __init__(self, stop: threading.Event, clock: Clock, count: int = IN_FLIGHT) -> None:
        self._stop = stop
        self._clock = clock
        self._pool = ThreadPool(count)

    def gather(self) -> "_ThreadGathering[Result]":
        """See Workers."""
        return _ThreadGathering(self._pool, self._stop, self._clock)

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results as they come, in any order.

        Args:
            function: Called once for each item; what it raises is raised here.
            items: What to call it with; an empty list yields nothing.

        Raises:
            TerminatedError: See Gathering.results.
        """
        gathering: _ThreadGathering[Result] = self.gather()
        waiting = iter(items)
        try:
            for item in itertools.islice(waiting, _AHEAD):
                gathering.send(partial(function, item))
            for result in gathering.results():
                for item in itertools.islice(waiting, 1):
                    gathering.send(partial(function, item))
                yield result
        finally:
            gathering.abandon()


class _ThreadGathering(Generic[Result]):
    """See Gathering."""

    def __init__(self, pool: ThreadPool, stop: threading.Event, clock: Clock) -> None:
        self._pool = pool
        self._stop = stop
        self._clock = clock
        self._abandoned = threading.Event()
        self._came: queue.SimpleQueue[tuple[Result] | BaseException | None] = queue.SimpleQueue()
        self._grace = math.inf  # monotonic: until when results are awaited once the run is to end
        self.in_flight = 0

    def send(self, work: Callable[[], Result]) -> None:
        """See Gathering."""
        self.in_flight += 1
        self._pool.apply_async(
            self._do, (work,), callback=self._came.put, error_callback=self._came.put
        )

    def results(self, until: float = math.inf) -> Iterator[Result]:
        """See Gathering."""
        while self.in_flight:
            if self._stop.is_set():
                if math.isinf(self._grace):
                    self._grace = self._clock.monotonic() + _GRACE_SECONDS
                until = self._grace
            left = until - self._clock.monotonic()
            try:
                came = self._came.get(timeout=max(0.0, min(_LOOK_UP_SECONDS, left)))
            except queue.Empty:
                if left <= 0:
                    break
                continue
            self.in_flight -= 1
            if isinstance(came, BaseException):
                raise came
            if came is not None:
                yield came[0]
        if self._stop.is_set():
            raise TerminatedError

    def abandon(self) -> None:
        """See Gathering."""
        self._abandoned.set()

    def _do(self, work: Callable[[], Result]) -> tuple[Result] | None:
        """The work's result; None where the run is to end."""
        if self._abandoned.is_set() or self._stop.is_set():
            return None
        try:
            return (work(),)
        except TerminatedError:
            return None
