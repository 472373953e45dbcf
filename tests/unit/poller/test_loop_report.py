"""The report on disk is never far behind what the run knows, whatever the run is doing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel_site_simulator import accept, break_off, refuse
from fw_gear_sitewide_snapshot.errors import TerminatedError
from tests.support.loop import Loop
from tests.support.time import FakeClock

pytestmark = pytest.mark.usefixtures("unmeasured")

LOOKS_EVERY_SECONDS = 1.0


@pytest.fixture
def loop(clock: FakeClock, tmp_path: Path) -> Loop:
    return Loop(clock, tmp_path, build_seconds=(20.0, 400.0))


class Onlooker:
    """Reads the report while a run goes on, as somebody would find it who killed the run then."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.looked = -1.0
        self.looks = 0

    def __call__(self, _: object) -> None:
        now = self.loop.clock.seconds
        if now < self.looked + LOOKS_EVERY_SECONDS:
            return
        self.looked = now
        self.looks += 1
        rows = self.loop.on_disk
        for call in self.loop.transport.carried:
            made = self.loop.simulated.snapshots(call.project_id)
            known_for = now - call.ended
            if call.method == "POST" and made and known_for > self.loop.allowed_lag:
                assert rows[call.project_id].snapshot_id == made[0].id, f"{known_for} s behind"


@pytest.mark.parametrize("create_seconds", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("projects", [3, 40])
def test_what_creates_have_answered_is_on_disk_within_seconds_also_where_nothing_more_changes(
    loop: Loop, create_seconds: float, projects: int
) -> None:
    loop.simulated.behaviour.create_seconds = create_seconds
    loop.projects(projects)
    loop.transport.before = onlooker = Onlooker(loop)

    loop.run(timeout_seconds=60.0)

    assert onlooker.looks > 40


def slow_polls(loop: Loop) -> None:
    loop.simulated.behaviour.status_seconds = 8.0


def hanging_polls(loop: Loop) -> None:
    loop.fault("detail", break_off("hang"), begin=5)


def creates_are_limited(loop: Loop) -> None:
    loop.fault("create", refuse(429, retry_after_seconds=30), after=10)


def creates_are_down(loop: Loop) -> None:
    loop.fault("create", refuse(503), after=10)


def creates_hang(loop: Loop) -> None:
    loop.fault("create", break_off("hang"), after=10)


@pytest.mark.parametrize(
    "trouble",
    [slow_polls, hanging_polls, creates_are_limited, creates_are_down, creates_hang],
)
def test_the_report_is_as_new_while_there_is_trouble(
    loop: Loop, trouble: Callable[[Loop], None]
) -> None:
    trouble(loop)
    loop.projects(30)
    loop.transport.before = onlooker = Onlooker(loop)

    loop.run(timeout_seconds=60.0)

    assert onlooker.looks > 5


def test_a_snapshot_s_end_is_on_disk_within_seconds(clock: FakeClock, tmp_path: Path) -> None:
    loop = Loop(clock, tmp_path)
    quick = loop.running(seconds=10).project.id
    loop.running(seconds=300)
    behind: list[float] = []

    def before(_: object) -> None:
        if loop.clock.seconds > 11 + loop.allowed_lag and not loop.on_disk[quick].is_complete:
            behind.append(loop.clock.seconds)

    loop.transport.before = before
    loop.run(timeout_seconds=60.0)

    assert behind == []


def test_what_was_looked_for_and_found_is_on_disk_within_seconds(loop: Loop) -> None:
    project = loop.project()
    loop.running(seconds=300)
    loop.fault("create", accept(10.0))
    behind: list[float] = []

    def before(_: object) -> None:
        late = 10 + 15 + loop.allowed_lag
        if loop.clock.seconds > late and not loop.on_disk[project].snapshot_id:
            behind.append(loop.clock.seconds)

    loop.transport.before = before
    loop.run(timeout_seconds=60.0)

    assert behind == []


def test_the_report_is_not_written_more_often_than_it_is_worth(loop: Loop) -> None:
    loop.projects(40)
    written: set[int] = set()

    def before(_: object) -> None:
        written.add((loop.folder / "snapshot_report.csv").stat().st_mtime_ns)

    loop.transport.before = before
    loop.run(timeout_seconds=300.0)

    assert len(written) <= loop.clock.seconds / 4 + 2


def test_a_folder_that_can_t_be_written_for_a_while_stops_nothing(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.projects(10)
    loop.lose_folder(1, 30)

    last = loop.run()

    assert {row.status for row in last.values()} == {"complete"}
    assert len([r for r in caplog.records if "can't be written" in r.getMessage()]) <= 9


def test_what_is_known_at_the_end_by_a_signal_is_in_the_rows(loop: Loop) -> None:
    projects = loop.projects(10)

    def stop(_: object) -> None:
        if loop.clock.seconds > 12:
            raise TerminatedError

    loop.transport.before = stop
    with pytest.raises(TerminatedError):
        loop.run()

    assert all(loop.last[project].snapshot_id for project in projects)
    assert all(row.is_complete or row.reason for row in loop.last.values())
