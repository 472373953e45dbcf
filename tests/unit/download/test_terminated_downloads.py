"""Fetching in a run that is told to end: what came is archived, or said to be lost."""

import threading
import time
from pathlib import Path

import pytest

from flywheel_site_simulator import refuse
from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME
from fw_gear_sitewide_snapshot.errors import TerminatedError
from tests.support.downloads import MEBIBYTE, Fetching, in_threads, is_logged
from tests.support.time import FakeClock


class EndingClock(FakeClock):
    """A clock that ends the run at some sleep."""

    def __init__(self, sleeps: int) -> None:
        super().__init__()
        self._left = sleeps

    def sleep(self, seconds: float) -> None:
        self._left -= 1
        if self._left < 0:
            raise TerminatedError
        super().sleep(seconds)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_is_ended_at_any_moment_leaves_nothing_half(
    tmp_path: Path, elsewhere: bool, other_disk: Path
) -> None:
    sleeps = 0
    numbers = set()
    while True:
        folder = tmp_path / str(sleeps)
        folder.mkdir()
        fetching = Fetching(folder, EndingClock(sleeps))
        if elsewhere:
            fetching.output = other_disk
            (other_disk / ARCHIVE_NAME).unlink(missing_ok=True)
        for _ in range(3):
            fetching.add()
        try:
            fetching.run()
        except TerminatedError:
            fetched = fetching.fetched
            assert [path.name for path in fetching.output.iterdir()] == [ARCHIVE_NAME][:fetched]
            if fetched:
                fetching.assert_archive_tells_the_truth()
            numbers.add(fetched)
            sleeps += 1
        else:
            break

    assert numbers == {0, 1, 2}
    assert len(fetching.files) == 5


@pytest.mark.parametrize("how", ["at once", "hang", "streaming"])
def test_a_stop_is_noticed_within_seconds_and_nothing_stays(fetching: Fetching, how: str) -> None:
    stop = threading.Event()
    for _ in range(6):
        project = fetching.add(size=64 * MEBIBYTE if how == "streaming" else 0)
        if how == "hang":
            fetching.simulated.break_download(project, "hang")
    with in_threads(fetching, SystemClock(stop), stop):
        told: list[float] = []

        def end() -> None:
            told.append(time.monotonic())
            stop.set()

        threading.Timer(0.0 if how == "at once" else 0.5, end).start()
        with pytest.raises(TerminatedError):
            fetching.run()
        took = time.monotonic() - told[0]

    assert took < 3
    assert list(fetching.work.iterdir()) == []
    assert list(fetching.output.iterdir()) == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_fetched_before_a_stop_is_archived_while_another_drips(
    fetching: Fetching, elsewhere: bool, other_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fetching.output = other_disk if elsewhere else fetching.output
    dripping, *good = (fetching.add() for _ in range(4))
    fetching.simulated.break_download(dripping, "drip")
    stop = threading.Event()
    told: list[float] = []

    def tick() -> None:
        if not told and is_logged(caplog, "fetched and checked", 3):
            told.append(time.monotonic())
            stop.set()

    fetching.tick = tick
    with in_threads(fetching, SystemClock(stop), stop):
        with pytest.raises(TerminatedError):
            fetching.run()
        took = time.monotonic() - told[0]

    assert took < 4
    assert all(fetching.after[project].content for project in good)
    assert fetching.after[dripping].content is None
    assert [path.name for path in fetching.output.iterdir()] == [ARCHIVE_NAME]
    fetching.assert_archive_tells_the_truth()


class EndedClock(FakeClock):
    """A clock that can be told that the run is to end; then each look at it takes a while."""

    ended = False

    def __init__(self, look_seconds: float) -> None:
        super().__init__()
        self._look_seconds = look_seconds

    def sleep(self, seconds: float) -> None:
        if self.ended:
            self.seconds += self._look_seconds
            raise TerminatedError
        super().sleep(seconds)


def test_a_stop_while_another_attempt_is_awaited_costs_nothing_of_what_came(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = EndedClock(0.1)
    fetching = Fetching(tmp_path, clock)
    busy, *good = (fetching.add() for _ in range(3))
    fetching.fault(refuse(503, retry_after_seconds=100), busy)

    def tick() -> None:
        clock.ended = is_logged(caplog, "fetched and checked", 2)

    fetching.tick = tick
    with pytest.raises(TerminatedError):
        fetching.run()

    assert all(fetching.after[project].content for project in good)
    assert fetching.after[busy] in fetching.records
    fetching.assert_archive_tells_the_truth()


def test_what_there_is_no_time_to_copy_is_lost_and_the_log_says_how_much(
    tmp_path: Path, other_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = EndedClock(10.0)
    fetching = Fetching(tmp_path, clock)
    fetching.output = other_disk
    for _ in range(2):
        fetching.add(size=2 * MEBIBYTE)

    def tick() -> None:
        clock.ended = is_logged(caplog, "fetched and checked", 2)

    fetching.tick = tick
    with pytest.raises(TerminatedError):
        fetching.run()

    assert list(other_disk.iterdir()) == []
    assert list(fetching.after.values()) == fetching.records
    assert is_logged(caplog, "2 snapshots that came are lost", 1)
