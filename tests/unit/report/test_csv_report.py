"""The report as a file: what is written, and what is read. What is refused is tested beside it."""

import csv
import io
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.errors import OutputError, ReportError
from fw_gear_sitewide_snapshot.models import (
    Project,
    SnapshotContent,
    SnapshotRecord,
    report_order,
)
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.report.columns import COLUMNS
from tests.support.old_reports import IDS, OLD_RECORD, OLD_ROW, old, row, saved

WHEN = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
HOSTILE = [
    "", "NA", "None", "null", "nan", "001", "1e5", "TRUE", " padded ", "a,b", "a;b", 'say "so"',
    '"', "two\nlines", "two\r\nlines", "lone\rreturn", "\n", "tab\tbed", "nul\0", "é 漢 🧠 ’",
    "\u2028", "\ufeffmark", "\x1b[31m", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1+1",
    "''@", "'", "'quoted'", "#comment", "\\", "\\n",
    "x;=cmd|'/C calc'!A0;y", "a\t=1+1", "a,=1", "a\n=1", "a\r @b", 'x;"=1"', "a;'=1", "＝1",
]  # fmt: skip
texts = st.sampled_from(HOSTILE) | st.text()
identifiers = st.sampled_from(IDS) | st.text("0123456789abcdef", min_size=24, max_size=24)
records = st.builds(
    SnapshotRecord,
    st.builds(Project, identifiers, texts, texts),
    identifiers,
    st.none() | st.just(WHEN),
    texts,
    st.sampled_from(["complete", "failed", "planned", "in_progress", "Archived"]),
    texts,
    st.none() | st.just(SnapshotContent(1, "0" * 64, 2, 3, 4, 5)),
    st.sampled_from(["started", "reused"]),
    st.none() | st.just(WHEN),
)
batches = st.lists(records, min_size=1, max_size=8, unique_by=lambda record: record.project.id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each overwrites the report of the one before."""
    return tmp_path_factory.mktemp("output")


def record(label: str = "Study", **changes: Any) -> SnapshotRecord:
    project = Project(IDS[0], label, "neuro")
    complete = SnapshotRecord(project, IDS[1], WHEN, "batch", "complete", origin="started")
    return replace(complete, **changes)


def batch(labels: Iterable[str]) -> list[SnapshotRecord]:
    """A record a label, each of its own project."""
    return [
        replace(record(), project=Project(f"{number:024x}", label, "neuro"))
        for number, label in enumerate(labels)
    ]


# Written and read back


@settings(deadline=None)
@given(batches)
def test_a_batch_comes_back_from_the_file(folder: Path, batch: list[SnapshotRecord]) -> None:
    written = [replace(record, error=record.reason) for record in sorted(batch, key=report_order)]
    assert csv_report.read(csv_report.write(batch, folder)) == written


@pytest.mark.parametrize("text", [*HOSTILE, pytest.param("=é;" * 70_000, id="long")])
def test_text_comes_back_exactly(tmp_path: Path, text: str) -> None:
    hostile = replace(record(), project=Project(IDS[0], text, text), batch_label=text, error=text)
    assert csv_report.read(csv_report.write([hostile], tmp_path)) == [hostile]


@settings(deadline=None)
@given(batches)
def test_no_cell_of_the_file_begins_as_a_formula_does(
    folder: Path, batch: list[SnapshotRecord]
) -> None:
    path = csv_report.write(batch, folder)
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r")]


@settings(deadline=None)
@given(batches)
@example(batch(HOSTILE))
def test_no_cell_is_a_formula_whichever_separator_the_file_is_split_at(
    folder: Path, batch: list[SnapshotRecord]
) -> None:
    text = csv_report.write(batch, folder).read_bytes().decode()
    cells = re.split("[,;\t\r\n]", text)  # as if there were no quotes
    for separator in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        cells += [cell for row in reader for cell in row]
    assert not [cell for cell in cells if cell.lstrip('" \v\f\0\ufeff\u3000')[:1] in set("=+-@＝")]


@settings(deadline=None)
@given(batches)
def test_csv_and_pandas_see_the_same_cells(folder: Path, batch: list[SnapshotRecord]) -> None:
    path = csv_report.write(batch, folder)
    with path.open(encoding="utf-8", newline="") as file:
        seen = list(csv.reader(file))
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert [list(frame.columns), *frame.to_numpy().tolist()] == seen


def test_pandas_sees_the_ids_and_labels_as_they_are(tmp_path: Path) -> None:
    labels = ["NA", "001", "1e5"]
    batch = [
        replace(record(), project=Project(identifier, label, "g"), snapshot_id=identifier)
        for identifier, label in zip(IDS, labels, strict=True)
    ]
    path = csv_report.write(batch, tmp_path)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).sort_values("project_label")
    assert sorted(frame["project_label"]) == sorted(labels)
    assert sorted(frame["project_id"]) == sorted(IDS)
    assert sorted(frame["snapshot_id"]) == sorted(IDS)


def test_the_file_is_plain_utf_8_with_the_columns_in_order(tmp_path: Path) -> None:
    path = csv_report.write([record("é")], tmp_path)
    header, row = path.read_bytes().decode("utf-8").splitlines()
    assert header == ",".join(COLUMNS)
    assert row.split(",")[:8] == [
        "neuro", "é", IDS[0], IDS[1], "2026-01-31T12:00:05+00:00", "batch", "complete", "",
    ]  # fmt: skip


def test_a_large_batch_comes_back_with_one_header(tmp_path: Path) -> None:
    batch = [
        record(project=Project(f"{number:024x}", f"Study {number}", "neuro"))
        for number in range(4_500)
    ]
    batch[3_000] = replace(batch[3_000], batch_label="lone\rreturn")

    path = csv_report.write(batch, tmp_path)

    assert path.read_text(encoding="utf-8").count("project_id") == 1
    assert sorted(csv_report.read(path), key=report_order) == sorted(batch, key=report_order)


def test_rows_are_sorted_by_group_then_label_then_id(tmp_path: Path) -> None:
    order = [("a", "b", IDS[1]), ("b", "a", IDS[0]), ("b", "a", IDS[2]), ("b", "b", "0" * 24)]
    batch = [
        replace(record(), project=Project(identifier, label, group))
        for group, label, identifier in order
    ]
    read = csv_report.read(csv_report.write(batch[::-1], tmp_path))
    assert [(r.project.group, r.project.label, r.project.id) for r in read] == order


def test_a_batch_without_projects_is_a_header(tmp_path: Path) -> None:
    assert csv_report.write([], tmp_path).read_text() == ",".join(COLUMNS) + "\n"


# Written in one step


def test_nobody_ever_sees_half_a_report(tmp_path: Path) -> None:
    batches = [batch([label] * 500) for label in ("first", "second")]
    csv_report.write(batches[0], tmp_path)
    path, done, odd = tmp_path / csv_report.REPORT_NAME, threading.Event(), list[str]()
    reads = 0

    def look() -> None:
        nonlocal reads
        while not done.is_set():
            try:
                seen = csv_report.read(path)
                if seen not in batches:
                    odd.append(f"{len(seen)} rows")
            except ReportError as error:
                odd.append(str(error))
            reads += 1

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        csv_report.write(batches[number % 2], tmp_path)
        if reads > 50 and number > 50:
            break
    done.set()
    reader.join()
    assert odd == []


def test_a_write_that_is_interrupted_leaves_the_report_before_it(tmp_path: Path) -> None:
    before = csv_report.write([record("before")], tmp_path).read_bytes()
    (tmp_path / f".{csv_report.REPORT_NAME}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device"):
        csv_report.write([record("after")], tmp_path)
    assert (tmp_path / csv_report.REPORT_NAME).read_bytes() == before


def test_only_the_report_is_left_in_the_folder(tmp_path: Path) -> None:
    path = csv_report.write([record()], tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    in_the_way = tmp_path / csv_report.REPORT_NAME
    in_the_way.mkdir()
    with pytest.raises(OutputError):
        csv_report.write([record()], tmp_path)
    assert list(tmp_path.iterdir()) == [in_the_way]


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_named_in_one_line(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as raised:
        csv_report.write([record()], tmp_path / place)
    path = tmp_path / place / csv_report.REPORT_NAME
    assert re.fullmatch(rf"{re.escape(str(path))} can't be written: .+", str(raised.value))


# Reports of version 0.0.4, and what a spreadsheet makes of one


def test_a_report_of_version_0_0_4_is_read(tmp_path: Path) -> None:
    assert csv_report.read(saved(tmp_path, old(OLD_ROW))) == [OLD_RECORD]


def reordered(text: str, order: Sequence[int]) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    return "".join(",".join(row[index] for index in order) + "\n" for row in rows)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r"), id="CR"),
        pytest.param(lambda text: text.rstrip("\n"), id="no line end at the end"),
        pytest.param(lambda text: reordered(text, [6, 5, 4, 3, 2, 1, 0]), id="column order"),
        pytest.param(
            lambda text: text.replace("\n", ",note\n", 1).replace("failed\n", "failed,mine\n"),
            id="extra column",
        ),
        pytest.param(lambda text: text.replace("\n", ",,\n"), id="nameless columns"),
        pytest.param(lambda text: text.replace("\n", "\n\n \n"), id="blank lines"),
        pytest.param(lambda text: text.replace("\n", "\n,,,,,,\n"), id="lines of commas"),
        pytest.param(lambda text: "\n\r\n" + text, id="blank lines before the header"),
        pytest.param(
            lambda text: text.replace("group_label", "Group_Label ").replace("status", "STATUS"),
            id="case of the header",
        ),
        pytest.param(lambda text: text.replace("SnapshotState.failed", "Failed"), id="status"),
        pytest.param(lambda text: text.replace(IDS[1], IDS[1].upper()), id="case of the ids"),
        pytest.param(lambda text: text + OLD_ROW, id="same row twice"),
        pytest.param(lambda text: text + text, id="same report twice"),
        pytest.param(lambda text: "\ufeff" + text + "\ufeff" + text, id="marks in the middle"),
        pytest.param(
            lambda text: text + reordered(text, [6, 5, 4, 3, 2, 1, 0]),
            id="other order in the middle",
        ),
        pytest.param(
            lambda text: text + text.replace("status\n", "STATUS,note\n").upper()
            .replace("NEURO,STUDY", "neuro,Study").replace("BATCH,S", "batch,S"),
            id="other case in the middle",
        ),
        pytest.param(
            lambda text: "," + text.replace("\nneuro", "\n0,neuro"), id="the index of a data frame"
        ),
        pytest.param(lambda text: text + OLD_ROW.upper().replace("NEURO,STUDY", "neuro,Study")
                     .replace("BATCH", "batch"), id="same row in another case"),
        pytest.param(lambda text: text.replace(",", ";"), id="semicolons"),
        pytest.param(lambda text: text.replace(",", "\t"), id="tabs"),
        pytest.param(
            lambda text: "\r\n" + text.replace(",", ";"), id="semicolons after a blank line"
        ),
        pytest.param(lambda text: text.replace("Study", '"Study"'), id="quotes"),
        pytest.param(
            lambda text: '"' + text.rstrip().replace(",", '";"').replace("\n", '"\n"') + '"',
            id="quotes everywhere",
        ),
        pytest.param(
            lambda text: '\ufeff"' + text.rstrip().replace(",", '"\t"').replace("\n", '"\r\n"')
            + '"\r\n', id="quotes, tabs, CRLF and a mark",
        ),
        pytest.param(lambda text: text.replace("14:05", "14:05:00"), id="seconds"),
    ],
)  # fmt: skip
def test_what_a_spreadsheet_makes_of_a_report_is_read(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    changed = change(old(OLD_ROW))
    assert changed != old(OLD_ROW)
    assert csv_report.read(saved(tmp_path, changed)) == [OLD_RECORD]


def test_a_long_label_with_semicolons_does_not_change_the_separator(tmp_path: Path) -> None:
    content = old(row(project_label="a" + ";" * 50)).replace("\n", "\r")
    assert csv_report.read(saved(tmp_path, content))[0].project.label == "a" + ";" * 50


def test_a_frame_may_separate_with_bars(tmp_path: Path) -> None:
    assert csv_report.read(saved(tmp_path, old(OLD_ROW).replace(",", "|"))) == [OLD_RECORD]


def test_several_reports_in_one_file_are_a_report(tmp_path: Path) -> None:
    content = SnapshotContent(1, "0" * 64, 2, 3, 4, 5)
    new = record("project_id", project=Project(IDS[2], "project_id", "status"), content=content)
    text = csv_report.write([new], tmp_path).read_text()
    other = text.replace(IDS[2], IDS[1])
    read = csv_report.read(saved(tmp_path, text + "\n" + old(OLD_ROW) + "\ufeff" + other))
    assert read == [new, OLD_RECORD, replace(new, project=replace(new.project, id=IDS[1]))]


def test_a_frame_of_all_cells_as_texts_is_read(tmp_path: Path) -> None:
    batch = [
        record(content=SnapshotContent(920, "a" * 64, 1, 2, 3, 4)),
        record(project=Project(IDS[2], "b", "neuro"), snapshot_id="", status="planned"),
    ]
    frame = pd.read_csv(csv_report.write(batch, tmp_path), dtype=dict.fromkeys(COLUMNS[2:4], str))
    assert str(frame["files"][0]) == "4.0"
    path = tmp_path / "frame.csv"
    frame.astype(str).to_csv(path)
    first, second = csv_report.read(path)
    assert (first.content, first.snapshot_id) == (batch[0].content, IDS[1])
    assert (second.content, second.snapshot_id) == (None, "")


def test_trailing_empty_cells_may_be_cut_off(tmp_path: Path) -> None:
    path = csv_report.write([record()], tmp_path)
    cut = re.sub(",+\n", "\n", path.read_text())
    assert cut != path.read_text()
    assert csv_report.read(saved(tmp_path, cut)) == [record()]


def test_rows_are_read_in_the_files_order(tmp_path: Path) -> None:
    rows = [row(project_id=identifier) for identifier in (IDS[2], IDS[0], IDS[1])]
    read = csv_report.read(saved(tmp_path, old(*rows)))
    assert [r.project.id for r in read] == [IDS[2], IDS[0], IDS[1]]
