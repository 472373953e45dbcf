"""What the page says of a batch, before anything of it is on a page."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot import page_content
from tests.test_page import Reader, record, render


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
def test_the_verdict_is_one_sentence(statuses: dict[str, int], sentence: str) -> None:
    words = list(Counter(statuses).elements())
    records = [record(number, status) for number, status in enumerate(words, 1)]

    assert page_content.verdict(records) == sentence
    assert sentence in Reader(render(records)).text


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
