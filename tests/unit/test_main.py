"""The story of a run, in injected time: what the report says while and after it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, refuse
from fw_gear_sitewide_snapshot import main
from fw_gear_sitewide_snapshot.errors import OutputError, ReportLostError, TerminatedError
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.report.summary import Summary
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.http import Request, Response, Stream, Transport
from tests.support.config import gear_config
from tests.support.direct import DirectTransport, InTurn
from tests.support.time import FakeClock


class Watched:
    """A transport that has something happen before each call."""

    def __init__(self, inner: Transport, before: Callable[[Request], None]) -> None:
        self._inner, self._before = inner, before

    def send(self, request: Request) -> Response:
        self._before(request)
        return self._inner.send(request)

    def stream(self, request: Request) -> Stream:
        return self._inner.stream(request)


class Ended(Watched):
    """A transport under which the run is told to end when it fetches something."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner, lambda _: None)

    def stream(self, request: Request) -> Stream:
        raise TerminatedError(request.path)


class Gear:
    """The gear's main part on a simulated site, in injected time."""

    def __init__(self, simulated: SimulatedSite, clock: FakeClock, output: Path) -> None:
        self.simulated, self.clock, self.output = simulated, clock, output
        self.transport: Transport = DirectTransport(simulated, clock)

    def run(self, retry: bool = False, **options: object) -> Summary:
        config = gear_config(
            retry_report=self.output / csv_report.REPORT_NAME if retry else None,
            **options,
        )
        return main.run(
            config,
            site=Site(self.transport, self.clock),
            workers=InTurn(self.clock),
            clock=self.clock,
            output=self.output,
            work=self.output,
        )

    @property
    def rows(self) -> dict[str, SnapshotRecord]:
        return {
            row.project.id: row for row in csv_report.read(self.output / csv_report.REPORT_NAME)
        }


@pytest.fixture
def gear(simulated: SimulatedSite, clock: FakeClock, tmp_path: Path) -> Gear:
    return Gear(simulated, clock, tmp_path)


def test_the_report_speaks_of_every_project_before_the_first_create(gear: Gear) -> None:
    projects = [gear.simulated.add_project() for _ in range(3)]
    seen: list[dict[str, SnapshotRecord]] = []

    def before(request: Request) -> None:
        if request.method == "POST":
            seen.append(gear.rows)

    gear.transport = Watched(gear.transport, before)
    gear.run()

    assert {row.status for row in seen[0].values()} == {"pending"}
    assert sorted(seen[0]) == sorted(projects)


def test_a_run_that_is_ended_while_it_fetches_says_so_of_each_snapshot_in_the_log(
    gear: Gear, caplog: pytest.LogCaptureFixture
) -> None:
    gear.simulated.add_project()
    gear.transport = Ended(gear.transport)

    with pytest.raises(TerminatedError):
        gear.run(download=True)

    assert caplog.messages[-1].endswith("not fetched: the run ended before it was fetched")


def test_before_a_snapshot_is_started_again_the_report_on_disk_says_since_when_to_look(
    gear: Gear,
) -> None:
    project = gear.simulated.add_project()
    gear.simulated.outcome(project, "failed", "complete")
    seen: list[SnapshotRecord] = []

    def before(request: Request) -> None:
        if request.method == "POST":
            seen.append(gear.rows[project])

    gear.transport = Watched(gear.transport, before)
    gear.run(attempts=2)

    assert [(row.status, row.snapshot_id) for row in seen] == [("pending", ""), ("pending", "")]
    assert seen[0].timestamp is not None
    assert seen[1].timestamp is not None
    assert seen[0].timestamp <= seen[1].timestamp <= gear.rows[project].timestamp  # type: ignore[operator]


def test_a_folder_that_can_t_be_written_ends_the_run_before_anything_is_started(
    gear: Gear, tmp_path: Path
) -> None:
    gear.simulated.add_project()
    gear.output = tmp_path / "missing"

    with pytest.raises(OutputError, match="can't be written"):
        gear.run()

    assert gear.simulated.creates() == 0


def test_a_disk_that_fills_up_leaves_every_snapshot_id_in_the_log(
    gear: Gear, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    project = gear.simulated.add_project()
    gear.simulated.outcome(project, "complete")

    def before(request: Request) -> None:
        if request.method == "POST":  # from here on nothing can be written any more
            gear.output.rename(tmp_path.parent / f"{tmp_path.name} is gone")

    gear.transport = Watched(gear.transport, before)

    with pytest.raises(ReportLostError, match="what was started is in the lines above"):
        gear.run()

    [made] = gear.simulated.snapshots(project)
    assert any(made.id in record.getMessage() for record in caplog.records)


def test_the_report_is_not_written_more_often_than_it_is_worth(gear: Gear) -> None:
    for _ in range(50):
        gear.simulated.add_project()
    gear.simulated.behaviour.create_seconds = 20.0
    stamps: set[int] = set()

    def before(_: Request) -> None:
        path = gear.output / csv_report.REPORT_NAME
        if path.exists():
            stamps.add(path.stat().st_mtime_ns)

    gear.transport = Watched(gear.transport, before)
    gear.run()

    assert 3 <= len(stamps) <= gear.clock.seconds / 5 + 2


def test_the_last_lines_of_the_log_count_the_batch_and_give_each_reason(
    gear: Gear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for number in range(3):
        gear.simulated.add_project(label=f"Study {number}")
    refused = gear.simulated.add_project(group="zoo", label="Locked")
    gear.simulated.fault(Fault("create", refused, action=refuse(403, "Not yours")))

    gear.run()

    *_, counts, reason = [record.getMessage() for record in caplog.records]
    assert counts == (
        "4 projects: 3 complete, 1 failed; report: snapshot_report.csv; the run took 0.25 s"
    )
    assert reason.startswith(f"zoo/Locked ({refused}): failed: the site says 403: Not yours. You")


def test_a_batch_that_is_finished_needs_one_call(gear: Gear) -> None:
    gear.simulated.add_project()
    gear.run()
    asked = len(gear.simulated.requests)
    before = gear.rows

    assert gear.run(retry=True).is_complete

    assert gear.rows == before
    assert [request.kind for request in gear.simulated.requests[asked:]] == ["auth"]


def test_nothing_is_started_again_while_the_report_can_t_be_written(
    gear: Gear, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    project = gear.simulated.add_project()
    gear.simulated.outcome(project, "failed", "complete")
    slow = gear.simulated.add_project()
    gear.simulated.outcome(slow, "in_progress")
    gone = tmp_path.parent / f"{tmp_path.name} is gone"

    def before(request: Request) -> None:
        """The output folder can't be written between the first create and half a minute later."""
        if request.method == "POST" and gear.output.exists():
            gear.output.rename(gone)
        elif gear.clock.seconds > 30 and gone.exists():
            gone.rename(gear.output)

    gear.transport = Watched(gear.transport, before)
    gear.run(attempts=3, timeout_seconds=60.0)

    assert gear.simulated.creates(project) == 1
    assert "nothing is started again" in caplog.text
    assert gear.rows[project].status == "failed"


def test_the_page_says_that_a_complete_snapshot_could_not_be_fetched(gear: Gear) -> None:
    gear.simulated.add_project()
    broken = gear.simulated.add_project()
    gear.simulated.fault(Fault("download", broken, action=refuse(403, "Not for you")))

    assert not gear.run(download=True).is_complete

    page = (gear.output / "snapshot_report.html").read_text("utf-8")
    assert "All 2 projects have a complete snapshot, but 1 could not be fetched." in page
    assert 'class="headline mark failed"' in page


def test_a_page_that_can_t_be_written_costs_the_batch_nothing(
    gear: Gear, caplog: pytest.LogCaptureFixture
) -> None:
    project = gear.simulated.add_project()
    (gear.output / "snapshot_report.html").mkdir()

    assert gear.run().is_complete

    assert gear.rows[project].is_complete
    assert "snapshot_report.html can't be written" in caplog.text


def test_a_retry_s_rows_get_the_names_that_the_site_tells(gear: Gear) -> None:
    project = gear.simulated.add_project(group="neuro", label="1E+05")
    gear.simulated.outcome(project, "failed", "complete")
    gear.run()
    gear.simulated.add_project(group="radiology", label="100000", project_id=project)

    assert gear.run(retry=True).is_complete

    named = gear.rows[project].project
    assert (named.group, named.label) == ("radiology", "100000")


def test_what_all_leaves_out_is_asked_beside_the_work_and_never_before_it(gear: Gear) -> None:
    gear.simulated.add_user(roles=("user", "site_admin"))
    gear.simulated.add_project()
    for number in range(2_000):  # eight pages
        gear.simulated.add_project(group="hidden", label=f"{number}", members=["somebody@else"])
    slow = 1.0
    first: list[float] = []

    def before(request: Request) -> None:
        if request.method == "POST":
            first.append(gear.clock.seconds)
        elif "exhaustive" in request.query:
            gear.clock.seconds += slow

    gear.transport = Watched(gear.transport, before)
    summary = gear.run(project_filter=None)

    assert first == [0.0]
    assert summary.hidden is not None
    assert len(summary.hidden) == 2_000
    assert gear.clock.seconds < 8 * slow + 3


def test_what_all_leaves_out_is_not_waited_for_once_all_is_done(gear: Gear) -> None:
    gear.simulated.add_user(roles=("user", "site_admin"))
    gear.simulated.add_project()

    def before(request: Request) -> None:
        if request.path == "/api/users/self":
            gear.clock.seconds += 60.0

    gear.transport = Watched(gear.transport, before)
    summary = gear.run(project_filter=None)

    assert summary.hidden is None
    assert summary.is_complete
    assert gear.clock.seconds < 15
