"""The process ends early: what is on disk is whole, and a retry finishes the batch.

Real processes against the site over HTTP; the moments are random, and drawn anew in each run of the
tests, so that over time every moment is tried. ``make soak`` tries a hundred.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest

from flywheel_site_simulator import Fault, SimulatedSite, SimulatorServer, break_off
from fw_gear_sitewide_snapshot.errors import EXIT_INCOMPLETE, EXIT_SIGNALLED
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from tests.support.gear import GearFolder, GearRun
from tests.support.repository import ROOT

pytestmark = pytest.mark.process

EXIT_TERMINATED, EXIT_INTERRUPTED = 143, 130
MOMENTS = int(os.environ.get("MOMENTS", "5"))
AT_A_TIME = 5
PROJECTS = 40
CREATES_SECONDS = 3.0  # for all of them, about, with sixteen at a time
PATIENCE_SECONDS = 60
# Five on a machine that does nothing else. Who waits for an answer that is slow here waits longer.
SOON_SECONDS = 15.0


def wait_until(has_come: Callable[[], bool], problem: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not has_come():
        assert time.monotonic() < end, problem
        time.sleep(0.01)


def wait_until_asked(site: SimulatedSite, kind: str) -> None:
    wait_until(
        lambda: any(request.kind == kind for request in site.requests),
        f"the gear never asked for {kind}",
    )


@dataclass(frozen=True)
class Cut:
    """A run that was cut off."""

    exit_status: int
    took_seconds: float
    log: str


def cut_off(
    folder: GearFolder,
    site: SimulatedSite,
    *,
    once_asked: str,
    after_seconds: float = 0.0,
    how: signal.Signals = signal.SIGTERM,
) -> Cut:
    """Run the gear, and signal its end some time after the first request of a kind."""
    folder.prepare()
    with folder.started() as process:
        wait_until_asked(site, once_asked)
        time.sleep(after_seconds)
        process.send_signal(how)
        sent = time.monotonic()
        log, _ = process.communicate(timeout=PATIENCE_SECONDS)
        return Cut(process.returncode, time.monotonic() - sent, log)


@dataclass(frozen=True)
class Ended:
    """A run that was ended, and the retry after it."""

    after_seconds: float
    cut: Cut
    rows: list[SnapshotRecord]
    retry: GearRun
    site: SimulatedSite
    projects: list[str]

    def __str__(self) -> str:
        return f"ended after {self.after_seconds:.3f} s:\n{self.cut.log}"


def end_a_run(how: signal.Signals, number: int, folder: Path) -> Ended:
    """Run the gear, end it at a random moment from the first create on, and retry.

    The time for all creates is in as many parts as there are moments; each has one.
    """
    site = SimulatedSite(build_seconds=(0.2, 1.0), create_seconds=0.3, status_seconds=0.02)
    projects = [site.add_project(label=f"Study {n}") for n in range(PROJECTS)]
    config = {"project filter": "ALL", "snapshot batch name": "nightly"}
    moment = random.uniform(number, number + 1) * CREATES_SECONDS / MOMENTS
    with SimulatorServer(site) as server:
        job = GearFolder(folder / "cut", server.api_key(), config)
        cut = cut_off(job, site, once_asked="create", after_seconds=moment, how=how)
        report = folder / "cut" / "output" / csv_report.REPORT_NAME
        rows = csv_report.read(report)
        retry = GearFolder(folder / "again", server.api_key(), {}).run(retry_failed=report)
    return Ended(moment, cut, rows, retry, site, projects)


@pytest.fixture(scope="module", params=[signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    """Give runs that were ended so, each at another moment; several at a time."""
    folders = [tmp_path_factory.mktemp("ended") for _ in range(MOMENTS)]
    with ThreadPool(AT_A_TIME) as pool:
        return pool.starmap(partial(end_a_run, request.param), enumerate(folders))


def test_the_report_on_disk_is_whole(ended: list[Ended]) -> None:
    for run in ended:
        assert sorted(row.project.id for row in run.rows) == sorted(run.projects), run


def test_a_retry_finishes_the_batch(ended: list[Ended]) -> None:
    for run in ended:
        assert run.retry.exit_status == 0, run.retry.log
        assert run.retry.statuses == dict.fromkeys(run.projects, "complete"), run


def test_no_snapshot_is_made_twice_and_none_is_lost(ended: list[Ended]) -> None:
    for run in ended:
        made = {project: [s.id for s in run.site.snapshots(project)] for project in run.projects}
        reported = {row["project_id"]: [row["snapshot_id"]] for row in run.retry.rows}
        assert reported == made, run


def test_the_batch_keeps_its_name(ended: list[Ended]) -> None:
    for run in ended:
        assert {row["batch_label"] for row in run.retry.rows} == {"nightly"}, run


def test_a_run_that_is_told_to_end_does_so_soon_and_says_what_to_do(
    ended: list[Ended],
) -> None:
    for run in ended:
        status, log = run.cut.exit_status, run.cut.log
        if status != -signal.SIGKILL:
            assert run.cut.took_seconds < SOON_SECONDS, run
            assert status in {0, EXIT_INCOMPLETE, EXIT_TERMINATED}, run
            assert "Traceback" not in log, run
            assert status != EXIT_TERMINATED or "run again with the report" in log, run


TELL = """
import os, random, run, signal, threading
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "to import it changes nothing"
from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.errors import TerminatedError

for _ in range(100):
    clock = SystemClock(run.stop_on_signal())
    threading.Timer(random.uniform(0.001, 0.02), os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        while True:
            clock.sleep(0.0)
    except TerminatedError:
        pass
"""


def test_the_signal_finds_the_run_wherever_it_is() -> None:
    """Also where it looks whether it is to end: a hundred times, of which none may hang."""
    subprocess.run([sys.executable, "-c", TELL], cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)


TELL_WITHOUT_ROOM = """
import _thread, os, run, signal, threading
import fw_gear_sitewide_snapshot as package

def refuse(*_, **__):
    raise RuntimeError("can't start new thread")

_thread.start_new_thread = threading.Thread.start = refuse
package.import_beside("this")
stop = run.stop_on_signal()
os.kill(os.getpid(), signal.SIGTERM)
assert stop.is_set()
"""


def test_a_signal_is_heard_where_there_is_no_room_for_a_thread() -> None:
    subprocess.run([sys.executable, "-c", TELL_WITHOUT_ROOM], cwd=ROOT, check=True, timeout=60)


HOLD_UP = """
import sys, time
from pathlib import Path

class HoldsUp:
    def find_spec(name, *_):
        if name == "flywheel":
            Path("importing").touch()
            while not Path("signalled").exists():
                time.sleep(0.01)

sys.meta_path.insert(0, HoldsUp)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_a_run_that_is_told_to_end_while_libraries_are_imported_starts_nothing(
    how: signal.Signals, served: SimulatorServer, tmp_path: Path
) -> None:
    served.site.add_project()
    folder = GearFolder(tmp_path / "job", served.api_key(), {"project filter": "ALL"})
    folder.prepare()
    (tmp_path / "sitecustomize.py").write_text(HOLD_UP)

    with folder.started(environment={"PYTHONPATH": str(tmp_path)}) as process:
        wait_until((folder.path / "importing").exists, "the SDK was never imported")
        process.send_signal(how)
        (folder.path / "signalled").touch()
        log, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == EXIT_SIGNALLED + how
    assert "The job was told to end" in log
    assert "Traceback" not in log
    assert served.site.creates() == 0


def test_a_run_that_is_told_to_end_before_it_has_begun_starts_nothing(
    served: SimulatorServer, tmp_path: Path
) -> None:
    served.site.add_project()
    served.site.behaviour.page_seconds = 20.0
    folder = GearFolder(tmp_path, served.api_key(), {"project filter": "ALL"})

    cut = cut_off(folder, served.site, once_asked="projects")

    assert cut.exit_status == EXIT_TERMINATED
    assert cut.took_seconds < SOON_SECONDS
    assert served.site.creates() == 0
    assert "Traceback" not in cut.log


def test_an_interrupted_run_writes_its_report_and_ends_with_130(
    served: SimulatorServer, tmp_path: Path
) -> None:
    served.site.add_project()
    served.site.behaviour.status_seconds = 5.0
    folder = GearFolder(tmp_path, served.api_key(), {"project filter": "ALL"})

    cut = cut_off(folder, served.site, once_asked="detail", how=signal.SIGINT)

    assert cut.exit_status == EXIT_INTERRUPTED
    [row] = csv_report.read(tmp_path / "output" / csv_report.REPORT_NAME)
    assert row.snapshot_id
    assert row.error == "the run ended before the snapshot was finished: a retry waits for it"
    assert "Traceback" not in cut.log


def test_the_report_is_on_disk_before_the_site_is_asked_what_all_leaves_out(
    served: SimulatorServer, tmp_path: Path
) -> None:
    projects = [served.site.add_project() for _ in range(3)]
    served.site.fault(Fault("users/self", action=break_off("hang")))
    folder = GearFolder(tmp_path, served.api_key(), {"project filter": "ALL"})

    cut = cut_off(folder, served.site, once_asked="users/self")

    assert cut.exit_status == EXIT_TERMINATED
    assert cut.took_seconds < SOON_SECONDS
    rows = csv_report.read(tmp_path / "output" / csv_report.REPORT_NAME)
    assert sorted(row.project.id for row in rows) == sorted(projects)


def test_creates_that_the_site_is_slow_to_answer_do_not_hold_the_end_up(
    served: SimulatorServer, tmp_path: Path
) -> None:
    projects = [served.site.add_project() for _ in range(20)]
    served.site.behaviour.create_seconds = 25.0
    folder = GearFolder(tmp_path, served.api_key(), {"project filter": "ALL"})

    cut = cut_off(folder, served.site, once_asked="create")

    assert cut.took_seconds < SOON_SECONDS
    assert cut.exit_status == EXIT_TERMINATED
    rows = csv_report.read(tmp_path / "output" / csv_report.REPORT_NAME)
    assert {row.status for row in rows} == {"pending"}
    assert len(rows) == len(projects)
    assert "run again with the report" in cut.log
