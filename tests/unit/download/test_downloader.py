"""Fetching a batch: what is asked for, and when; what its rows, its log and its archive say.

Without sockets and in injected time, save where threads are the point.
"""

import gzip
import hashlib
import re
import threading
from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path

import pytest

from flywheel_site_simulator import (
    BREAKAGES,
    Breakage,
    Fault,
    answer_with,
    break_off,
    refuse,
    slow_down,
)
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.download import fetch_queue
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME, SUMS_NAME
from fw_gear_sitewide_snapshot.models import SnapshotContent
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.text import size_text
from tests.support.disk import SmallDisk
from tests.support.downloads import HELD, MEBIBYTE, Fetching, in_threads, on_disks
from tests.support.time import START

CONTENT = SnapshotContent(1, "a" * 64, 2, 3, 4, 5)


# What the row says of each way in which the simulator breaks a download.
SAID: dict[Breakage, str] = {
    "truncated": "the connection broke",
    "short gzip": "the gzip file is cut off before its end",
    "bad crc": "the gzip file is damaged",
    "not sqlite": "the gzip file holds no SQLite database",
    "corrupt sqlite": "the SQLite database is damaged",
    "missing table": "the snapshot has no table session",
    "other project": "the snapshot is of another project",
    "trailing garbage": "the gzip file has something after its end",
    "no project row": "the snapshot has no project row",
    "500": "the site says 500: The snapshot could not be read",
    "hang": "the site did not answer",
}


def test_every_complete_snapshot_is_fetched_checked_and_archived(fetching: Fetching) -> None:
    projects = [fetching.add() for _ in range(3)]

    after = fetching.run()

    for project in projects:
        data, content = fetching.archived(project), after[project].content
        sha256 = hashlib.sha256(data).hexdigest()
        assert content == SnapshotContent(len(data), sha256, *astuple(HELD))
        assert gzip.decompress(data).startswith(b"SQLite format 3\0")


def test_the_archive_s_report_tells_of_the_whole_batch_and_of_what_was_found(
    fetching: Fetching, tmp_path: Path
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.simulated.break_download(bad, "bad crc")

    after = fetching.run()

    report = tmp_path / "report.csv"
    report.write_bytes(fetching.files[csv_report.REPORT_NAME])
    assert {row.project.id: row for row in csv_report.read(report)} == after
    assert after[good].content is not None
    assert after[bad].error.startswith("download failed: ")


def test_only_what_is_complete_and_was_never_fetched_is_asked_for(fetching: Fetching) -> None:
    fetched, running, failed, new = (fetching.add() for _ in range(4))
    changes: list[dict[str, object]] = [
        {"content": CONTENT},
        {"status": "in_progress", "error": "not finished within 10 min 0 s"},
        {"status": "failed"},
        {},
    ]
    fetching.records = [
        replace(record, **change)  # type: ignore[arg-type]
        for record, change in zip(fetching.records, changes, strict=True)
    ]

    after = fetching.run()

    assert [fetching.asked(project) for project in (fetched, running, failed, new)] == [0, 0, 0, 1]
    assert [after[r.project.id] for r in fetching.records[:3]] == fetching.records[:3]


def test_with_nothing_to_fetch_nothing_is_asked_or_written(fetching: Fetching) -> None:
    fetching.add()
    fetching.records = [replace(record, content=CONTENT) for record in fetching.records]

    assert list(fetching.run().values()) == fetching.records
    assert fetching.simulated.requests == []
    assert list(fetching.output.iterdir()) == []


def test_an_earlier_run_s_failure_is_forgotten_once_it_is_fetched(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.records = [replace(fetching.records[0], error="download failed: the disk is full")]

    assert fetching.run()[project].error == ""


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_download_is_fetched_three_times_then_it_is_its_row_s_error(
    fetching: Fetching, how: Breakage
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.simulated.break_download(bad, how)

    after = fetching.run()

    assert after[bad].error.startswith(f"download failed: {SAID[how]}")
    assert after[bad].content is None
    assert fetching.asked(bad) == 3
    assert after[good].content is not None
    assert {name.split("/")[0] for name in fetching.files} == {
        "neuro",
        SUMS_NAME,
        "snapshot_report.csv",
    }
    assert sum(name.endswith(".gz") for name in fetching.files) == 1


@pytest.mark.parametrize("how", BREAKAGES)
def test_every_breakage_is_noticed_over_http(over_http: Fetching, how: Breakage) -> None:
    bad, flaky, good = (over_http.add() for _ in range(3))
    over_http.simulated.break_download(bad, how)
    over_http.simulated.break_download(flaky, how, times=1)

    after = over_http.run()

    if how == "trailing garbage" and over_http.simulated.behaviour.content_encoding:
        assert after[bad].content is not None  # it is gone with the packing: what came is whole
    else:
        assert after[bad].error.startswith("download failed: ")
    assert after[flaky].content is not None
    assert after[good].content is not None


def test_what_has_no_room_says_how_much_is_missing_and_the_others_are_archived(
    fetching: Fetching,
) -> None:
    large, small = fetching.add(size=64 * MEBIBYTE), fetching.add()
    disk = fetching.free = SmallDisk(80 * MEBIBYTE, fetching.work)

    after = fetching.run()

    missing = re.fullmatch(
        r"download failed: no room for it: ([\d.]+) MiB more would have to be free",
        after[large].error,
    )
    assert missing
    assert 60 < float(missing[1]) < 70  # 128 MiB and what stays free, of 80
    assert fetching.asked(large) == 1
    assert after[small].content is not None
    assert disk.least > 60 * MEBIBYTE


def test_an_output_folder_on_another_disk_that_is_too_small_gets_what_fits(
    fetching: Fetching, other_disk: Path
) -> None:
    projects = [fetching.add(size=2 * MEBIBYTE) for _ in range(4)]
    small = fetching.add()
    on_disks(fetching, other_disk, (16 + 5) * MEBIBYTE)

    after = fetching.run()

    assert [bool(after[project].content) for project in projects] == [True, True, False, False]
    for project in projects[2:]:
        assert re.fullmatch(
            r"download failed: no room for it in the output folder: "
            r"1\.\d MiB more would have to be free",
            after[project].error,
        )
    assert after[small].content is not None
    assert [path.name for path in other_disk.iterdir()] == [ARCHIVE_NAME]
    assert sum(name.endswith(".gz") for name in fetching.files) == 3


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_download_that_breaks_twice_is_fetched_after_pauses(
    fetching: Fetching, how: Breakage
) -> None:
    project = fetching.add()
    fetching.simulated.break_download(project, how, times=2)

    after = fetching.run()

    assert after[project].content is not None
    assert after[project].error == ""
    hung = 30.0 if how == "hang" else 0.0
    first, second = (pause - hung for pause in fetching.pauses(project))
    assert 5 < first < 10
    assert 30 < second < 35  # whatever has lasted half a minute is over


@pytest.mark.parametrize("status", [401, 405, 409, 422])
def test_a_refusal_is_not_asked_for_again(fetching: Fetching, status: int) -> None:
    project, other = fetching.add(), fetching.add()
    fetching.fault(refuse(status, "Not for you"), project)

    after = fetching.run()

    assert after[project].error == f"download failed: the site says {status}: Not for you"
    assert fetching.asked(project) == 1
    assert after[other].content is not None


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_site_asks_for_is_kept(fetching: Fetching, status: int) -> None:
    project = fetching.add()
    fetching.fault(refuse(status, retry_after_seconds=40), times=4)

    assert fetching.run()[project].content is not None
    assert fetching.passed.seconds >= 160


def test_a_site_that_asks_for_an_hour_is_left_to_another_run(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.fault(refuse(503, "Maintenance", retry_after_seconds=3600))

    assert "503: Maintenance" in fetching.run()[project].error
    assert fetching.passed.seconds < 60


@pytest.mark.parametrize(
    "action",
    [
        *(refuse(status) for status in (408, 499, 500, 502, 503, 504)),
        *(break_off(how) for how in ("reset", "truncated", "hang")),
        *(answer_with(body) for body in (b"", b"<html>It works!</html>", b"\x1f\x8b")),
    ],
)
def test_an_outage_of_half_a_minute_is_survived(fetching: Fetching, action: Action) -> None:
    projects = [fetching.add() for _ in range(4)]
    now = fetching.simulated.now()
    fetching.simulated.fault(Fault("download", begin=now, end=now + 30, action=action))

    after = fetching.run()

    assert all(after[project].content for project in projects)


def test_each_outage_between_downloads_that_break_off_is_survived(fetching: Fetching) -> None:
    project = fetching.add()
    now = fetching.simulated.now()
    for begin, end in ((0, 30), (41, 71)):
        outage = Fault("download", begin=now + begin, end=now + end, action=refuse(502))
        fetching.simulated.fault(outage)
    fetching.simulated.break_download(project, "truncated", times=1)

    assert fetching.run()[project].content is not None


@pytest.mark.parametrize(
    "action", [answer_with(b"<html>It works!</html>"), answer_with({}), answer_with(b"\x1f\x8b")]
)
def test_an_answer_that_is_no_snapshot_at_all_is_told(fetching: Fetching, action: Action) -> None:
    project = fetching.add()
    fetching.fault(action)

    after = fetching.run()

    assert re.match(r"download failed: .*gzip", after[project].error)
    assert list(fetching.output.iterdir()) == []


@pytest.mark.parametrize("seconds", [5, 20, 35])
def test_a_file_that_is_not_there_at_once_is_asked_for_again(
    fetching: Fetching, seconds: int
) -> None:
    project = fetching.add()
    end = fetching.simulated.now() + seconds
    fetching.simulated.fault(Fault("download", end=end, action=refuse(404, "No such file")))

    assert fetching.run()[project].content is not None
    assert fetching.passed.seconds < seconds + 20


def test_a_file_that_stays_away_is_given_up_and_holds_no_other_up(fetching: Fetching) -> None:
    gone = [fetching.add() for _ in range(5)]
    there = fetching.add()
    for project in gone:
        fetching.fault(refuse(404, "No such file"), project)

    after = fetching.run()

    for project in gone:
        assert after[project].error == "download failed: the site says 404: No such file"
        assert 4 < fetching.asked(project) < 10
    assert after[there].content is not None
    assert 38 < fetching.passed.seconds < 45
    (asked,) = [r.time for r in fetching.simulated.requests if r.project_id == there]
    assert asked < START.timestamp() + 5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [20, 30, 45])
def test_an_outage_with_short_promises_is_survived(
    fetching: Fetching, status: int, seconds: int
) -> None:
    project = fetching.add()
    end = fetching.simulated.now() + seconds
    promise = refuse(status, retry_after_seconds=1)
    fetching.simulated.fault(Fault("download", end=end, action=promise))

    assert fetching.run()[project].content is not None
    pauses = fetching.pauses(project)
    assert min(pauses) >= 1
    assert max(pauses) > 5  # ours grow all the same
    assert len(pauses) < 10


def test_the_caller_hears_of_the_time_while_it_waits(fetching: Fetching) -> None:
    fetching.add()
    fetching.fault(refuse(503), times=4)
    ticks: list[float] = []
    fetching.tick = lambda: ticks.append(fetching.passed.seconds)

    fetching.run()

    assert max(after - before for before, after in pairwise([0.0, *ticks])) < 1.001
    assert ticks[-1] > 10


def test_what_fails_is_told_at_once_and_what_is_fetched_when_it_is_archived(
    fetching: Fetching,
) -> None:
    good, bad = fetching.add(), fetching.add()
    fetching.fault(refuse(409), bad)
    fetching.fault(refuse(503), good, times=3)
    failed: list[float] = []
    fetching.tick = lambda: failed.append(len(fetching.after[bad].error))

    fetching.run()

    assert failed[2] > 0


def test_four_are_fetched_at_a_time(fetching: Fetching) -> None:
    for _ in range(12):
        fetching.add()
    fetching.fault(slow_down(0.2))

    with in_threads(fetching, fetching.clock, threading.Event()):
        after = fetching.run()

    assert all(record.content for record in after.values())
    assert fetching.simulated.most_in_flight == fetch_queue.MAX_CONCURRENT_DOWNLOADS


def test_the_log_has_a_line_for_each_and_nothing_of_what_is_in_a_snapshot(
    fetching: Fetching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    good, flaky, bad = fetching.add("Good"), fetching.add("Flaky"), fetching.add("Bad")
    fetching.simulated.break_download(flaky, "bad crc", times=1)
    fetching.simulated.break_download(bad, "other project")

    after = fetching.run()

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    content = after[good].content
    assert content is not None
    snapshot = after[good].snapshot_id
    size = size_text(content.size_bytes)
    fetched = f"neuro/Good ({good}): snapshot {snapshot}: fetched and checked, {size}"
    assert ("INFO", fetched) in lines
    repeats = [line for level, line in lines if level == "WARNING" and "again in" in line]
    assert [line.split(" ")[0] for line in repeats] == ["neuro/Flaky", "neuro/Bad", "neuro/Bad"]
    assert re.fullmatch(
        r"Fetched 2 snapshots \([\d.]+ KiB\) into snapshots.zip \([\d.]+ KiB\); "
        "1 could not be fetched",
        lines[-1][1],
    )
    text = "\n".join(line for _, line in lines)
    assert not re.search("subject|sub-001|image-01|Somebody else's|secret-key", text)


def test_one_snapshot_of_one_project_is_told_in_the_singular(
    fetching: Fetching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fetching.add()

    fetching.run()

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Fetching 1 snapshot of a batch of 1 project"
    assert lines[-1].startswith("Fetched 1 snapshot (")
