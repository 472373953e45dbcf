"""The groups and their bars, before anything of them is on a page."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.report import page_content
from tests.support.page import record


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
