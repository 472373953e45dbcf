"""What a status, its headers and its words mean for what was asked: all without HTTP."""

import json
import math
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from fw_gear_sitewide_snapshot.site.http import (
    age_of,
    date_of,
    error_for,
    error_message,
    find_message,
    http_date,
)

OWN = b'{"message": "The site\'s own words"}'
ANOTHER_SERVERS = {
    "plain text": b"default backend - 404",
    "page": b"<html><head><title>403 Forbidden</title></head><body>Forbidden</body></html>",
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "empty": b"",
    "null": b"null",
    "text": b'"no"',
    "list": b"[]",
    "object": b"{}",
    "another object": b'{"code": 404, "status": "not found"}',
    "bytes": b"\xff\xfe\x00",
    "cut": OWN[:-2],
    "deep": b"[" * 60_000,
}
NOT_DONE = {421, 425, 429, 503}
UNKNOWN = {408, 499}
TIME = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


def kind_of(status: int, *, is_own: bool) -> type[SiteError]:
    """Return the error that the contract's table names."""
    if status in NOT_DONE or (status in {403, 404} and not is_own):
        return ServiceUnavailableError
    if status in UNKNOWN or status >= 500:
        return OutcomeUnknownError
    return NotFoundError if status == 404 else RejectedError


# Statuses


@pytest.mark.parametrize("status", range(400, 600))
def test_a_status_with_the_sites_own_words_means_what_the_table_says(status: int) -> None:
    error = error_for(status, {}, OWN)
    assert type(error) is kind_of(status, is_own=True)
    assert error.status == status
    assert str(error) == f"the site says {status}: The site's own words"


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("body", ANOTHER_SERVERS.values(), ids=ANOTHER_SERVERS)
def test_a_status_from_another_server_means_what_the_table_says(body: bytes) -> None:
    for status in range(400, 600):
        error = error_for(status, {}, body)
        assert type(error) is kind_of(status, is_own=False)
        assert error.status == status
        assert str(error).startswith(f"the site says {status}")


@pytest.mark.parametrize("name", ["message", "detail", "title"])
def test_the_sites_own_404_is_final_in_each_of_its_shapes(name: str) -> None:
    body = json.dumps({name: "there is no such project"}).encode()
    assert type(error_for(404, {}, body)) is NotFoundError
    assert type(error_for(403, {}, body)) is RejectedError


@given(
    st.integers(min_value=400, max_value=999),
    st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text()),
    st.binary() | st.sampled_from([OWN, *ANOTHER_SERVERS.values()]),
)
def test_only_these_statuses_say_for_certain_that_nothing_was_done(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    error = error_for(status, headers, body)
    assert error.status == status
    assert str(error).isprintable()
    if isinstance(error, ServiceUnavailableError):
        assert status in NOT_DONE | {403, 404}
        assert error.retry_after is None or error.retry_after >= 0
    else:
        assert status not in NOT_DONE


# How long to wait


@pytest.mark.parametrize("status", sorted(NOT_DONE))
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_a_busy_site_says_how_long_to_wait(
    status: int, header: str | None, seconds: float | None
) -> None:
    error = error_for(status, {} if header is None else {"Retry-After": header})
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Fri, 31 Dec 2027 23:59:29 GMT", 30.0),
        ("Sat, 01 Jan 2028 00:00:29 GMT", 0.0),
        ("today", None),
        (None, None),
    ],
)
def test_a_date_to_come_back_at_is_read_by_the_clock_of_the_answer(
    date: str | None, seconds: float | None
) -> None:
    headers = {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"} | ({"Date": date} if date else {})
    error = error_for(503, headers)
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == seconds


# The site's words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "project is archived"}', "project is archived"),
        (b'{"detail": "project is archived"}', "project is archived"),
        (b'{"detail": [{"msg": "project is archived"}]}', "project is archived"),
        (b'{"detail": [{"loc": ["a"], "msg": "one"}, {"msg": "two"}]}', "one; two"),
        (b'{"detail": ["one", "two"]}', "one; two"),
        (b'{"detail": {"message": "inner"}}', "inner"),
        (b'{"message": "outer", "detail": [{"msg": "inner"}]}', "outer: inner"),
        (b'{"message": "same", "detail": "same"}', "same"),
        (b'{"type": "about:blank", "title": "Archived", "detail": "No."}', "Archived: No."),
        (b'{"error": "no"}', "no"),
        (b'{"error": {"code": 5, "message": "no"}}', "no"),
        (b'{"errors": [{"title": "no"}]}', "no"),
        (b'{"reason": "no"}', "no"),
        (b'"just text"', "just text"),
        (b"plain text\r\nin lines", "plain text in lines"),
        (b"<html><style>b {}</style><h1>Bad</h1>Gate<br>way</html>", "Bad Gate way"),
        (b"<SCRIPT type=a>x < 1</SCRIPT>Sorry", "Sorry"),
        (b"", ""),
        (b"null", ""),
        (b"[]", ""),
        (b"{}", ""),
        (b'{"error": "forbidden", "error_description": "locked"}', "forbidden: locked"),
        (b'{"message": null}', '{"message": null}'),
        (b'{"fault": {"faultstring":\n"locked"}}', '{"fault": {"faultstring": "locked"}}'),
        (b'{"errors": {"project": ["locked"]}}', '{"errors": {"project": ["locked"]}}'),
        (b'{"message": 5}', '{"message": 5}'),
        (b'{"message": "two\\nlines\\u001b"}', r"two lines\x1b"),
        (b"\xef\xbb\xbftext", r"\ufefftext"),
    ],
)
def test_the_sites_words_are_found_whatever_their_shape(body: bytes, words: str) -> None:
    assert error_message(body)[0] == words


def test_problem_json_is_told_in_full() -> None:
    words = error_message(
        b'{"title": "Archived", "status": 422, "detail": "The project is kept."}'
    )[0]
    assert "Archived" in words
    assert "The project is kept." in words


def test_long_words_are_cut_to_a_line_that_a_person_reads() -> None:
    for body in (b"x" * 60_000, json.dumps({"message": "x" * 60_000}).encode()):
        words = error_message(body)[0]
        assert len(words) == 300
        assert words.endswith("…")


def test_a_document_of_any_depth_has_bounded_words() -> None:
    deep: object = "bottom"
    for _ in range(100):
        deep = {"detail": [deep]}
    assert find_message(deep) == ""


@given(st.binary() | st.text().map(str.encode))
def test_any_body_is_one_line(body: bytes) -> None:
    words, _ = error_message(body)
    assert words.isprintable()
    assert len(words) <= 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["message", "detail", "error", "x"]), inner)
    ),
)


@given(JSON)
def test_any_json_is_one_line(value: object) -> None:
    words, is_own = error_message(json.dumps(value).encode())
    assert words.isprintable()
    assert not is_own or isinstance(value, dict)


# Dates


@pytest.mark.parametrize(
    "header",
    [
        "Sat, 31 Jan 2026 12:00:05 GMT",
        "Sat, 31 Jan 2026 12:00:05 +0000",
        "Sat, 31 Jan 2026 14:00:05 +0200",
        "Sat, 31 Jan 2026 12:00:05 -0000",
        "Sat, 31 Jan 2026 12:00:05",
    ],
)
def test_a_date_is_read_in_utc(header: str) -> None:
    assert http_date(header) == TIME
    assert date_of({"Date": header}) == TIME


@pytest.mark.parametrize("age", ["0", " 0 "])
def test_an_answer_that_has_just_come_to_a_cache_is_as_good_as_the_sites(age: str) -> None:
    assert date_of({"Date": "Sat, 31 Jan 2026 12:00:05 GMT", "Age": age}) == TIME


@pytest.mark.parametrize(("age", "passed"), [("1", 0), ("5", 0), ("7200", 7195)])
def test_an_answer_that_a_cache_has_kept_tells_the_time_when_it_came(
    age: str, passed: float
) -> None:
    date = date_of({"Date": "Sat, 31 Jan 2026 12:00:05 GMT", "Age": age})
    assert date == TIME + timedelta(seconds=passed)


@pytest.mark.parametrize("age", ["-1", "soon", "", "00:10", "9" * 20, "9" * 400])
def test_an_answer_that_a_cache_has_kept_for_who_knows_how_long_tells_no_time(age: str) -> None:
    assert date_of({"Date": "Sat, 31 Jan 2026 12:00:05 GMT", "Age": age}) is None
    assert date_of({"Age": age}) is None


@pytest.mark.parametrize(
    ("headers", "age"),
    [
        ({}, 0.0),
        ({"Age": "0"}, 0.0),
        ({"Age": " 45 "}, 45.0),
        *(({"Age": age}, math.inf) for age in ("", "-1", "1.5", "soon", "nan", "3, 4", "9" * 400)),
    ],
)
def test_an_age_is_how_long_a_cache_has_kept_an_answer(headers: dict[str, str], age: float) -> None:
    assert age_of(headers) == age


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_date_is_read_alike_in_every_zone_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        date = http_date("Sat, 31 Jan 2026 12:00:05 -0000")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert date == TIME


@given(st.none() | st.text() | st.from_regex(r"Sat, \d+ Jan \d+ \d+:\d+:\d+ \+\d+"))
def test_a_date_that_cannot_be_read_is_none(header: str | None) -> None:
    date = http_date(header)
    assert date is None or date.tzinfo is UTC
