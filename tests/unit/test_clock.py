"""The machine's clock, and its sleep that ends early."""

import math
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.errors import TerminatedError

# Of a sleep that must end at once; only a run that hangs takes as long.
LONG_SECONDS = 60.0


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def clock(stop: threading.Event) -> SystemClock:
    return SystemClock(stop)


def test_a_sleep_takes_its_time(clock: SystemClock) -> None:
    began = clock.monotonic()
    clock.sleep(0.02)
    assert clock.monotonic() - began >= 0.02


@pytest.mark.parametrize("seconds", [0.0, -1.0, -math.inf])
def test_a_sleep_of_no_time_returns(clock: SystemClock, seconds: float) -> None:
    began = time.monotonic()
    clock.sleep(seconds)
    assert time.monotonic() - began < LONG_SECONDS


@pytest.mark.parametrize("seconds", [0.0, LONG_SECONDS])
def test_no_sleep_begins_once_the_run_is_to_end(
    clock: SystemClock, stop: threading.Event, seconds: float
) -> None:
    stop.set()
    with pytest.raises(TerminatedError):
        clock.sleep(seconds)


def test_it_raises_only_if_the_run_is_to_end(clock: SystemClock, stop: threading.Event) -> None:
    clock.raise_if_terminated()
    stop.set()
    with pytest.raises(TerminatedError):
        clock.raise_if_terminated()


@pytest.mark.parametrize("seconds", [LONG_SECONDS, 1e10, math.inf])
def test_a_sleep_of_any_length_ends_as_soon_as_the_run_is_to_end(
    clock: SystemClock, stop: threading.Event, seconds: float
) -> None:
    timer = threading.Timer(0.02, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(TerminatedError):
        clock.sleep(seconds)
    assert time.monotonic() - began < LONG_SECONDS / 2
    timer.join()


def test_now_is_this_machines_time_in_utc(clock: SystemClock) -> None:
    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=LONG_SECONDS)
