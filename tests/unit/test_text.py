"""Numbers, sizes and times as people read them."""

import pytest

from fw_gear_sitewide_snapshot.text import counted, duration, listed, one_line, size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 projects"), (1, "1 project"), (312, "312 projects"), (5000, "5,000 projects")],
)
def test_a_number_and_its_noun_agree(count: int, text: str) -> None:
    assert counted(count, "project") == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "a"), (3, "a, a, a"), (1004, "a, a, a and 1,001 more")]
)
def test_of_many_names_the_first_are_told(count: int, text: str) -> None:
    assert listed(["a"] * count, most=3) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (999 << 20, "999.0 MiB"),
        (1023 << 20, "1.0 GiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (5000 << 40, "5,000.0 TiB"),
    ],
)
def test_sizes_are_told_for_people(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (12, "12 s"), (60, "1 min 0 s"), (599.6, "10 min 0 s")]
)
def test_lengths_of_time_are_told_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_joins_letters_and_emoji_is_no_control_character() -> None:
    assert one_line("می\u200cخواهم 👨\u200d👩") == "می\u200cخواهم 👨\u200d👩"
    assert one_line("a\u202eb\u200bc\x1b") == r"a\u202eb\u200bc\x1b"
