"""Whether a job is another attempt of one, and when the first one began."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fw_gear_sitewide_snapshot.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
)
from fw_gear_sitewide_snapshot.site.job import Job, find_first_attempt, parse_job

FIRST, SECOND, THIRD = "1" * 24, "2" * 24, "3" * 24
BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def detail(job_id: str = FIRST, **fields: Any) -> dict[str, Any]:
    times = {"created": "2026-01-31T11:50:00Z", "transitions": {"running": BEGAN.isoformat()}}
    return {"_id": job_id, "attempt": 1, **times, **fields}


class Site:
    """Jobs that are told of, and which of them were asked for."""

    def __init__(self, *details: dict[str, Any]) -> None:
        self.jobs = {each["_id"]: parse_job(each, each["_id"]) for each in details}
        self.asked: list[str] = []

    def ask(self, job_id: str) -> Job:
        self.asked.append(job_id)
        if job_id not in self.jobs:
            raise NotFoundError("the site says 404", 404)
        return self.jobs[job_id]

    def first(self, job_id: str) -> Job | None:
        return find_first_attempt(self.ask, self.jobs[job_id])


@pytest.mark.parametrize("fields", [{}, {"previous_job_id": None}])
def test_a_first_attempt_has_none_before_it_and_nothing_more_is_asked(fields: Any) -> None:
    site = Site(detail(**fields))

    assert site.first(FIRST) is None
    assert site.asked == []


def test_the_first_attempt_is_the_one_that_the_site_names() -> None:
    later = {"attempt": 3, "previous_job_id": SECOND, "original_job_id": FIRST}
    site = Site(detail(), detail(THIRD, **later))

    first = site.first(THIRD)

    assert first is not None
    assert (first.id, first.began) == (FIRST, BEGAN)
    assert site.asked == [FIRST]


def test_where_it_is_not_named_the_attempts_are_followed_back() -> None:
    second = detail(SECOND, attempt=2, previous_job_id=FIRST)
    site = Site(detail(), second, detail(THIRD, attempt=3, previous_job_id=SECOND))

    first = site.first(THIRD)

    assert first is not None
    assert first.id == FIRST


@pytest.mark.parametrize("transitions", [None, {}, {"running": "soon"}, {"pending": "2026-01-31"}])
def test_one_that_never_ran_began_when_it_was_created(transitions: Any) -> None:
    site = Site(detail(transitions=transitions), detail(SECOND, attempt=2, previous_job_id=FIRST))

    first = site.first(SECOND)

    assert first is not None
    assert first.began == datetime(2026, 1, 31, 11, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ([detail(SECOND, attempt=None)], "attempt is not told"),
        ([detail(SECOND, attempt=2, created=None, transitions=None)], "when the job began"),
    ],
    ids=["no attempt", "no time"],
)
def test_what_does_not_tell_of_the_job_is_like_a_refusal(
    details: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(RejectedError, match=words):
        Site(*details).first(SECOND)


@pytest.mark.parametrize(
    "details",
    [
        [detail(SECOND, attempt=2)],
        [detail(SECOND, attempt=2, previous_job_id=SECOND)],
        [detail(SECOND, attempt=2, previous_job_id=FIRST)],
        [detail(created=None, transitions=None), detail(SECOND, attempt=2, previous_job_id=FIRST)],
    ],
    ids=["nothing before it", "itself", "refused", "no time"],
)
def test_where_no_earlier_attempt_is_told_of_what_was_made_since_this_one_began_is_taken(
    details: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    first = Site(*details).first(SECOND)

    assert first is not None
    assert first.began == BEGAN
    [line] = caplog.messages
    assert line.startswith("The site does not tell when the job's first attempt began, only of")


def test_where_the_attempts_end_before_the_first_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site(detail(SECOND, attempt=2), detail(THIRD, attempt=3, previous_job_id=SECOND))

    first = site.first(THIRD)

    assert first is not None
    assert (first.id, first.began) == (SECOND, BEGAN)
    assert caplog.messages[0].endswith("only of 2026-01-31 12:00:00+00:00: it is not named")


def job_id(created: datetime, number: int = 1) -> str:
    """Return an id as the site's database makes it."""
    return f"{int(created.timestamp()):08x}{number:016x}"


def test_of_an_attempt_that_is_not_told_of_the_id_tells_when_it_was_created(
    caplog: pytest.LogCaptureFixture,
) -> None:
    created = BEGAN - timedelta(days=3)
    again = job_id(BEGAN - timedelta(hours=1))
    site = Site(detail(again, attempt=2, original_job_id=job_id(created)))

    first = site.first(again)

    assert first is not None
    assert (first.id, first.began) == (job_id(created), created)
    assert caplog.messages == [
        "The site does not tell when the job's first attempt began, only of "
        "2026-01-28 12:00:00+00:00: the site says 404"
    ]


@pytest.mark.parametrize(
    ("again", "earlier"),
    [
        (job_id(BEGAN), job_id(BEGAN + timedelta(hours=1), 0)),
        (job_id(BEGAN - timedelta(days=400)), job_id(BEGAN - timedelta(days=401))),
        (job_id(BEGAN), "original"),
        ("again", job_id(BEGAN - timedelta(hours=1))),
    ],
    ids=["in the future", "of another age", "none like it", "this one's none like it"],
)
def test_an_id_that_may_hold_no_time_is_not_believed(again: str, earlier: str) -> None:
    first = Site(detail(again, attempt=2, previous_job_id=earlier)).first(again)

    assert first is not None
    assert first.began == BEGAN


def test_no_moment_is_taken_that_is_later_than_one_that_is_told() -> None:
    late = detail(transitions={"running": (BEGAN + timedelta(days=1)).isoformat()})
    site = Site(late, detail(SECOND, attempt=2, previous_job_id=FIRST))

    first = site.first(SECOND)

    assert first is not None
    assert (first.id, first.began) == (FIRST, BEGAN)


def test_of_very_many_attempts_the_earliest_that_is_told_of_counts() -> None:
    ids = [f"{number:024}" for number in range(1, 40)]
    details = [
        detail(
            each,
            attempt=number,
            previous_job_id=f"{number - 1:024}",
            transitions={"running": (BEGAN + timedelta(hours=number)).isoformat()},
        )
        for number, each in enumerate(ids, 1)
    ]

    first = Site(*details).first(ids[-1])

    assert first is not None
    assert first.began == BEGAN + timedelta(hours=len(ids) - 20)


def test_attempts_that_go_round_in_a_circle_end() -> None:
    site = Site(
        detail(attempt=2, previous_job_id=SECOND), detail(SECOND, attempt=3, previous_job_id=FIRST)
    )

    assert site.first(SECOND) is not None


def test_an_earlier_attempt_that_can_t_be_asked_for_is_not_passed_over() -> None:
    def ask(_: str) -> Job:
        raise ServiceUnavailableError("the site says 503", 503)

    job = parse_job(detail(SECOND, attempt=2, previous_job_id=FIRST), SECOND)
    with pytest.raises(ServiceUnavailableError):
        find_first_attempt(ask, job)


@pytest.mark.parametrize("data", [[], {"_id": "x"}, {"id": SECOND}, {"_id": [FIRST]}, "text"])
def test_what_is_not_the_job_that_was_asked_for_is_an_unexpected_response(data: object) -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_job(data, FIRST)


@pytest.mark.parametrize("data", [{}, {"_id": FIRST}, {"id": FIRST, "attempt": "x"}])
def test_of_a_job_nothing_need_be_told(data: object) -> None:
    assert parse_job(data, FIRST) == Job(FIRST)
