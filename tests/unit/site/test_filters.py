"""What can't be meant in a filter, and what to check where one finds nothing."""

import pytest

from fw_gear_sitewide_snapshot.errors import ConfigError
from fw_gear_sitewide_snapshot.site.filters import check_filter, hints_for


@pytest.mark.parametrize("text", ["label!=~test", "group=a,label !=~ .*-old", "info.site!=~^x$"])
def test_not_like_is_refused_with_the_right_way_to_say_it(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_filter(text)

    assert "matches every project" in str(raised.value)
    assert "=~^(?!.*" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "ALL",
        "label!=test",
        'label!="~test"',
        "label=~^(?!.*test)",
        r"label=a\,label!=~b",
        "created>2026-01-01",
    ],
)
def test_what_can_be_meant_is_not_refused(text: str) -> None:
    check_filter(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('group="neuro"', "by its id, without quotes"),
        ("group=Neuro Imaging", "by its id, without quotes"),
        ("group=2024", "could be a number or a date: group=~^2024$"),
        ("label=2024", 'needs quotes: label="2024"'),
        ("label=2026-01-31", "needs quotes"),
        ("label=true", "needs quotes"),
        ("label=study", "upper and lower case differ"),
        ("group=a,label=~x", "upper and lower case differ"),
    ],
)
def test_what_finds_nothing_has_something_to_check(text: str, hint: str) -> None:
    assert hint in hints_for(text)


@pytest.mark.parametrize("text", ["ALL", "created>2026-01-01", "tags=x"])
def test_what_nobody_knows_has_no_hint(text: str) -> None:
    assert hints_for(text) == ""


def test_a_label_in_quotes_needs_none() -> None:
    assert "quotes" not in hints_for('label="2024"')
