"""Runs one function over many items in parallel threads, and never waits for a thread that hangs.

``multiprocessing.pool.ThreadPool`` rather than ``concurrent.futures``: its threads are daemons, so
a call that the site never answers keeps neither the deadline nor the end of the process waiting.
"""

import math
import multiprocessing
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Protocol, TypeVar

from .clock import Clock
from .errors import TerminatedError

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 16
"""Calls to the site at one time, at the most. A create takes the site about 0.1 s: sixteen at a
time start 500 snapshots in three seconds, and a site serves that many browsers without noticing."""

_LOOK_UP_SECONDS = 0.1  # how often the waiting thread looks whether it is to stop
_GRACE_SECONDS = 2.0  # how long calls in flight may still bring their answers after a SIGTERM


class Workers(Protocol):
    """What the steps need of it; a test may bring one that does everything in turn."""

    def each(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        until: float = math.inf,
    ) -> Iterator[Result]:
        """Yield the results as they come."""


class ThreadWorkers:
    """Parallel workers, as many as there may be calls in flight."""

    def __init__(self, stop: threading.Event, clock: Clock, count: int = IN_FLIGHT) -> None:
        self._stop = stop
        self._clock = clock
        self._pool = ThreadPool(count)

    def each(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        until: float = math.inf,
    ) -> Iterator[Result]:
        """Yield the results as they come, in any order.

        Args:
            function: Called once for each item; what it raises is raised here.
            items: What to call it with; an empty list yields nothing.
            until: Monotonic time at which to stop waiting. Items not begun by then are never
                begun; calls that hang are left behind.

        Raises:
            TerminatedError: The run is to end. Answers that come within two seconds have been
                yielded before.
        """
        abandoned = threading.Event()

        def call(item: Item) -> tuple[Result] | None:
            if abandoned.is_set() or self._stop.is_set():
                return None
            try:
                return (function(item),)
            except TerminatedError:
                return None

        results = self._pool.imap_unordered(call, items)
        try:
            while True:
                if self._stop.is_set():
                    until = min(until, self._clock.monotonic() + _GRACE_SECONDS)
                try:
                    result = results.next(timeout=_LOOK_UP_SECONDS)
                except StopIteration:
                    break
                except multiprocessing.TimeoutError:
                    result = None
                if result is not None:
                    yield result[0]
                if self._clock.monotonic() >= until:
                    break
        finally:
            abandoned.set()
        if self._stop.is_set():
            raise TerminatedError
