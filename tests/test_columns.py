"""A record as the report's cells, and back."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.columns import (
    COLUMNS,
    NEEDED_COLUMNS,
    CellError,
    cells_of,
    record_of,
)
from fw_gear_sitewide_snapshot.models import (
    Project,
    SnapshotContent,
    SnapshotRecord,
    SnapshotStatus,
    one_line,
)

from .support.gear import CONTRACT_COLUMNS

PROJECT = "000000000000000000000123"
SNAPSHOT = "5e0000000000000000000012"
SHA256 = "0123456789abcdef" * 4
CONTENT = SnapshotContent(4096, SHA256, 1, 2, 3, 4)
WHEN = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
RECORD = SnapshotRecord(
    Project(PROJECT, "Study", "neuro"), SNAPSHOT, WHEN, "batch", SnapshotStatus.COMPLETE
)
FORMULA_STARTS = "=+-@\t\r"

hostile = st.one_of(
    st.text(),
    st.text("=+-@\t\r\n'\",;\0 aN1é\u2028\ufeff"),
    st.builds("{}{}".format, st.sampled_from(["'", "''", *FORMULA_STARTS]), st.text()),
)
identifiers = st.one_of(
    st.sampled_from([PROJECT, SNAPSHOT, "1111111111111111111e1111", "0" * 24]),
    st.text("0123456789abcdef", min_size=24, max_size=24),
)
seconds = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
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
)


def written(record: SnapshotRecord = RECORD, /, **cells: str) -> dict[str, str]:
    """The record's cells by column, some of them replaced."""
    return dict(zip(COLUMNS, cells_of(record), strict=True)) | cells


def problem(**cells: str) -> str:
    """What is said of a row with these cells."""
    with pytest.raises(CellError) as raised:
        record_of(written(**cells))
    return str(raised.value)


def labelled(text: str) -> SnapshotRecord:
    return replace(RECORD, project=replace(RECORD.project, label=text))


@settings(deadline=None, max_examples=500)
@given(records)
@example(labelled("'=1+1"))
@example(labelled("''''@"))
def test_a_record_comes_back_from_its_cells(record: SnapshotRecord) -> None:
    assert record_of(written(record)) == record


@given(hostile)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    record = replace(labelled(text), batch_label=text, error=text, status=one_line(text) or "x")
    assert not [cell for cell in cells_of(record) if cell.startswith(tuple(FORMULA_STARTS))]


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_formula_is_written_with_an_apostrophe_before_it(start: str) -> None:
    assert written(labelled(f"{start}1+1"))["project_label"] == f"'{start}1+1"


@pytest.mark.parametrize("text", ["NA", "001", "1e5", "", " padded ", "'quoted'", "'", "a=b", "#"])
def test_harmless_text_is_written_as_it_is(text: str) -> None:
    assert written(labelled(text))["project_label"] == text


def test_the_contracts_columns_come_first_and_in_its_order() -> None:
    assert list(COLUMNS[:8]) == CONTRACT_COLUMNS


def test_a_report_needs_the_columns_of_version_0_0_4_only() -> None:
    assert COLUMNS[:7] == NEEDED_COLUMNS
    row = {name: cell for name, cell in written().items() if name in NEEDED_COLUMNS}
    assert record_of(row) == RECORD


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
    timestamp = record_of(written(timestamp=cell)).timestamp
    assert timestamp == expected
    assert timestamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "cell",
    [
        "yesterday",
        "31.01.2026 12:00",
        "31/01/2026 13:00",
        "1/31/26 1:00 PM",
        "46053.5",
        "0001-01-01T00:00+12:00",
        "2026-13-01",
        "'",
    ],
)
def test_a_timestamp_that_is_none_is_refused(cell: str) -> None:
    text = problem(timestamp=cell)
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
    assert record_of(written(project_id=f" {SNAPSHOT.upper()} ")).project.id == SNAPSHOT


def test_a_row_without_a_project_id_is_refused() -> None:
    assert problem(project_id="").startswith("column project_id:")


@pytest.mark.parametrize("status", SnapshotStatus)
@pytest.mark.parametrize("form", ["{}", "SnapshotState.{}", " {} ", "snapshotstate.{}"])
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_a_known_status_is_read_in_any_case_and_in_the_form_of_version_0_0_4(
    status: SnapshotStatus, form: str, change: Callable[[str], str]
) -> None:
    assert record_of(written(status=change(form.format(status)))).status == status


@pytest.mark.parametrize("word", ["Archived", "ON HOLD", "queued"])
def test_a_status_that_only_the_site_knows_is_read_verbatim(word: str) -> None:
    assert record_of(written(status=word)).status == word


@pytest.mark.parametrize("status", ["", " ", "SnapshotState."])
def test_a_row_needs_a_status(status: str) -> None:
    text = problem(status=status)
    assert text.startswith("column status:")
    assert "expected failed or planned" in text


def test_a_status_that_nobody_knows_needs_a_snapshot_to_ask_for() -> None:
    text = problem(status="archived", snapshot_id="")
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
    record = record_of(written(status=status, snapshot_id="", timestamp=""))
    assert (record.snapshot_id, record.timestamp) == ("", None)


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("size_bytes", "4 KB", "a whole number"),
        ("files", "-1", "a whole number"),
        ("files", "9" * 19, "a whole number"),
        ("files", "٣", "a whole number"),
        ("subjects", "", "a whole number"),
        ("sha256", "", "64 hex digits"),
        ("sha256", "A" * 64, "64 hex digits"),
    ],
)
def test_what_was_found_in_a_snapshot_is_whole_or_refused(
    column: str, cell: str, expected: str
) -> None:
    row = written(replace(RECORD, content=CONTENT), **{column: cell})
    with pytest.raises(CellError, match=rf"^column {column}: .*expected {expected}"):
        record_of(row)


@given(st.sampled_from(COLUMNS), hostile)
@settings(deadline=None)
def test_any_cell_is_taken_or_refused_in_one_line_that_names_a_column(
    column: str, cell: str
) -> None:
    try:
        record_of(written(**{column: cell}))
        said = f"column {column}: taken"
    except CellError as error:
        said = str(error)
    assert re.fullmatch(rf"column ({'|'.join(COLUMNS)}): .*", said)
