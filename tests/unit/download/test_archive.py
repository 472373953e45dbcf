"""The archive: names that are safe everywhere, checksums that can be checked, nothing half."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.clock import Clock
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME, SUMS_NAME, Archive
from fw_gear_sitewide_snapshot.download.archive_names import names_for, safe_name
from fw_gear_sitewide_snapshot.download.disk_space import (
    DiskSpace,
    FreeBytes,
    NoRoomError,
    free_bytes,
)
from fw_gear_sitewide_snapshot.errors import TerminatedError
from fw_gear_sitewide_snapshot.models import Project, SnapshotContent, SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from tests.support.disk import SmallDisk, no_file_larger_than
from tests.support.time import FakeClock

MADE = datetime(2026, 1, 31, 12, 0, 2, tzinfo=UTC)
SPARE = 1 << 24  # stays free, whatever comes
OURS = (SUMS_NAME, csv_report.REPORT_NAME)
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in "123")}

HOSTILE = [
    "", ".", "..", "../..", "/etc/passwd", "C:\\Windows", "C:", "\\\\server\\share", "a/../../b",
    "NUL", "nul.txt", "con ", "COM1", "com¹.log", "aux.tar.gz", "trailing.", "trailing ", " ",
    "tab\there", "line\nbreak", "bell\a", "null\0", "\x7f", "\x85", "rtl\u202egnp.exe", "…",
    "x" * 500, "ü" * 300, "👩‍🔬" * 60, "e\u0301", "é", "É", "ﬁ", "fi", "Straße", "STRASSE",
    "SHA256SUMS", "sha256sums", "snapshot_report.csv", "-rf", "~", "*?<>|\":", "a\u2028b",
    "=1+1", "NA", "#", "Study", "study", "Study 000000000000000000000001",
]  # fmt: skip

LABELS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=30),
    st.text(st.sampled_from("aAbB./\\ \t:é\u0301"), max_size=6),
)


def records_of(labels: list[tuple[str, str]]) -> list[SnapshotRecord]:
    return [
        SnapshotRecord(Project(f"{number:024x}", label, group), "a" * 24, status="complete")
        for number, (group, label) in enumerate(labels)
    ]


@given(st.lists(st.tuples(LABELS, LABELS), max_size=12))
@settings(max_examples=300, deadline=None)
def test_names_are_safe_everywhere_and_never_one(labels: list[tuple[str, str]]) -> None:
    names = list(names_for(records_of(labels), OURS).values())

    assert len({name.casefold() for name in names}) == len(labels)
    for name in names:
        assert unicodedata.is_normalized("NFC", name)
        group, label, file = name.split("/")
        assert file == f"{'a' * 24}.db.gz"
        assert group.casefold() not in {"sha256sums", "snapshot_report.csv"}
        assert not PureWindowsPath(name).is_absolute()
        assert not PureWindowsPath(name).drive
        for part in (group, label):
            assert part not in {"", ".", ".."}
            assert len(part.encode()) <= 255
            assert not set(part) & set('/\\:*?"<>|')
            assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in part)
            assert part[-1] not in ". "
            assert part.split(".")[0].rstrip().upper() not in WINDOWS_DEVICES


@given(st.lists(st.tuples(LABELS, LABELS), max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_unpacked_stays_inside_and_is_all_there(labels: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside = folder / "inside"
        inside.mkdir()
        path = archive_of(folder, records_of(labels))

        with zipfile.ZipFile(path) as archive:
            archive.extractall(inside)

        found = [file for file in inside.rglob("*") if file.is_file()]
        assert len(found) == len(labels) + 2
        assert sorted(path.name for path in folder.iterdir()) == ["inside", "out", "work"]


def an_archive(
    work: Path,
    output: Path,
    free: FreeBytes = free_bytes,
    rows: int = 2,
    clock: Clock | None = None,
) -> Archive:
    """An archive in the making."""
    return Archive(work, output, rows, clock or FakeClock(), lambda: None, DiskSpace(output, free))


def added(archive: Archive, source: Path, name: str = "") -> None:
    """Add a file for which the disk has room, or raise."""
    archive.reserve(source.stat().st_size)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    archive.add(source, name or source.name, sha256, MADE)


def published(archive: Archive, records: Iterable[SnapshotRecord] = ()) -> int:
    """Publish it, with a report; returns its size."""
    report = csv_report.write(records, archive.folder)
    archive.add(report, report.name, hashlib.sha256(report.read_bytes()).hexdigest(), MADE)
    return archive.publish()


def archive_of(folder: Path, records: list[SnapshotRecord]) -> Path:
    """An archive with a file for each record."""
    work, output = folder / "work", folder / "out"
    work.mkdir()
    output.mkdir()
    with an_archive(work, output) as archive:
        names = names_for(records, OURS)
        for record in records:
            source = work / record.project.id
            source.write_text(f"the snapshot of {record.project.id}")
            added(archive, source, names[record.project.id])
            assert not source.exists()
        published(archive, records)
    assert list(work.iterdir()) == []
    return output / ARCHIVE_NAME


@pytest.mark.parametrize("tool", ["zipfile", "unzip"])
def test_the_checksums_are_those_that_sha256sum_checks(tmp_path: Path, tool: str) -> None:
    if not (shutil.which("sha256sum") and (tool == "zipfile" or shutil.which("unzip"))):
        pytest.skip("the tools are not here")
    path = archive_of(tmp_path, records_of([(label, label) for label in HOSTILE]))
    inside = tmp_path / "inside"
    if tool == "unzip":
        command = ["unzip", "-q", str(path), "-d", str(inside)]
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        subprocess.run(command, check=True, env=environment)
    else:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(inside)

    command = ["sha256sum", "--check", "--strict", SUMS_NAME]
    result = subprocess.run(command, check=False, cwd=inside, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": OK\n") == len(HOSTILE) + 1

    (inside / csv_report.REPORT_NAME).write_text("changed")
    assert subprocess.run(command, check=False, cwd=inside, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Tumour atlas (2024), v1.0", "Tumour atlas (2024), v1.0"),
        ("Zürich–Καρδιά–心臓 👩‍🔬", "Zürich–Καρδιά–心臓 👩‍🔬"),
        ("e\u0301", "é"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        ("../up", ".._up"),
        ("NUL", "_NUL"),
        ("nul.txt", "_nul.txt"),
        ("nullable", "nullable"),
        (" v1. ", "v1"),
        ("", "_"),
        ("half a \ud800", "half a _"),
    ],
)
def test_a_label_is_kept_as_far_as_it_can_be(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_projects_of_one_name_keep_folders_of_their_own() -> None:
    names = names_for(records_of([("g", "Study"), ("g", "study"), ("g", "Study"), ("h", "Study")]))

    assert sorted(str(PurePosixPath(name).parent) for name in names.values()) == [
        "g/Study",
        "g/Study 000000000000000000000002",
        "g/study 000000000000000000000001",
        "h/Study",
    ]


def test_an_archive_s_entries_are_stored_dated_and_readable(tmp_path: Path) -> None:
    path = archive_of(tmp_path, records_of([("g", "a"), ("g", "b")]))

    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries][2:] == [csv_report.REPORT_NAME, SUMS_NAME]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries[:2]} == {(2026, 1, 31, 12, 0, 2)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o644}


def test_a_file_too_large_for_a_plain_zip_is_archived_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if 1,000 bytes were 2 GiB: what is larger has to be told to the zip beforehand."""
    data = b"the snapshot" * 100
    source = tmp_path / "source"
    source.write_bytes(data)
    with monkeypatch.context() as small:
        small.setattr(zipfile, "ZIP64_LIMIT", 1000)
        with an_archive(tmp_path, tmp_path) as archive:
            archive.add(source, "name", "0" * 64)
            published(archive)

    path = tmp_path / ARCHIVE_NAME
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        assert made.read("name") == data
        assert made.getinfo("name").extract_version == zipfile.ZIP64_VERSION
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-qt", str(path)], check=True)


@pytest.mark.parametrize("year", [1, 1979, 2108, 9999])
def test_a_time_that_no_zip_can_tell_is_none_to_stumble_over(tmp_path: Path, year: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")

    with an_archive(tmp_path, tmp_path) as archive:
        archive.add(source, "name", "0" * 64, datetime(year, 6, 1, tzinfo=UTC))
        published(archive)

    with zipfile.ZipFile(tmp_path / ARCHIVE_NAME) as made:
        assert made.namelist() == ["name", csv_report.REPORT_NAME, SUMS_NAME]


def test_a_file_that_a_full_disk_has_no_room_for_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE_NAME
    sources = [tmp_path / name for name in ("one", "two", "three")]
    for source in sources:
        source.write_bytes(source.name.encode() * 10_000)
    with an_archive(tmp_path, tmp_path) as archive:
        added(archive, sources[0])
        with no_file_larger_than(40_000), pytest.raises(OSError, match="too large"):
            archive.reserve(30_000)
        added(archive, sources[2])
        published(archive)

    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        assert made.namelist() == ["one", "three", csv_report.REPORT_NAME, SUMS_NAME]
        assert made.read("three") == b"three" * 10_000
        assert b"two" not in made.read(SUMS_NAME)
    assert sources[1].exists()


def test_a_disk_that_fills_up_in_an_entry_leaves_no_archive(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1_000_000)

    with (
        an_archive(tmp_path, tmp_path) as archive,
        no_file_larger_than(1000),
        pytest.raises(OSError, match="too large"),
    ):
        added(archive, source)

    assert list(tmp_path.iterdir()) == [source]


class EndedClock(FakeClock):
    """A clock that says that the run is to end; each look at it takes a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def raise_if_terminated(self) -> None:
        self.seconds += self._seconds
        raise TerminatedError


def test_a_run_that_is_to_end_begins_no_file_after_a_second(tmp_path: Path) -> None:
    with an_archive(tmp_path, tmp_path, clock=EndedClock(0.4)) as archive:
        assert [archive.has_time() for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize(("seconds", "is_lost"), [(0.3, False), (0.5, True)])
def test_a_file_is_broken_off_two_seconds_after_the_run_was_told_to_end(
    tmp_path: Path, seconds: float, is_lost: bool
) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(5 << 20))

    with an_archive(tmp_path, tmp_path, clock=EndedClock(seconds)) as archive:
        if is_lost:
            with pytest.raises(TerminatedError):
                archive.add(source, "source", "0" * 64)
        else:
            archive.add(source, "source", "0" * 64)
            archive.publish()

    assert [path.name for path in tmp_path.iterdir()] == ["source" if is_lost else ARCHIVE_NAME]


def test_an_archive_that_can_t_be_closed_is_not_published(tmp_path: Path, other_disk: Path) -> None:
    """So small an archive is in a buffer until its file is closed."""
    with an_archive(tmp_path, other_disk) as archive:
        report = csv_report.write([], tmp_path)
        archive.add(report, report.name, "0" * 64)
        with no_file_larger_than(10), pytest.raises(OSError, match="too large"):
            archive.publish()

    assert list(other_disk.iterdir()) == []


def test_an_archive_that_nobody_finishes_says_nothing_when_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with an_archive(tmp_path, tmp_path):
        pass

    assert capsys.readouterr().err == ""


def test_what_the_output_folder_has_no_room_for_is_not_taken_in(
    tmp_path: Path, other_disk: Path
) -> None:
    """Room for the archive with one file: what the second would need counts the first one too."""
    sources = [tmp_path / name for name in ("one", "two")]
    for source in sources:
        source.write_bytes(b"x" * 100_000)

    with an_archive(tmp_path, other_disk, SmallDisk(SPARE + 150_000, other_disk)) as archive:
        added(archive, sources[0])
        with pytest.raises(NoRoomError, match=r"^no room for it in the output folder: 5\d\.\d KiB"):
            added(archive, sources[1])
        published(archive)
    path = other_disk / ARCHIVE_NAME

    assert sources[1].exists()
    assert [file.name for file in other_disk.iterdir()] == [ARCHIVE_NAME]
    with zipfile.ZipFile(path) as made:
        assert made.testzip() is None
        assert made.namelist() == ["one", csv_report.REPORT_NAME, SUMS_NAME]


def test_what_is_awaited_takes_room_on_another_disk_and_none_on_the_same(
    tmp_path: Path, other_disk: Path
) -> None:
    archive, elsewhere = (
        an_archive(tmp_path, output, lambda _: SPARE + 150_000) for output in (tmp_path, other_disk)
    )
    for it in (archive, elsewhere):
        it.check_space(100_000)
        it.awaited_bytes = 100_000

    archive.check_space(100_000)
    with pytest.raises(NoRoomError, match="for it in the output folder"):
        elsewhere.check_space(100_000)


def test_a_disk_that_others_have_filled_meanwhile_gets_the_archive_that_has_its_room(
    tmp_path: Path, other_disk: Path
) -> None:
    free = 1 << 40
    source = tmp_path / "source"
    source.write_bytes(b"data")

    with an_archive(tmp_path, other_disk, lambda _: free) as archive:
        added(archive, source)
        free = 1000
        with pytest.raises(NoRoomError, match=r"for it in the output folder: 16\.0 MiB"):
            archive.reserve(1)
        size = (other_disk / f".{ARCHIVE_NAME}.part").stat().st_size
        with no_file_larger_than(size):
            published(archive)

    assert [file.name for file in other_disk.iterdir()] == [ARCHIVE_NAME]


def test_a_byte_too_little_is_noticed_before_the_last_file_is_in(
    tmp_path: Path, other_disk: Path
) -> None:
    """Report, checksums and directory are foreseen, with names as long as they get."""
    labels = [("g" * 180, f"{number:02d}" + "ü" * 89) for number in range(40)]
    content = SnapshotContent(1 << 40, "0" * 64, 10**6, 10**6, 10**7, 10**8)
    records = [replace(record, content=content) for record in records_of(labels)]
    names = names_for(records, OURS)

    def published_size(free: int) -> int:
        disk = SmallDisk(free, other_disk)
        with an_archive(tmp_path, other_disk, disk, rows=40) as archive:
            for record in records:
                source = tmp_path / record.project.id
                source.write_bytes(b"the snapshot")
                added(archive, source, names[record.project.id])
            return published(archive, records)

    size = published_size(1 << 40)
    (other_disk / ARCHIVE_NAME).unlink()
    with pytest.raises(NoRoomError, match="for it in the output folder"):
        published_size(SPARE + size - 1)
