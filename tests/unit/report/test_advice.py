"""Each reason once, with whom it concerns and what to do about it."""

import logging
import re
from dataclasses import replace

import pytest

from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report.advice import (
    group_by_reason,
    may_retry_help,
)
from fw_gear_sitewide_snapshot.report.log_summary import log_summary
from fw_gear_sitewide_snapshot.report.summary import Summary


def failed(number: int, error: str) -> SnapshotRecord:
    project = Project(f"{number:024x}", f"Study {number}", "neuro")
    return SnapshotRecord(project, status="failed", error=error)


def vanished(count: int) -> list[SnapshotRecord]:
    words = "there is no such project, or you can't see it: the site says 404: No project {:024x}"
    return [failed(n, words.format(n)) for n in range(count)]


def advice(error: str, summary: Summary | None = None) -> str:
    """Return what a person can do about an error."""
    [group] = group_by_reason([failed(1, error)], summary or Summary())
    return group.advice


def test_projects_that_vanished_have_one_reason() -> None:
    [group] = group_by_reason(vanished(25), Summary())

    assert len(group.records) == 25
    assert group.text.endswith("the site says 404: No project …")


def test_a_snapshot_that_was_not_fetched_is_no_plain_complete_one() -> None:
    complete = SnapshotRecord(Project("a" * 24, "Study", "neuro"), "5" * 24, status="complete")
    summary = Summary.of([complete], to_fetch=True)

    [group] = group_by_reason(summary.incomplete, summary)

    assert (group.status, group.text) == (
        "complete, not fetched", "the run ended before it was fetched",
    )  # fmt: skip


def test_what_is_copied_elsewhere_is_not_copied_where_it_was_to_be() -> None:
    complete = SnapshotRecord(Project("a" * 24, "Study", "neuro"), "5" * 24, status="complete")
    elsewhere = replace(complete, copied_to="s3://archive-2/a")

    assert not Summary.of([elsewhere], copy_to="s3://archive").is_complete
    assert Summary.of([elsewhere], copy_to="s3://archive-2").is_complete
    assert Summary.of([elsewhere]).copied == (elsewhere,)


@pytest.mark.parametrize(
    "words",
    [
        "build not finished within 2 h",
        "storage backend: the disk is full",
        "there is no such project in the analytics store",
        "the snapshot is gone",
        "it is not known whether a snapshot was started",
        "no connection",
    ],
)
def test_no_advice_is_taken_from_the_site_s_own_words(words: str) -> None:
    assert advice(f"the site reports that it failed: {words}").startswith(
        'A retry ("retry failed") starts another one.'
    )
    assert advice(f"the site says 409: {words}").startswith("The site refuses it")


def test_of_an_audit_no_advice_is_to_retry() -> None:
    audit = Summary(audit_hours=24.0)

    assert advice("the site says 503: busy", audit) == "Audit again later."
    assert "lack a right" in advice("the site says 403: no", audit)


def test_what_is_the_same_in_all_rows_is_told() -> None:
    rows = [failed(n, "the newest complete snapshot is 3 days old") for n in range(60)]

    assert group_by_reason(rows, Summary())[0].text == "the newest complete snapshot is 3 days old"


def test_ages_and_sizes_make_no_reason_another_one() -> None:
    rows = [failed(n, f"the newest complete snapshot is {n + 3} days old") for n in range(60)]
    rows += [failed(n, f"no room: {n}.5 MiB more would have to be free") for n in range(60, 90)]

    assert [group.text for group in group_by_reason(rows, Summary())] == [
        "the newest complete snapshot is … old",
        "no room: … more would have to be free",
    ]


def test_a_snapshot_that_was_not_copied_is_no_plain_complete_one() -> None:
    complete = SnapshotRecord(Project("a" * 24, "Study", "neuro"), "5" * 24, status="complete")
    copied = replace(complete, project=Project("b" * 24, "x", "neuro"), copied_to="s3://b/c")
    summary = Summary.of([complete, copied], copy_to="s3://archive")

    [group] = group_by_reason(summary.incomplete, summary)

    assert (group.status, group.text) == (
        "complete, not copied",
        "the run ended before it was copied",
    )


def test_where_only_the_batch_s_own_files_lack_a_copy_a_retry_helps() -> None:
    assert may_retry_help(Summary(is_batch_copied=False))
    assert not Summary(is_batch_copied=False).is_complete


def test_the_reason_of_one_project_alone_is_told_whole() -> None:
    [group] = group_by_reason(vanished(1), Summary())

    assert group.text == vanished(1)[0].error


def test_the_reason_that_concerns_most_projects_comes_first() -> None:
    rows = [
        failed(1, "the site says 409"),
        failed(2, "the disk is full"),
        failed(3, "the disk is full"),
    ]

    assert [group.text for group in group_by_reason(rows, Summary())] == [
        "the disk is full", "the site says 409",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("the site says 403: Forbidden", "lack a right"),
        ("there is no such project, or you can't see it: the site says 404", "was deleted"),
        ("not finished within 10 min 0 s: the site is still at it, a retry waits", "waits for it"),
        (
            "not known whether a snapshot was started, a retry looks: the site says 403",
            "none is started twice",
        ),
        ("the site reports that it failed: no space", "starts another one"),
        ("download failed: the site says 404", "fetches it again"),
        ("copy failed: no connection to the store, or it broke", "copies it"),
        ("copy failed: there is another file already: s3://b/x", "Nothing is replaced"),
        ("the site says 503", "Retry later"),
        ("no connection to the site: refused", "Retry later"),
        ("download failed: no room to unpack it: 5.0 GiB more", "disk is too small"),
        ("the site says 422: project is archived", "refuses it"),
    ],
)
def test_each_kind_of_reason_has_its_advice(error: str, words: str) -> None:
    assert words in advice(error)


def test_what_nobody_knows_has_none() -> None:
    assert advice("words of somebody's own") == ""


def test_who_waited_too_short_learns_how_long_the_slowest_took() -> None:
    told = advice("not finished within 10 min 0 s", Summary(slowest_seconds=400.0))

    assert "The slowest one took 6 min 40 s." in told


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        ("the site says 403: Forbidden", False),
        ("the site says 422: archived", False),
        (
            "not finished within 12 s: its state could not be asked (the site says 403), a retry",
            True,
        ),
        ("not known whether a snapshot was started, a retry looks for it: the site says 403", True),
        ("the site says 503", True),
        ("words of somebody's own", True),
    ],
)
def test_a_retry_is_suggested_only_where_it_may_help(error: str, helps: bool) -> None:
    assert may_retry_help(Summary.of([failed(1, error)])) is helps


def lines(rows: list[SnapshotRecord], caplog: pytest.LogCaptureFixture, **of: object) -> list[str]:
    caplog.set_level(logging.INFO)
    log_summary(Summary.of(rows, **of), "snapshot_report.csv", 75.0)  # type: ignore[arg-type]
    return [record.getMessage() for record in caplog.records]


def test_a_batch_of_5000_ends_in_a_screen(caplog: pytest.LogCaptureFixture) -> None:
    written = lines(vanished(5_000), caplog)

    assert len(written) == 2
    assert len(re.findall(r"neuro/Study", written[1])) == 20
    assert " and 4,980 more: failed: there is no such project" in written[1]


def test_what_is_not_visible_is_among_the_last_lines(caplog: pytest.LogCaptureFixture) -> None:
    hidden = tuple(Project(f"{n:024x}", "x", "g") for n in range(40))

    written = lines(vanished(3), caplog, hidden=hidden)

    assert written[1] == "This is not the whole site: you are not a member of 40 of its 43 projects"


def test_the_first_of_the_last_lines_says_how_long_the_run_took(
    caplog: pytest.LogCaptureFixture,
) -> None:
    [line, *_] = lines(vanished(1), caplog)

    assert line == "1 project: 1 failed; report: snapshot_report.csv; the run took 1 min 15 s"
