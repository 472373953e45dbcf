"""Runs tasks in parallel threads, and never waits for a thread that hangs.

Its own threads rather than ``concurrent.futures``: they are daemons, so a call that the site never
answers keeps neither the deadline nor the end of the process waiting; and one that hangs for longer
than its call may last is replaced.
"""

import math
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from .clock import Clock
from .errors import TerminatedError

Result = TypeVar("Result")

_LOOK_UP_SECONDS = 0.1  # how often the waiting thread looks whether it is to stop
_GRACE_SECONDS = 2.0  # how long calls in flight may still bring their answers after a SIGTERM


class Task:
    """A piece of work that was submitted; ``is_abandoned`` once nobody waits for it any more."""

    is_abandoned = False


class TaskQueue(Generic[Result]):
    """Tasks that were submitted, and whose results are collected as they come.

    Attributes:
        in_flight: How many were submitted and have not brought their result.
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
        self._grace = math.inf  # monotonic: until when results are awaited once the run is to end
        self.in_flight = 0

    def submit(self, work: Callable[[], Result]) -> Task:
        """Have a piece of work done, as soon as there is a worker for it."""
        self.in_flight += 1
        task = Task()
        self._put((task, partial(self._do, task, work)))
        return task

    def results(self, until: float = math.inf) -> Iterator[Result]:
        """Yield results in the order in which they come, until there are no more to come.

        Args:
            until: Monotonic time at which to return all the same. What is in flight stays so: its
                results come with a later call.

        Raises:
            TerminatedError: The run is to end. Results that come within two seconds have been
                yielded before.
        """
        while self.in_flight:
            if self._stop.is_set():
                if math.isinf(self._grace):
                    self._grace = self._clock.monotonic() + _GRACE_SECONDS
                until = self._grace
            left = until - self._clock.monotonic()
            try:
                task, result = self._results.get(timeout=max(0.0, min(_LOOK_UP_SECONDS, left)))
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
        """Wait no longer for a task; another worker takes the place of its own.

        One that hangs goes on, and its result is dropped; one that has not begun never does.
        """
        task.is_abandoned = True
        self.in_flight -= 1
        self._add_worker()

    def cancel_pending(self) -> None:
        """Cancel queued tasks and stop waiting for running ones."""
        self._is_cancelled = True

    def _do(self, task: Task, work: Callable[[], Result]) -> None:
        """Put the work's result, or what it raised; None where the run is to end."""
        result: tuple[Result] | BaseException | None = None
        if not (self._is_cancelled or self._stop.is_set()):
            try:
                result = (work(),)
            except TerminatedError:
                result = None
            except BaseException as error:  # noqa: BLE001  it is raised where results are awaited
                result = error
        self._results.put((task, result))


class Workers(Protocol):
    """What the steps need of it; a test may bring one that does everything in turn."""

    def queue(self) -> TaskQueue[Any]:
        """Return a new queue of tasks."""


class ThreadWorkers:
    """Parallel workers, so many, until ``stop`` is set."""

    def __init__(self, stop: threading.Event, clock: Clock, count: int) -> None:
        self._stop = stop
        self._clock = clock
        self._tasks: queue.SimpleQueue[tuple[Task, Callable[[], None]]] = queue.SimpleQueue()
        for _ in range(count):
            self._add_worker()

    def queue(self) -> TaskQueue[Any]:
        """Return a new queue of tasks."""
        return TaskQueue(self._tasks.put, self._add_worker, self._stop, self._clock)

    def run(self, work: Callable[[], Result]) -> Result:
        """Return the result of one piece of work, or raise TerminatedError if the run is to end."""
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
            if task.is_abandoned:  # another worker has taken this one's place
                return
