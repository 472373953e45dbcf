"""What the page says first: headline and colour, what is not covered, what has changed."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord
from fw_gear_sitewide_snapshot.report import page_headline
from fw_gear_sitewide_snapshot.report.changes import Changes, Loss
from fw_gear_sitewide_snapshot.report.summary import Summary
from tests.support.page import Reader, content, record, render, render_summary


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
def test_the_headline_is_one_sentence(statuses: dict[str, int], sentence: str) -> None:
    words = list(Counter(statuses).elements())
    records = [record(number, status) for number, status in enumerate(words, 1)]

    assert page_headline.headline(Summary.of(records)) == sentence
    assert sentence in Reader(render(records)).text


def fetched_of(complete: int, fetched: int, **others: int) -> list[SnapshotRecord]:
    """A batch with so many complete snapshots, of which so many were fetched."""
    words = list(Counter(complete=complete, **others).elements())
    made = [record(number, status) for number, status in enumerate(words, 1)]
    return [
        replace(row, content=content(number)) if number <= fetched else row
        for number, row in enumerate(made, 1)
    ]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (fetched_of(1, 1), "The project has a complete snapshot."),
        (fetched_of(1, 0), "The project has a complete snapshot, but it could not be fetched."),
        (fetched_of(2, 2), "All 2 projects have a complete snapshot."),
        (
            fetched_of(2, 1),
            "All 2 projects have a complete snapshot, but 1 could not be fetched.",
        ),
        (
            fetched_of(2, 0),
            "All 2 projects have a complete snapshot, but none could be fetched.",
        ),
        (
            fetched_of(4000, 2000),
            "All 4,000 projects have a complete snapshot, but 2,000 could not be fetched.",
        ),
        (
            fetched_of(3, 2, failed=1),
            "1 of 4 projects has no complete snapshot, and 1 snapshot could not be fetched.",
        ),
        (
            fetched_of(300, 291, in_progress=12),
            "12 of 312 projects have no complete snapshot yet, "
            "and 9 snapshots could not be fetched.",
        ),
        (fetched_of(0, 0, failed=2), "None of the 2 projects has a complete snapshot."),
    ],
)
def test_the_headline_tells_what_could_not_be_fetched(
    records: list[SnapshotRecord], sentence: str
) -> None:
    assert page_headline.headline(Summary.of(records, to_fetch=True)) == sentence
    assert "fetched" not in page_headline.headline(Summary.of(records))
    assert sentence in Reader(render(records, to_fetch=True)).text


def test_the_headline_tells_what_could_not_be_copied() -> None:
    summary = Summary.of([record(1), record(2)], copy_to="s3://archive")

    assert page_headline.headline(summary) == (
        "All 2 projects have a complete snapshot, but none could be copied."
    )
    assert page_headline.severity(summary) == "failed"


@given(
    st.lists(st.tuples(st.sampled_from(["complete", "failed", "pending", "x"]), st.booleans())),
    st.booleans(),
)
def test_the_page_is_green_when_and_only_when_the_batch_is_complete(
    rows: list[tuple[str, bool]], to_fetch: bool
) -> None:
    records = [
        replace(record(number, status), content=content(number) if fetched else None)
        for number, (status, fetched) in enumerate(rows, 1)
    ]
    summary = Summary.of(records, to_fetch=to_fetch)

    green = page_headline.severity(summary) == "complete"
    assert green == (bool(records) and summary.is_complete)


# ----------------------------------------------------------------------------------- what is hidden


def hidden(count: int) -> tuple[Project, ...]:
    """Projects that the user can't see, in two groups."""
    return tuple(Project(f"{n + 900:024x}", f"Hidden {n}", f"lab-{n % 2}") for n in range(count))


@pytest.mark.parametrize(
    ("statuses", "count", "sentence", "kind"),
    [
        (
            {"complete": 3},
            40,
            "3 of the site’s 43 projects have a complete snapshot; you are not a member of 40.",
            "warning",
        ),
        (
            {"complete": 1},
            1,
            "1 of the site’s 2 projects has a complete snapshot; you are not a member of 1.",
            "warning",
        ),
        (
            {"complete": 2, "failed": 1},
            40,
            "1 of 3 projects has no complete snapshot; you are not a member of 40 more.",
            "failed",
        ),
        (
            {"complete": 2, "pending": 1},
            1,
            "1 of 3 projects has no complete snapshot yet; you are not a member of 1 more.",
            "running",
        ),
        (
            {"planned": 3},
            40,
            "Dry run: 3 projects would be snapshotted; nothing was started; "
            "you are not a member of 40 more.",
            "planned",
        ),
        ({"complete": 3}, 0, "All 3 projects have a complete snapshot.", "complete"),
    ],
)
def test_what_is_not_visible_is_in_the_headline(
    statuses: dict[str, int], count: int, sentence: str, kind: str
) -> None:
    words = list(Counter(statuses).elements())
    records = [record(number, status) for number, status in enumerate(words, 1)]
    summary = Summary.of(records, hidden=hidden(count))
    html = render_summary(records, summary, is_all=True)

    assert page_headline.headline(summary) == sentence
    assert f'<p class="headline mark {kind}">{sentence}</p>' in html
    assert "It is not known" not in html


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [
        (["planned", "complete"], "1 of 2 projects has no complete snapshot of the last 24 hours."),
        (
            ["planned", "planned", "failed"],
            "2 of 3 projects have no complete snapshot of the last 24 hours; "
            "1 is being built or not known.",
        ),
        (["in_progress", "pending"], "2 of 2 projects are being built or not known."),
    ],
)
def test_an_audit_claims_no_more_than_is_known(statuses: list[str], sentence: str) -> None:
    records = [replace(record(n), status=status) for n, status in enumerate(statuses)]

    assert page_headline.headline(Summary.of(records, audit_hours=24.0)) == sentence


def test_a_batch_whose_report_could_not_be_copied_is_not_shown_as_complete() -> None:
    summary = replace(Summary.of([record(1)]), is_batch_copied=False)

    assert page_headline.headline(summary) == (
        "The project has a complete snapshot; the report itself could not be copied."
    )
    assert page_headline.severity(summary) == "failed"


def test_an_audit_tells_what_is_not_visible() -> None:
    summary = Summary.of([record(1), record(2)], hidden=hidden(5), audit_hours=24.0)

    assert page_headline.headline(summary) == (
        "2 of the site’s 7 projects have a snapshot of the last 24 hours; "
        "you are not a member of 5."
    )
    assert page_headline.severity(summary) == "warning"


def test_the_groups_of_what_is_not_visible_are_counted() -> None:
    records = [record(1)]
    reader = Reader(render_summary(records, Summary.of(records, hidden=hidden(5)), is_all=True))

    assert " ".join(reader.section("You are not a member of").split()).endswith("lab-0 3 lab-1 2")


@pytest.mark.parametrize(("is_all", "is_said"), [(True, True), (False, False)])
def test_that_it_is_not_known_what_is_not_visible_is_said_of_all_alone(
    is_all: bool, is_said: bool
) -> None:
    records = [record(1)]
    html = render_summary(records, Summary.of(records), is_all=is_all)

    assert ("It is not known whether the site has" in html) == is_said
    assert 'class="headline mark complete"' in html


# ------------------------------------------------------------------------------------- what changed

GONE = Project(f"{70:024x}", "Closed", "group")
LOST = Loss(Project(f"{1:024x}", "Project 1", "group"), (("subjects", 200, 3),), 0.985)
SMALL = Loss(Project(f"{2:024x}", "Project 2", "group"), (("files", 10_000, 9_999),), 0.0001)


@pytest.mark.parametrize(
    ("changes", "clause", "kind"),
    [
        (Changes(gone=(GONE,)), "; since the earlier batch, 1 is gone.", "warning"),
        (Changes(fewer=(LOST, SMALL)), "; since the earlier batch, 1 holds less.", "warning"),
        (
            Changes(gone=(GONE, GONE), fewer=(LOST, LOST, SMALL)),
            "; since the earlier batch, 2 are gone and 2 hold less.",
            "warning",
        ),
        (Changes(new=(GONE,), fewer=(SMALL,)), ".", "complete"),
        (None, ".", "complete"),
    ],
)
def test_a_loss_is_in_the_headline(changes: Changes | None, clause: str, kind: str) -> None:
    summary = Summary.of([record(1), record(2)], changes=changes)

    expected = f"All 2 projects have a complete snapshot{clause}"
    assert page_headline.headline(summary) == expected
    assert page_headline.severity(summary) == kind


def test_a_failure_stays_one_beside_a_loss() -> None:
    summary = Summary.of([record(1), record(2, "failed")], changes=Changes(gone=(GONE,)))

    assert page_headline.severity(summary) == "failed"


def test_what_has_changed_is_told_losses_first() -> None:
    records = [record(1), record(2)]
    old = Project(f"{3:024x}", "Old name", "group")
    now = replace(old, label="New name")
    changes = Changes((GONE,), (replace(GONE, label="Fresh"),), ((old, now),), (LOST, SMALL))
    reader = Reader(render_summary(records, Summary.of(records, changes=changes)))

    assert " ".join(reader.section("Changed since the earlier batch").split()) == (
        "Gone: deleted, or not visible to you 1 project group/Closed "
        "Less than before 2 projects "
        "group/Project 1 3 subjects of 200 (98 % fewer) "
        "group/Project 2 9,999 files of 10,000 (less than 1 % fewer) "
        "New 1 project group/Fresh "
        "Renamed or moved 1 project group/New name was group/Old name"
    )


def test_that_nothing_has_changed_is_said_where_it_was_asked() -> None:
    records = [record(1)]

    assert "No project is gone" in render_summary(records, Summary.of(records, changes=Changes()))
    assert "earlier batch" not in render(records)


def test_of_many_changes_the_first_are_named() -> None:
    gone = tuple(replace(GONE, id=f"{n:024x}", label=f"Project {n}") for n in range(1_234))
    records = [record(1)]
    reader = Reader(render_summary(records, Summary.of(records, changes=Changes(gone=gone))))

    assert "and 1,134 more" in reader.text
    assert "Project 99" in reader.text
    assert "Project 100" not in reader.text


@pytest.mark.parametrize(
    ("compared", "words"),
    [
        (0, "; contents were not compared, which takes two batches that were fetched"),
        (3, ", and of 3 projects that were compared none holds less"),
    ],
)
def test_the_page_claims_nothing_of_contents_that_were_not_compared(
    compared: int, words: str
) -> None:
    summary = Summary.of([record(1)], changes=Changes(compared=compared))

    text = Reader(render_summary([record(1)], summary)).text

    assert f"No project is gone, new or renamed{words}." in text
