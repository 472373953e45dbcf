"""The values of a run, and what may be asked of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.models import (
    Project,
    Snapshot,
    SnapshotContent,
    SnapshotRecord,
    whole_seconds,
)
from fw_gear_sitewide_snapshot.report.summary import Summary
from fw_gear_sitewide_snapshot.text import is_id, one_line

ID = "5e0000000000000000000012"
WHEN = datetime(2026, 1, 31, 12, 0, 5, 900_000, tzinfo=UTC)
WHOLE = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
RECORD = SnapshotRecord(
    Project("0" * 24, "Study", "neuro"),
    ID,
    WHOLE,
    "batch",
    "complete",
    "earlier",
    SnapshotContent(1, "0" * 64, 2, 3, 4, 5),
)


def labelled(label: str, status: str = "complete", group: str = "neuro") -> SnapshotRecord:
    return SnapshotRecord(Project("0" * 24, label, group), ID, status=status)


@given(st.text())
def test_one_line_is_one_line_that_any_terminal_shows(text: str) -> None:
    assert one_line(text).isprintable()


@given(st.text())
def test_one_line_of_one_line_is_itself(text: str) -> None:
    assert one_line(one_line(text)) == one_line(text)


@given(st.text(), st.integers(min_value=1, max_value=20))
def test_one_line_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(one_line(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n b\t\tc ", "a b c"), ("a\x1b[2J", r"a\x1b[2J"), ("é 漢", "é 漢"), ("", "")],
)
def test_one_line_folds_blanks_and_escapes_control_characters(text: str, expected: str) -> None:
    assert one_line(text) == expected


def test_a_text_that_is_cut_shows_it() -> None:
    assert one_line("x" * 501) == "x" * 499 + "…"


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 1)))  # noqa: DTZ001
def test_whole_seconds_are_never_later_and_always_in_utc(when: datetime) -> None:
    whole = whole_seconds(when)
    assert timedelta(0) <= when - whole < timedelta(seconds=1)
    assert (whole.utcoffset(), whole.microsecond) == (timedelta(0), 0)


@pytest.mark.parametrize("text", [ID, "0" * 24, "f" * 24])
def test_24_hex_digits_are_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["", "0" * 23, "0" * 25, ID.upper(), ID + "\n", "g" * 24, "٣" * 24]
)
def test_nothing_else_is_an_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    ("status", "snapshot_id", "expected"),
    [
        ("pending", ID, True),
        ("in_progress", ID, True),
        ("archived", ID, True),
        ("pending", "", False),
        ("complete", ID, False),
        ("failed", ID, False),
        ("planned", ID, False),
    ],
)
def test_a_row_is_running_where_a_snapshot_is_known_whose_end_is_not(
    status: str, snapshot_id: str, expected: bool
) -> None:
    record = SnapshotRecord(RECORD.project, snapshot_id, status=status)
    assert record.is_running is expected


def test_what_the_site_says_of_a_snapshot_replaces_what_was_known() -> None:
    at = RECORD.failed("gone", WHEN).with_snapshot(Snapshot(ID, "in_progress", WHEN), WHEN)
    assert (at.snapshot_id, at.timestamp, at.status, at.error) == (ID, WHOLE, "in_progress", "")
    assert at.batch_label == "batch"


def test_a_snapshot_that_failed_says_so() -> None:
    assert (
        RECORD.with_snapshot(Snapshot(ID, "failed", WHEN), WHEN).error
        == "the site reports that it failed"
    )


def test_a_snapshot_without_a_time_keeps_the_rows() -> None:
    assert RECORD.with_snapshot(Snapshot(ID, "pending", None), WHEN).timestamp == WHOLE


def test_a_failure_has_a_reason_in_one_line_and_no_snapshot() -> None:
    failed = RECORD.failed("the site\nsays no", WHEN)
    assert (failed.status, failed.error, failed.snapshot_id, failed.timestamp, failed.content) == (
        "failed", "the site says no", "", WHOLE, None,
    )  # fmt: skip


def test_a_row_about_to_be_started_says_since_when_to_look_and_nothing_else() -> None:
    assert RECORD.reset_to_pending(WHEN) == SnapshotRecord(RECORD.project, "", WHOLE, "batch")


def test_one_that_is_gone_keeps_its_id_and_its_time() -> None:
    gone = RECORD.failed("the snapshot is gone", None)
    assert (gone.status, gone.error, gone.snapshot_id, gone.timestamp) == (
        "failed", "the snapshot is gone", ID, WHOLE,
    )  # fmt: skip


def test_a_build_s_own_reason_follows_what_the_site_reports() -> None:
    failed = RECORD.with_snapshot(Snapshot(ID, "failed", WHEN, "no space\nleft"), WHEN)
    assert failed.error == "the site reports that it failed: no space left"


@pytest.mark.parametrize(
    ("status", "snapshot_id", "words"),
    [
        ("planned", "", "planned"),
        ("pending", "", "a retry looks"),
        ("in_progress", ID, "a retry waits"),
        ("archiving", ID, "a retry waits"),
        ("failed", ID, "it failed"),
    ],
)
def test_every_row_that_is_not_complete_has_a_reason(
    status: str, snapshot_id: str, words: str
) -> None:
    assert words in SnapshotRecord(RECORD.project, snapshot_id, status=status).reason


def test_a_reason_is_the_row_s_own_where_it_has_one() -> None:
    assert labelled("a").reason == ""
    assert RECORD.failed("the site says no", WHEN).reason == "the site says no"


def test_a_summary_counts_by_status_with_the_most_frequent_first() -> None:
    rows = [labelled(label, status) for label, status in [("a", "failed"), ("b", "x"), ("c", "x")]]
    assert list(Summary.of(rows).counts.items()) == [("x", 2), ("failed", 1)]
    assert Summary.of(rows).total == 3


def test_a_summary_has_the_incomplete_rows_in_the_reports_order() -> None:
    rows = [labelled("b", "failed"), labelled("c"), labelled("a", "x"), labelled("z", "x", "a")]
    assert [row.project.label for row in Summary.of(rows).incomplete] == ["z", "a", "b"]


def test_a_summary_tells_what_was_not_fetched_from_what_is_not_complete() -> None:
    rows = [RECORD, labelled("a"), labelled("b", "failed"), labelled("c", "x")]
    assert Summary.of(rows, to_fetch=True).unfetched == (rows[1],)
    assert len(Summary.of(rows, to_fetch=True).incomplete) == 3
    assert Summary.of(rows).unfetched == ()


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([], True), (["complete"], True), (["complete", "failed"], False), (["planned"], False)],
)
def test_a_batch_is_complete_when_every_row_is(statuses: list[str], expected: bool) -> None:
    assert Summary.of(labelled("a", status) for status in statuses).is_complete is expected


# How long it took


def test_a_snapshot_s_end_is_when_it_was_first_seen() -> None:
    running = RECORD.with_snapshot(Snapshot(ID, "in_progress", WHEN), WHEN)
    ended = running.with_snapshot(Snapshot(ID, "complete", WHEN), WHEN + timedelta(seconds=90))

    assert running.finished_at is None
    assert ended.finished_at == WHOLE + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("origin", "status", "took"),
    [("started", "complete", 90.0), ("reused", "complete", None), ("started", "failed", None)],
)
def test_only_what_the_batch_has_started_and_is_complete_took_a_known_time(
    origin: str, status: str, took: float | None
) -> None:
    record = replace(RECORD, origin=origin, status=status)

    assert replace(record, finished_at=WHOLE + timedelta(seconds=90)).took_seconds == took


def test_a_row_that_is_started_anew_has_neither_origin_nor_end() -> None:
    reused = replace(RECORD, origin="reused", finished_at=WHOLE)

    for anew in (reused.reset_to_pending(WHEN), reused.failed("no", WHEN)):
        assert (anew.origin, anew.finished_at) == ("", None)


def test_a_batch_is_as_long_as_from_its_first_start_to_its_last_end() -> None:
    later = WHOLE + timedelta(minutes=5)
    early = replace(RECORD, timestamp=WHOLE - timedelta(minutes=1))
    rows = [
        replace(RECORD, origin="started", finished_at=later - timedelta(minutes=1)),
        replace(early, origin="started", finished_at=later),
        replace(RECORD, origin="reused", timestamp=WHOLE - timedelta(days=1), finished_at=WHOLE),
    ]

    summary = Summary.of(rows)

    assert (summary.begin, summary.end) == (WHOLE - timedelta(minutes=1), later)
    assert summary.reused == 1
