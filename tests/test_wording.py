"""Numbers and times as people read them."""

import pytest

from fw_gear_sitewide_snapshot.wording import counted, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (12, "12 s"), (60, "1 min 0 s"), (599.6, "10 min 0 s")]
)
def test_lengths_of_time_are_told_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 projects"), (1, "1 project"), (312, "312 projects")]
)
def test_a_number_and_its_noun_agree(count: int, text: str) -> None:
    assert counted(count, "project") == text
