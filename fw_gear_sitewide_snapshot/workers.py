"""Runs tasks in parallel threads, and never waits for one that is stuck.

``concurrent.futures`` waits for its threads when the process ends. These are daemons: a call that
the site never answers delays neither the deadline nor the end of the process, and a worker whose
call takes longer than it may is replaced.
"""

import math
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from typing_extensions import override

from .clock import Clock
from .errors import TerminatedError

Result = TypeVar("Result")

_STOP_CHECK_SECONDS = 0.1  # how often the waiting thread checks whether the run is to end
_GRACE_SECONDS = 2.0  # how long results of calls in flight are still awaited after a SIGTERM


class Task:
    """A task that was submitted; ``is_abandoned`` once nobody waits for its result any more."""

    is_abandoned = False


class TaskQueue(Generic[Result]):
    """Tasks whose results are collected as they come.

    Attributes:
        in_flight: How many were submitted, not abandoned, and have no result yet.
    """

    def __init__(
        self,
        put: Callable[[tuple[Task, Callable[[], None]]], None],
        add_worker: Callable[[], None],
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        self._put = put
        self._add_worker = add_worker
        self._stop = stop
        self._clock = clock
        self._is_cancelled = False
        self._results: queue.SimpleQueue[tuple[Task, tuple[Result] | BaseException | None]]
        self._results = queue.SimpleQueue()
        self._grace_until = math.inf  # monotonic: the end of the grace time, once it has begun
        self.in_flight = 0

    def submit(self, work: Callable[[], Result]) -> Task:
        """Run a function as soon as a worker is free."""
        self.in_flight += 1
        task = Task()
        self._put((task, partial(self._do, task, work)))
        return task

    def results(self, until: float = math.inf) -> Iterator[Result]:
        """Yield results in the order in which they come, until none is in flight.

        Args:
            until: Monotonic time at which to return anyway. The next call yields the results that
                come later.

        Raises:
            TerminatedError: The run is to end. Results that came within the next two seconds were
                yielded first.
        """
        while self.in_flight:
            if self._stop.is_set():
                if math.isinf(self._grace_until):
                    self._grace_until = self._clock.monotonic() + _GRACE_SECONDS
                until = self._grace_until
            left = until - self._clock.monotonic()
            try:
                task, result = self._results.get(timeout=max(0.0, min(_STOP_CHECK_SECONDS, left)))
            except queue.Empty:
                if left <= 0:
                    break
                continue
            if task.is_abandoned:
                continue
            self.in_flight -= 1
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                yield result[0]
        if self._stop.is_set():
            raise TerminatedError

    def abandon(self, task: Task) -> None:
        """Stop waiting for a task, and start a worker in place of its own.

        A running task goes on, and its result is dropped; a queued one never runs.
        """
        task.is_abandoned = True
        self.in_flight -= 1
        self._add_worker()

    def cancel_pending(self) -> None:
        """Cancel queued tasks and stop waiting for running ones."""
        self._is_cancelled = True

    def _do(self, task: Task, work: Callable[[], Result]) -> None:
        """Put the result, or what was raised; None where the task was cancelled."""
        result: tuple[Result] | BaseException | None = None
        if not (self._is_cancelled or self._stop.is_set()):
            try:
                result = (work(),)
            except TerminatedError:
                result = None
            except BaseException as error:  # noqa: BLE001  results() raises it
                result = error
        self._results.put((task, result))


class Workers(Protocol):
    """What the steps need of workers; a test can bring one that runs everything in turn."""

    def queue(self) -> TaskQueue[Any]:
        """Return a new queue of tasks."""


class ThreadWorkers(Workers):
    """So many threads, which run tasks until ``stop`` is set."""

    def __init__(self, stop: threading.Event, clock: Clock, count: int) -> None:
        self._stop = stop
        self._clock = clock
        self._tasks: queue.SimpleQueue[tuple[Task, Callable[[], None]]] = queue.SimpleQueue()
        for _ in range(count):
            self._add_worker()

    @override
    def queue(self) -> TaskQueue[Any]:
        return TaskQueue(self._tasks.put, self._add_worker, self._stop, self._clock)

    def run(self, work: Callable[[], Result]) -> Result:
        """Return one function's result, or raise TerminatedError if the run is to end."""
        tasks: TaskQueue[Result] = self.queue()
        tasks.submit(work)
        return next(tasks.results())

    def _add_worker(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            task, do = self._tasks.get()
            if not task.is_abandoned:
                do()
            if task.is_abandoned:  # abandon() has started a worker in place of this one
                return
