"""Real threads: how many at a time, what becomes of one that hangs, and how work ends early."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol, TypeVar

import pytest

from fw_gear_sitewide_snapshot.clock import Clock, SystemClock
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.site.rates import MAX_CONCURRENT_CALLS
from fw_gear_sitewide_snapshot.workers import Task, TaskQueue, ThreadWorkers
from tests.support.time import FakeClock

Item = TypeVar("Item")
Result = TypeVar("Result")

# Of what happens at once on a machine that is not stuck.
LONG_SECONDS = 30.0


class MakeWorkers(Protocol):
    def __call__(
        self, count: int = MAX_CONCURRENT_CALLS, clock: Clock | None = None
    ) -> ThreadWorkers: ...


class FastClock(SystemClock):
    """A clock on which two seconds are a twentieth of one; counts how often it is looked at."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return 40.0 * super().monotonic()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Return what a stuck call waits for; it is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def make(stop: threading.Event, never: threading.Event) -> Iterator[MakeWorkers]:
    """Make workers that end with the test."""
    made: list[ThreadWorkers] = []

    def make_workers(
        count: int = MAX_CONCURRENT_CALLS, clock: Clock | None = None
    ) -> ThreadWorkers:
        made.append(ThreadWorkers(stop, clock or SystemClock(stop), count))
        return made[-1]

    yield make_workers
    never.set()
    for workers in made:
        ended = Task()
        ended.is_abandoned = True
        for _ in range(MAX_CONCURRENT_CALLS):
            workers._tasks.put((ended, lambda: None))  # a worker ends on it


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def results_of(
    workers: ThreadWorkers,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    until: float = math.inf,
) -> Iterator[Result]:
    """Yield the results that come until then; cancel what is queued after it."""
    tasks: TaskQueue[Result] = workers.queue()
    for item in items:
        tasks.submit(partial(function, item))
    yield from tasks.results(until)
    tasks.cancel_pending()


def before_the_end(results: Iterator[int]) -> list[int]:
    """Return the results that come before the TerminatedError."""
    arrived = []
    try:
        for result in results:
            arrived.append(result)  # noqa: PERF402 - what came before the error counts
    except TerminatedError:
        return arrived
    raise AssertionError("the results came to an ordinary end")


def test_every_item_is_done_once(make: MakeWorkers) -> None:
    calls: list[int] = []

    def call(item: int) -> int:
        calls.append(item)
        return item * 2

    assert sorted(results_of(make(), call, range(2500))) == [item * 2 for item in range(2500)]
    assert sorted(calls) == list(range(2500))


def test_no_items_are_no_results(make: MakeWorkers) -> None:
    assert list(results_of(make(), lambda item: item, [])) == []


def test_a_result_may_be_none(make: MakeWorkers) -> None:
    assert list(results_of(make(), lambda _: None, range(3))) == [None] * 3


def test_a_result_comes_as_soon_as_it_is_there(make: MakeWorkers, never: threading.Event) -> None:
    def call(item: str) -> str:
        if item == "slow":
            never.wait(LONG_SECONDS)
        return item

    results = results_of(make(), call, ["slow", "quick"])
    assert next(results) == "quick"
    never.set()
    assert list(results) == ["slow"]


@pytest.mark.parametrize("count", [1, 5, MAX_CONCURRENT_CALLS])
def test_as_many_calls_as_there_are_workers_are_in_flight_and_no_more(
    make: MakeWorkers, count: int
) -> None:
    # Each wave of calls ends only when the whole wave is there.
    wave, lock = threading.Barrier(count, timeout=LONG_SECONDS), threading.Lock()
    now = most = 0

    def call(item: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        wave.wait()
        with lock:
            now -= 1
        return item

    assert len(list(results_of(make(count), call, range(count * 3)))) == count * 3
    assert most == count


def test_what_a_call_raises_is_raised(make: MakeWorkers) -> None:
    def call(item: int) -> int:
        if item == 3:
            raise LookupError("item 3")
        return item

    with pytest.raises(LookupError, match="item 3"):
        list(results_of(make(), call, range(5)))


def test_the_workers_are_there_again_after_an_error(make: MakeWorkers) -> None:
    workers = make(1)

    def fail(_: int) -> int:
        raise LookupError

    with pytest.raises(LookupError):
        list(results_of(workers, fail, range(5)))
    assert sorted(results_of(workers, lambda item: item, range(5))) == list(range(5))


def test_a_call_that_hangs_keeps_nobody_longer_than_until(
    make: MakeWorkers, never: threading.Event
) -> None:
    began = time.monotonic()
    assert list(results_of(make(), never.wait, [LONG_SECONDS], until=began + 0.05)) == []
    assert time.monotonic() - began < LONG_SECONDS / 2


def test_results_that_came_before_until_are_kept_although_others_hang(
    make: MakeWorkers, never: threading.Event, clock: FakeClock
) -> None:
    def call(item: str) -> str:
        if item == "hangs":
            never.wait(LONG_SECONDS)
        return item

    results = results_of(make(clock=clock), call, ["hangs", "quick"], until=600.0)
    assert next(results) == "quick"
    clock.seconds = 600.0
    assert list(results) == []


def test_items_that_until_comes_before_are_never_begun(
    make: MakeWorkers, never: threading.Event, clock: FakeClock
) -> None:
    begun: list[int] = []

    def call(item: int) -> None:
        begun.append(item)
        if len(begun) == 2:
            clock.seconds = 600.0
        never.wait(LONG_SECONDS)

    workers = make(2, clock)
    assert list(results_of(workers, call, range(10), until=600.0)) == []
    never.set()
    assert list(results_of(workers, lambda item: item, ["the queue is empty"])) == [
        "the queue is empty"
    ]
    assert sorted(begun) == [0, 1]


def test_a_run_that_is_to_end_begins_nothing(make: MakeWorkers, stop: threading.Event) -> None:
    begun: list[int] = []
    stop.set()
    with pytest.raises(TerminatedError):
        list(results_of(make(), begun.append, range(5)))
    assert begun == []


def test_a_run_that_is_to_end_yields_what_is_in_flight_and_begins_nothing_more(
    make: MakeWorkers, stop: threading.Event, clock: FakeClock
) -> None:
    in_flight = threading.Barrier(3, timeout=LONG_SECONDS)
    begun: list[int] = []

    def call(item: int) -> int:
        begun.append(item)
        in_flight.wait()
        stop.wait(LONG_SECONDS)
        return item

    def end() -> None:
        in_flight.wait()
        stop.set()

    ending = threading.Thread(target=end)
    ending.start()
    arrived = before_the_end(results_of(make(2, clock), call, range(10)))
    ending.join()
    assert sorted(begun) == sorted(arrived) == [0, 1]


@pytest.mark.parametrize("until_seconds", [math.inf, 3600.0])
def test_a_run_that_is_to_end_waits_two_seconds_for_a_call_that_hangs(
    make: MakeWorkers, stop: threading.Event, never: threading.Event, until_seconds: float
) -> None:
    def call(_: int) -> None:
        stop.set()
        never.wait(LONG_SECONDS)

    clock = FastClock(stop)
    began = clock.monotonic()
    with pytest.raises(TerminatedError):
        list(results_of(make(1, clock), call, range(3), until=began + until_seconds))
    assert 2.0 <= clock.monotonic() - began < 40.0 * LONG_SECONDS


def test_no_deadline_cuts_the_two_seconds_short(
    make: MakeWorkers, stop: threading.Event, clock: FakeClock
) -> None:
    def call(item: int) -> int:
        stop.set()
        time.sleep(0.3)
        return item

    def results() -> Iterator[int]:
        tasks: TaskQueue[int] = make(1, clock).queue()
        tasks.submit(partial(call, 7))
        stop.wait(LONG_SECONDS)
        yield from tasks.results(until=clock.monotonic())

    assert before_the_end(results()) == [7]


def test_the_two_seconds_pass_once_however_often_results_are_asked_for(
    make: MakeWorkers, stop: threading.Event, never: threading.Event
) -> None:
    clock = FastClock(stop)
    tasks: TaskQueue[int] = make(1, clock).queue()

    def call() -> int:
        stop.set()
        never.wait(LONG_SECONDS)
        return 1

    tasks.submit(call)
    stop.wait(LONG_SECONDS)
    with pytest.raises(TerminatedError):
        list(tasks.results())

    looks = clock.looks
    with pytest.raises(TerminatedError):
        list(tasks.results())
    assert clock.looks - looks == 1, "it is seen at once that the time has passed"


def test_a_call_that_is_told_to_end_takes_no_answer_from_the_others(
    make: MakeWorkers, stop: threading.Event, clock: FakeClock
) -> None:
    told, begun = threading.Event(), threading.Event()

    def call(item: int) -> int:
        if item == 0:
            begun.set()
            try:
                SystemClock(stop).sleep(LONG_SECONDS)
            finally:
                told.set()
        begun.wait(LONG_SECONDS)
        stop.set()
        told.wait(LONG_SECONDS)
        time.sleep(0.05)  # the other one has ended by then
        return item

    assert before_the_end(results_of(make(2, clock), call, range(2))) == [1]


def test_what_is_in_flight_when_the_time_is_up_brings_its_result_later(
    make: MakeWorkers, never: threading.Event
) -> None:
    tasks: TaskQueue[bool] = make().queue()
    tasks.submit(lambda: never.wait(LONG_SECONDS))

    assert list(tasks.results(until=0.0)) == []
    assert tasks.in_flight == 1
    never.set()
    assert list(tasks.results()) == [True]
    assert tasks.in_flight == 0


def test_what_has_come_is_yielded_even_when_the_time_is_up(make: MakeWorkers) -> None:
    workers = make(1)
    tasks: TaskQueue[int] = workers.queue()
    for number in (7, 8):
        tasks.submit(partial(int, number))
    assert list(results_of(workers, int, [9])) == [9]  # one worker: what was sent before is done

    assert list(tasks.results(until=0.0)) == [7, 8]


# What hangs is replaced


def test_a_task_that_hangs_is_no_longer_waited_for_and_its_worker_is_replaced(
    make: MakeWorkers, never: threading.Event
) -> None:
    workers = make(1)
    tasks: TaskQueue[str] = workers.queue()
    begun = threading.Event()

    def hang() -> str:
        begun.set()
        never.wait(LONG_SECONDS)
        return "too late"

    task = tasks.submit(hang)
    assert begun.wait(LONG_SECONDS)
    tasks.abandon(task)
    assert tasks.in_flight == 0
    assert list(tasks.results()) == []

    tasks.submit(lambda: "next")
    assert list(tasks.results()) == ["next"]


@pytest.mark.parametrize("count", [3, MAX_CONCURRENT_CALLS])
def test_as_many_workers_as_hang_are_replaced(
    make: MakeWorkers, never: threading.Event, count: int
) -> None:
    tasks: TaskQueue[bool] = make(count).queue()
    for _ in range(4):  # rounds
        begun = threading.Barrier(count + 1, timeout=LONG_SECONDS)

        def hang(begun: threading.Barrier = begun) -> bool:
            begun.wait()
            return never.wait(LONG_SECONDS)

        hanging = [tasks.submit(hang) for _ in range(count)]
        begun.wait()
        for task in hanging:
            tasks.abandon(task)
    together = threading.Barrier(count, timeout=LONG_SECONDS)
    for _ in range(count):
        tasks.submit(lambda: together.wait() >= 0)
    assert list(tasks.results()) == [True] * count


def test_the_result_of_a_task_that_is_no_longer_waited_for_is_dropped(
    make: MakeWorkers, never: threading.Event
) -> None:
    tasks: TaskQueue[str] = make(1).queue()
    begun, ended = threading.Event(), threading.Event()

    def late() -> str:
        begun.set()
        never.wait(LONG_SECONDS)
        ended.set()
        return "too late"

    task = tasks.submit(late)
    begun.wait(LONG_SECONDS)
    tasks.abandon(task)
    never.set()
    ended.wait(LONG_SECONDS)
    tasks.submit(lambda: "next")
    assert list(tasks.results()) == ["next"]
    assert tasks.in_flight == 0


def test_a_task_that_is_no_longer_waited_for_never_begins(
    make: MakeWorkers, never: threading.Event
) -> None:
    tasks: TaskQueue[str] = make(1).queue()
    begun: list[str] = []
    busy = threading.Event()

    def occupy() -> str:
        busy.set()
        never.wait(LONG_SECONDS)
        return "first"

    def create() -> str:
        begun.append("a create whose time is up")
        return "second"

    tasks.submit(occupy)
    busy.wait(LONG_SECONDS)
    tasks.abandon(tasks.submit(create))
    never.set()
    tasks.submit(lambda: "third")
    tasks.submit(lambda: "fourth")
    assert sorted(tasks.results()) == ["first", "fourth", "third"]
    assert begun == []


def test_what_was_waiting_is_cancelled_and_what_runs_is_not_waited_for(
    make: MakeWorkers, never: threading.Event
) -> None:
    workers = make(1)
    tasks: TaskQueue[bool] = workers.queue()
    begun = threading.Event()
    more: list[int] = []

    def hang() -> bool:
        begun.set()
        return never.wait(LONG_SECONDS)

    tasks.submit(hang)
    for number in range(5):
        tasks.submit(partial(more.append, number))  # type: ignore[arg-type]
    begun.wait(LONG_SECONDS)
    tasks.cancel_pending()
    never.set()
    assert workers.run(lambda: "the queue is empty") == "the queue is empty"
    assert more == []


# One piece of work


def test_one_piece_of_work_brings_its_result_or_what_it_raises(make: MakeWorkers) -> None:
    workers = make()
    assert workers.run(lambda: 7) == 7
    with pytest.raises(LookupError, match="words"):
        workers.run(partial(fail, "words"))


def fail(words: str) -> None:
    raise LookupError(words)


def test_a_run_that_is_to_end_is_not_held_up_by_one_piece_of_work(
    make: MakeWorkers, stop: threading.Event, never: threading.Event
) -> None:
    def hang() -> None:
        stop.set()
        never.wait(LONG_SECONDS)

    with pytest.raises(TerminatedError):
        make(clock=FastClock(stop)).run(hang)
