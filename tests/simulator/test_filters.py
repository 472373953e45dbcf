"""The finder's filter grammar."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_site_simulator.filters import FilterError, parse_filter, parse_value
from flywheel_site_simulator.identifiers import Identifier

PROJECT_ID = "65b8f0c2a1b2c3d4e5f60718"
PROJECT = {
    "_id": Identifier(PROJECT_ID),
    "label": "Ageing, part 2-accepted",
    "group": "neuro",
    "parents": {"group": "neuro"},
    "created": datetime(2026, 1, 31, 12, tzinfo=UTC),
    "tags": ["ready", "2024"],
    "info": {"site": "Berlin", "n": 12, "rate": 0.5, "open": True, "owner": None},
}


def matches(text: str) -> bool:
    return parse_filter(text)(PROJECT)


@pytest.mark.parametrize(
    "text",
    [
        "group=neuro",
        "parents.group=neuro",
        "group!=cardio",
        "label=~accepted",
        "label=~^Ageing",
        "label=~-accepted$",
        r"label=Ageing\, part 2-accepted",
        r'label="Ageing\, part 2-accepted"',
        r"label=~^\w+\, part \d",
        f"_id={PROJECT_ID}",
        f"id={PROJECT_ID}",
        f"id={PROJECT_ID.upper()}",
        "tags=ready",
        'tags="2024"',
        "tags=~^rea",
        "tags!=done",
        "info.site=Berlin",
        "info.n=12",
        "info.n=12.0",
        "info.n>11",
        "info.n>=12",
        "info.n<1e2",
        "info.n<=12",
        "info.rate=.5",
        "info.open=true",
        "info.owner=null",
        "info.missing=null",
        "info.missing!=1",
        "created=2026-01-31T12:00",
        "created=2026-01-31T12:00:00",
        "created=2026-01-31T12:00:00.000",
        "created>2026-01-31",
        "created<2026-02-01",
        "group>n",
        "group=neuro,label=~accepted,info.n>1",
    ],
)
def test_a_clause_that_holds_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "group=Neuro",
        "group=neuro,group=cardio",
        "group!=neuro",
        "label=Ageing",
        "label=~ACCEPTED",
        "tags=2024",
        "tags!=ready",
        "info.n=13",
        "info.n!=12",
        'info.n="12"',
        "info.n>a",
        "info.open=1",
        "info.open=false",
        "info.site>1",
        "info.site.more=Berlin",
        "info.missing=1",
        "info.missing>0",
        "info.missing=~.",
        "info.owner>=null",
        "created>2026-02-01",
        'created="2026-01-31T12:00"',
        "_id=~65",
        f'_id="{PROJECT_ID}"',
        "nonsense=1",
    ],
)
def test_a_clause_that_does_not_hold_matches_nothing(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024", 2024),
        ('"2024"', "2024"),
        ("-1.5e3", -1500.0),
        ("null", None),
        ('"null"', "null"),
        ("true", True),
        ("True", "True"),
        ("nan", "nan"),
        ("1_000", "1_000"),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:30:10.5", datetime(2026, 1, 31, 12, 30, 10, 500_000, UTC)),
        ("2026-13-45", "2026-13-45"),
        ("", ""),
        ('"', '"'),
        ("neuro", "neuro"),
    ],
)
def test_a_value_gets_the_type_that_it_looks_like(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert (parsed, type(parsed)) == (value, type(value))


def test_24_hex_digits_are_an_id_and_not_the_text() -> None:
    assert isinstance(parse_value(PROJECT_ID), Identifier)
    assert not parse_filter(f"label={PROJECT_ID}")({"label": PROJECT_ID})
    assert parse_filter(f'label="{PROJECT_ID}"')({"label": PROJECT_ID})


def test_a_label_of_digits_is_found_in_quotes_only() -> None:
    assert not parse_filter("label=2024")({"label": "2024"})
    assert parse_filter('label="2024"')({"label": "2024"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("neuro", "'neuro' has no operator"),
        ("group=neuro,", "'' has no operator"),
        ("group=neuro,label", "'label' has no operator"),
        ("ALL", "'ALL' has no operator"),
        ("=neuro", "no key"),
        ("label=~(", "no regular expression"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(FilterError, match="Invalid filter") as refusal:
        parse_filter(text)
    assert words in str(refusal.value)


@given(st.text(alphabet=st.characters(exclude_characters='",\\')))
def test_a_quoted_label_is_found_as_it_stands(label: str) -> None:
    assert parse_filter(f'label="{label}"')({"label": label})


@given(st.text())
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        matched = parse_filter(text)(PROJECT)
    except FilterError:
        matched = False
    assert matched in (True, False)
