"""The memory that fetching takes, measured in a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel_site_simulator import SimulatorServer
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME
from fw_gear_sitewide_snapshot.report import csv_report
from tests.support.downloads import MEBIBYTE, Fetching
from tests.support.repository import ROOT
from tests.support.time import FakeClock

MEASURE = """
import json, sys, threading
from pathlib import Path
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.clock import Clock, SystemClock
from fw_gear_sitewide_snapshot.site.client import Site
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from fw_gear_sitewide_snapshot.workers import ThreadWorkers
from tests.support.downloads import fetch_all

key, report, work, output = sys.argv[1:]
stop = threading.Event()
clock = SystemClock(stop)
after = fetch_all(
    csv_report.read(Path(report)),
    site=Site(SdkTransport(key), clock),
    workers=ThreadWorkers(stop, clock, 16),
    clock=clock,
    work=Path(work),
    output=Path(output),
)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"peak": int(status["VmHWM"].split()[0]) * 1024, "error": after[0].error}))
"""


def peak_memory(fetching: Fetching, folder: Path) -> int:
    """The most memory, in bytes, that a process has had which fetched the batch."""
    folder.mkdir()
    (folder / "work").mkdir()
    report = csv_report.write(fetching.records, folder)
    with SimulatorServer(fetching.simulated) as server:
        process = subprocess.run(
            [sys.executable, "-c", MEASURE, server.api_key(), report, folder / "work", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    measured = json.loads(process.stdout)
    assert measured["error"] == ""
    assert (folder / ARCHIVE_NAME).is_file()
    return int(measured["peak"])


@pytest.mark.parametrize("unpacked_on_the_way", [False, True])
def test_a_large_snapshot_costs_no_more_memory_than_a_small_one(
    tmp_path: Path, unpacked_on_the_way: bool
) -> None:
    """200 MiB: as many on the way, unpacked for it; or squeezed, and packed again as they come."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("there is no /proc to tell a process's peak")
    peaks = []
    for size in (0, 200 * MEBIBYTE):
        folder = tmp_path / str(size)
        folder.mkdir()
        fetching = Fetching(folder, FakeClock())
        fetching.simulated.behaviour.content_encoding = unpacked_on_the_way
        fetching.add(size=size, compressed=unpacked_on_the_way)
        peaks.append(peak_memory(fetching, folder / "measured"))

    small, large = peaks
    assert large - small < 100 * MEBIBYTE
