"""What the page says of a batch, before anything of it is on a page."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import page_content
from fw_gear_sitewide_snapshot.report.summary import Summary
from tests.support.page import Reader, content, record, render


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [
        ({}, "There are no projects in this batch."),
        ({"complete": 1}, "The project has a complete snapshot."),
        ({"complete": 312}, "All 312 projects have a complete snapshot."),
        ({"complete": 4999, "failed": 1}, "1 of 5,000 projects has no complete snapshot."),
        ({"complete": 303, "failed": 9}, "9 of 312 projects have no complete snapshot."),
        (
            {"complete": 303, "failed": 5, "in_progress": 3, "pending": 1},
            "9 of 312 projects have no complete snapshot.",
        ),
        (
            {"complete": 303, "in_progress": 9},
            "9 of 312 projects have no complete snapshot yet.",
        ),
        ({"pending": 312}, "None of the 312 projects has a complete snapshot yet."),
        ({"verifying": 1}, "The project has no complete snapshot yet."),
        ({"failed": 312}, "None of the 312 projects has a complete snapshot."),
        ({"planned": 312}, "Dry run: 312 projects would be snapshotted; nothing was started."),
        ({"planned": 1}, "Dry run: 1 project would be snapshotted; nothing was started."),
        (
            {"planned": 9, "complete": 303},
            "Dry run: 9 of 312 projects would be snapshotted; nothing was started.",
        ),
    ],
)
def test_the_headline_is_one_sentence(statuses: dict[str, int], sentence: str) -> None:
    words = list(Counter(statuses).elements())
    records = [record(number, status) for number, status in enumerate(words, 1)]

    assert page_content.headline(Summary.of(records)) == sentence
    assert sentence in Reader(render(records)).text


def fetched_of(complete: int, fetched: int, **others: int) -> list[SnapshotRecord]:
    """A batch with so many complete snapshots, of which so many were fetched."""
    words = list(Counter(complete=complete, **others).elements())
    made = [record(number, status) for number, status in enumerate(words, 1)]
    return [
        replace(row, content=content(number)) if number <= fetched else row
        for number, row in enumerate(made, 1)
    ]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (fetched_of(1, 1), "The project has a complete snapshot."),
        (fetched_of(1, 0), "The project has a complete snapshot, but it could not be fetched."),
        (fetched_of(2, 2), "All 2 projects have a complete snapshot."),
        (
            fetched_of(2, 1),
            "All 2 projects have a complete snapshot, but 1 could not be fetched.",
        ),
        (
            fetched_of(2, 0),
            "All 2 projects have a complete snapshot, but none could be fetched.",
        ),
        (
            fetched_of(4000, 2000),
            "All 4,000 projects have a complete snapshot, but 2,000 could not be fetched.",
        ),
        (
            fetched_of(3, 2, failed=1),
            "1 of 4 projects has no complete snapshot, and 1 snapshot could not be fetched.",
        ),
        (
            fetched_of(300, 291, in_progress=12),
            "12 of 312 projects have no complete snapshot yet, "
            "and 9 snapshots could not be fetched.",
        ),
        (fetched_of(0, 0, failed=2), "None of the 2 projects has a complete snapshot."),
    ],
)
def test_the_headline_tells_what_could_not_be_fetched(
    records: list[SnapshotRecord], sentence: str
) -> None:
    assert page_content.headline(Summary.of(records, to_fetch=True)) == sentence
    assert "fetched" not in page_content.headline(Summary.of(records))
    assert sentence in Reader(render(records, to_fetch=True)).text


@given(
    st.lists(st.tuples(st.sampled_from(["complete", "failed", "pending", "x"]), st.booleans())),
    st.booleans(),
)
def test_the_page_is_green_when_and_only_when_the_batch_is_complete(
    rows: list[tuple[str, bool]], to_fetch: bool
) -> None:
    records = [
        replace(record(number, status), content=content(number) if fetched else None)
        for number, (status, fetched) in enumerate(rows, 1)
    ]
    summary = Summary.of(records, to_fetch=to_fetch)

    green = page_content.severity(summary) == "complete"
    assert green == (bool(records) and summary.is_complete)


@given(
    st.dictionaries(st.sampled_from(["complete", "failed", "x", "planned"]), st.integers(1, 400))
)
def test_a_bar_is_full_and_shows_every_kind(statuses: dict[str, int]) -> None:
    words = list(Counter(statuses).elements())
    records = [record(number, status) for number, status in enumerate(words, 1)]

    for group in page_content.groups(records):
        end = 0.0
        for _, start, width in group.bar:
            assert start == pytest.approx(end, abs=0.02)
            assert width > 1.5
            end = start + width
        assert end == pytest.approx(100, abs=0.05)
        assert len(group.bar) == len(statuses)
