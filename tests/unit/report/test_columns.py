"""A record as the report's cells, and back."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.models import (
    Origin,
    Project,
    SnapshotContent,
    SnapshotRecord,
    SnapshotStatus,
)
from fw_gear_sitewide_snapshot.report.columns import (
    COLUMNS,
    REQUIRED_COLUMNS,
    CellError,
    escape_formula,
    from_row,
    to_row,
    unescape_formula,
)
from fw_gear_sitewide_snapshot.text import one_line
from tests.support.gear import CONTRACT_COLUMNS

PROJECT = "000000000000000000000123"
SNAPSHOT = "5e0000000000000000000012"
SHA256 = "0123456789abcdef" * 4
CONTENT = SnapshotContent(4096, SHA256, 1, 2, 3, 4)
WHEN = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
RECORD = SnapshotRecord(
    Project(PROJECT, "Study", "neuro"),
    SNAPSHOT,
    WHEN,
    "batch",
    SnapshotStatus.COMPLETE,
    origin=Origin.STARTED,
)
FORMULA_STARTS = "=+-@\t\r＝＋－＠"
TIMES_OF_A_SPREADSHEET = [
    "yesterday",
    "31.01.2026 12:00",
    "31/01/2026 13:00",
    "1/31/26 1:00 PM",
    "46053.5",
    "########",
    "nan",
    "NaT",
    "NA",
    "None",
    "0001-01-01T00:00+12:00",
    "0001-01-01T00:00:00+00:00",
    "0001-01-01 05:00:00Z",
    "2026-13-01",
    "'",
]

BLANKS = "".join(c for c in map(chr, range(0x3001)) if c.isspace())

hostile = st.one_of(
    st.text(),
    st.text("=+-@＝\t\r\n'\",;\0 aN1é\u2028\ufeff"),
    st.builds("{}{}".format, st.sampled_from(["'", "''", *FORMULA_STARTS]), st.text()),
)
identifiers = st.one_of(
    st.sampled_from([PROJECT, SNAPSHOT, "1111111111111111111e1111", "0" * 24]),
    st.text("0123456789abcdef", min_size=24, max_size=24),
)
times = st.datetimes(datetime(2, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  its bounds have none
seconds = times.map(lambda moment: moment.replace(microsecond=0))
unknown_statuses = st.text(min_size=1).map(one_line).filter(
    lambda word: word and not word.lower().startswith("snapshotstate.")
    and word.lower() not in set(SnapshotStatus)
)  # fmt: skip
counts = st.integers(min_value=0, max_value=10**18 - 1)
contents = st.builds(
    SnapshotContent,
    counts,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    counts,
    counts,
    counts,
    counts,
)
records = st.builds(
    SnapshotRecord,
    st.builds(Project, identifiers, hostile, hostile),
    identifiers,
    st.none() | seconds,
    hostile,
    st.sampled_from(SnapshotStatus) | unknown_statuses,
    hostile,
    st.none() | contents,
    st.sampled_from(Origin),
    st.none() | seconds,
)


def written(record: SnapshotRecord = RECORD, /, **cells: str) -> dict[str, str]:
    """The record's cells by column, some of them replaced."""
    return dict(zip(COLUMNS, to_row(record), strict=True)) | cells


def problem(**cells: str) -> str:
    """What is said of a row with these cells."""
    with pytest.raises(CellError) as raised:
        from_row(written(**cells))
    return str(raised.value)


def labelled(text: str) -> SnapshotRecord:
    return replace(RECORD, project=replace(RECORD.project, label=text))


@settings(deadline=None, max_examples=500)
@given(records)
@example(labelled("'=1+1"))
@example(labelled("a;'=1+1,''@"))
@example(labelled("''''@"))
def test_a_record_comes_back_from_its_cells(record: SnapshotRecord) -> None:
    assert from_row(written(record)) == replace(record, error=record.reason)


@given(hostile)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    record = replace(labelled(text), batch_label=text, error=text, status=one_line(text) or "x")
    assert not [cell for cell in to_row(record) if cell.startswith(tuple(FORMULA_STARTS))]


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_formula_is_written_with_an_apostrophe_before_it(start: str) -> None:
    assert written(labelled(f"{start}1+1"))["project_label"] == f"'{start}1+1"


@given(hostile)
@example("x;=cmd|'/C calc'!A0;y")
@example("a\r\n=1")
@example(" \u2003=1")
@example('a;"=1"')
@example("a,\0\ufeff=1")
def test_no_part_of_a_cell_begins_as_a_formula_does(text: str) -> None:
    escaped = escape_formula(text)
    parts = [part.lstrip('"\0\ufeff' + BLANKS) for part in re.split("[,;\t\r\n]", escaped)]
    assert not [part for part in parts if part.startswith(tuple("=+-@＝＋－＠"))]
    assert unescape_formula(escaped) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x;=cmd|'/C calc'!A0;y", "x;'=cmd|'/C calc'!A0;y"),
        ("a,=1,+2", "a,'=1,'+2"),
        ("a\t@SUM(A1)", "a\t'@SUM(A1)"),
        ("a\r\n-1", "a\r\n'-1"),
        ('a; "=1"', 'a;\' "=1"'),
        ("＝1", "'＝1"),
    ],
)
def test_a_formula_within_a_cell_has_the_apostrophe_before_itself(text: str, expected: str) -> None:
    assert written(labelled(text))["project_label"] == expected


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'=1", "=1"),
        ("''=1", "'=1"),
        ("'\tx", "\tx"),
        ("'\t=1", "\t=1"),
        ("a;=1", "a;=1"),
        ("a, -b", "a, -b"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_cell_of_version_1_0_0_is_read_as_it_was(cell: str, text: str) -> None:
    assert from_row(written(project_label=cell)).project.label == text


@pytest.mark.parametrize(
    "text",
    [
        "NA",
        "001",
        "1e5",
        "",
        " padded ",
        "'quoted'",
        "'",
        "a=b",
        "#",
        "a - b",
        "a; b=c, d-e",
        "a\n\nb",
    ],
)
def test_harmless_text_is_written_as_it_is(text: str) -> None:
    assert written(labelled(text))["project_label"] == text


def test_the_columns_are_the_contract_s_in_its_order() -> None:
    assert list(COLUMNS) == CONTRACT_COLUMNS


def test_a_report_needs_the_columns_of_version_0_0_4_only() -> None:
    assert COLUMNS[:7] == REQUIRED_COLUMNS
    row = {name: cell for name, cell in written().items() if name in REQUIRED_COLUMNS}
    assert from_row(row) == RECORD


def test_a_timestamp_is_written_in_utc_with_seconds_and_offset() -> None:
    assert written()["timestamp"] == "2026-01-31T12:00:05+00:00"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2023-11-29 14:05", datetime(2023, 11, 29, 14, 5, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.999999+00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T01:00:00+02:00", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        (" 2026-01-31T12:00:00+00:00 ", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_read_as_utc_in_whole_seconds(cell: str, expected: datetime) -> None:
    timestamp = from_row(written(timestamp=cell)).timestamp
    assert timestamp == expected
    assert timestamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize("cell", TIMES_OF_A_SPREADSHEET)
@pytest.mark.parametrize(
    ("status", "snapshot_id"),
    [
        ("complete", SNAPSHOT),
        ("failed", SNAPSHOT),
        ("failed", ""),
        ("planned", ""),
        ("in_progress", SNAPSHOT),
        ("archiving", SNAPSHOT),
    ],
)
def test_a_time_that_decides_nothing_and_cannot_be_read_is_missing(
    status: str, snapshot_id: str, cell: str
) -> None:
    record = from_row(written(status=status, snapshot_id=snapshot_id, timestamp=cell))
    known = replace(RECORD, origin=Origin.STARTED if snapshot_id else "", timestamp=None)
    assert record == replace(known, status=status, snapshot_id=snapshot_id)


@pytest.mark.parametrize("cell", TIMES_OF_A_SPREADSHEET)
@pytest.mark.parametrize("status", ["pending", "in_progress", "SnapshotState.Pending", "archiving"])
def test_the_time_to_look_from_is_refused_where_it_cannot_be_read(status: str, cell: str) -> None:
    text = problem(status=status, snapshot_id="", timestamp=cell)
    assert text.startswith(f'column timestamp: "{cell}"')
    assert "2026-01-31T12:00:00+00:00" in text


@pytest.mark.parametrize("column", ["project_id", "snapshot_id"])
@pytest.mark.parametrize(
    "cell", ["5.0E+23", "123", "5e00000000000000000000zz", "../../x", "0" * 25, "'" + "0" * 24]
)
def test_an_id_that_is_none_is_refused(column: str, cell: str) -> None:
    text = problem(**{column: cell})
    assert text.startswith(f'column {column}: "{cell}"')
    assert "24 hex digits" in text


def test_an_id_is_read_in_any_case_and_with_blanks() -> None:
    assert from_row(written(project_id=f" {SNAPSHOT.upper()} ")).project.id == SNAPSHOT


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "NA", "<NA>", "None", "null"])
def test_a_snapshot_id_that_a_data_frame_had_none_for_is_none(cell: str) -> None:
    assert from_row(written(status="failed", snapshot_id=cell)).snapshot_id == ""


@pytest.mark.parametrize("cell", ["", " ", "nan", "<NA>", "None", "yes", '=HYPERLINK("s3://b/c")'])
def test_what_is_no_address_is_no_copy(cell: str) -> None:
    assert from_row(written(copied_to=cell)).copied_to == ""


@pytest.mark.parametrize("cell", ["", "nan"])
def test_a_row_without_a_project_id_is_refused(cell: str) -> None:
    assert problem(project_id=cell).startswith("column project_id:")


@pytest.mark.parametrize("status", SnapshotStatus)
@pytest.mark.parametrize("form", ["{}", "SnapshotState.{}", " {} ", "snapshotstate.{}"])
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_a_known_status_is_read_in_any_case_and_in_the_form_of_version_0_0_4(
    status: SnapshotStatus, form: str, change: Callable[[str], str]
) -> None:
    assert from_row(written(status=change(form.format(status)))).status == status


@pytest.mark.parametrize("word", ["Archived", "ON HOLD", "queued"])
def test_a_status_that_only_the_site_knows_is_read_verbatim(word: str) -> None:
    assert from_row(written(status=word)).status == word


@pytest.mark.parametrize("status", ["", " ", "SnapshotState."])
def test_a_row_needs_a_status(status: str) -> None:
    text = problem(status=status)
    assert text.startswith("column status:")
    assert "expected failed or planned" in text


def test_a_status_that_nobody_knows_needs_a_snapshot_to_ask_for_or_a_time_to_look_from() -> None:
    record = from_row(written(status="archived", snapshot_id=""))
    assert (record.status, record.timestamp) == ("archived", WHEN)
    text = problem(status="archived", snapshot_id="", timestamp=" ")
    assert text.startswith('column status: "archived"')
    assert "without a snapshot id, expected failed or planned" in text


def test_a_complete_row_needs_its_snapshot() -> None:
    assert problem(snapshot_id="").startswith("column snapshot_id:")


@pytest.mark.parametrize("status", ["pending", "in_progress", "SnapshotState.Pending"])
def test_a_running_row_without_a_snapshot_needs_the_time_to_look_from(status: str) -> None:
    text = problem(status=status, snapshot_id="", timestamp="")
    assert text.startswith("column timestamp:")
    assert "planned" in text


@pytest.mark.parametrize("status", ["failed", "planned"])
def test_a_row_to_be_started_needs_neither_snapshot_nor_time(status: str) -> None:
    record = from_row(written(status=status, snapshot_id="", timestamp=""))
    assert (record.snapshot_id, record.timestamp) == ("", None)


@pytest.mark.parametrize(
    ("column", "cell", "content"),
    [
        ("files", "920", replace(CONTENT, files=920)),
        ("files", " 920.0 ", replace(CONTENT, files=920)),
        ("size_bytes", "1234567890.", replace(CONTENT, size_bytes=1234567890)),
        ("size_bytes", "1,234,567", replace(CONTENT, size_bytes=1234567)),
        ("subjects", "1,000.00", replace(CONTENT, subjects=1000)),
        ("sha256", SHA256.upper(), CONTENT),
        ("sha256", f" {SHA256}\n", CONTENT),
    ],
)
def test_what_was_found_in_a_snapshot_is_read_as_a_data_frame_or_a_spreadsheet_writes_it(
    column: str, cell: str, content: SnapshotContent
) -> None:
    row = written(replace(RECORD, content=CONTENT), **{column: cell})
    assert from_row(row) == replace(RECORD, content=content)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *(
            (column, cell)
            for column in COLUMNS[8:14]
            for cell in ("", "nan", "NaN", "NA", "None", "-1", "########", "9.2E+11", "12,34")
        ),
        ("size_bytes", "4 KB"),
        ("files", "920.5"),
        ("files", "9" * 19),
        ("files", "٣"),
        ("files", "1\udca0234"),
        ("sha256", "0" * 63),
        ("sha256", "0" * 65),
        ("sha256", "g" * 64),
    ],
)
@pytest.mark.parametrize("status", ["complete", "failed"])
def test_what_was_found_in_a_snapshot_is_dropped_where_some_of_it_cannot_be_read(
    status: str, column: str, cell: str
) -> None:
    row = written(replace(RECORD, status=status, content=CONTENT), **{column: cell})
    expected = replace(RECORD, status=status)
    assert from_row(row) == replace(expected, error=expected.reason)


@settings(deadline=None)
@given(
    st.sampled_from(["timestamp", *COLUMNS[8:14]]), hostile, st.sampled_from(["complete", "failed"])
)
def test_a_cell_that_decides_nothing_is_never_refused(column: str, cell: str, status: str) -> None:
    record = from_row(written(replace(RECORD, content=CONTENT), status=status, **{column: cell}))
    assert record.project == RECORD.project


@pytest.mark.parametrize(
    "column", ["group_label", "project_label", "batch_label", "status", "error", "copied_to"]
)
def test_a_text_that_is_no_utf_8_is_refused(column: str) -> None:
    assert re.match(rf"column {column}: .*UTF-8", problem(**{column: "s3://\udcc9tude"}))


@given(st.sampled_from(COLUMNS), hostile)
@settings(deadline=None)
def test_any_cell_is_taken_or_refused_in_one_line_that_names_a_column(
    column: str, cell: str
) -> None:
    try:
        from_row(written(**{column: cell}))
        said = f"column {column}: taken"
    except CellError as error:
        said = str(error)
    assert re.fullmatch(rf"column ({'|'.join(COLUMNS)}): .*", said)


# Where a snapshot is from, and when it was seen to be finished


@pytest.mark.parametrize(
    ("cell", "origin"),
    [("started", "started"), ("reused", "reused"), (" Reused ", "reused"), ("", "started")],
)
def test_what_is_not_said_to_be_reused_was_started(cell: str, origin: str) -> None:
    assert from_row(written(origin=cell)).origin == origin


def test_a_row_without_a_snapshot_has_no_origin() -> None:
    none = RECORD.failed("no", WHEN)

    assert to_row(none)[COLUMNS.index("origin")] == ""
    assert from_row(written(none, origin="started")).origin == ""


@pytest.mark.parametrize("cell", TIMES_OF_A_SPREADSHEET)
def test_an_end_that_can_t_be_read_is_not_known(cell: str) -> None:
    assert from_row(written(finished_at=cell)).finished_at is None
