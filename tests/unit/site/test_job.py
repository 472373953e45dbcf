"""Whether a job is another attempt of one, and when the first one began."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fw_gear_sitewide_snapshot.errors import NotFoundError, OutcomeUnknownError
from fw_gear_sitewide_snapshot.site.job import Job, find_first_attempt, parse_job

FIRST, SECOND, THIRD = "1" * 24, "2" * 24, "3" * 24
BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def detail(job_id: str = FIRST, **fields: Any) -> dict[str, Any]:
    times = {"created": "2026-01-31T11:50:00Z", "transitions": {"running": BEGAN.isoformat()}}
    return {"_id": job_id, "attempt": 1, **times, **fields}


class Site:
    """Jobs that are told of, and which of them were asked for."""

    def __init__(self, *details: dict[str, Any]) -> None:
        self.jobs = {document["_id"]: parse_job(document) for document in details}
        self.asked: list[str] = []

    def ask(self, job_id: str) -> Job:
        self.asked.append(job_id)
        if job_id not in self.jobs:
            raise NotFoundError("the site says 404", 404)
        return self.jobs[job_id]

    def first(self, job_id: str) -> Job | None:
        return find_first_attempt(self.ask, self.jobs[job_id])


@pytest.mark.parametrize("fields", [{}, {"attempt": None}, {"previous_job_id": None}])
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
    "details",
    [
        [detail(SECOND, attempt=2)],
        [detail(SECOND, attempt=2, previous_job_id=SECOND)],
        [detail(created=None, transitions=None), detail(SECOND, attempt=2, previous_job_id=FIRST)],
    ],
    ids=["nothing before it", "itself", "no time"],
)
def test_what_does_not_say_when_the_first_began_is_an_unexpected_response(
    details: list[dict[str, Any]],
) -> None:
    with pytest.raises(OutcomeUnknownError, match="when the first attempt began is not told"):
        Site(*details).first(SECOND)


def test_attempts_that_go_round_in_a_circle_end() -> None:
    site = Site(
        detail(attempt=2, previous_job_id=SECOND), detail(SECOND, attempt=3, previous_job_id=FIRST)
    )

    assert site.first(SECOND) is not None


def test_a_first_attempt_that_may_not_be_read_is_not_known() -> None:
    site = Site(detail(SECOND, attempt=2, original_job_id=FIRST, previous_job_id=FIRST))

    with pytest.raises(NotFoundError):
        site.first(SECOND)


@pytest.mark.parametrize("data", [[], {}, {"_id": "x"}, "text"])
def test_what_is_no_job_is_an_unexpected_response(data: object) -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_job(data)
