"""What has changed since an earlier report: gone, new, renamed or moved, and what holds less."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.models import Project, SnapshotContent, SnapshotRecord, report_order
from fw_gear_sitewide_snapshot.report.changes import Changes, compare

WHOLE = SnapshotContent(9000, "a" * 64, subjects=200, sessions=400, acquisitions=1000, files=5000)
numbers = st.integers(0, 30)
contents = st.none() | st.builds(
    SnapshotContent,
    size_bytes=numbers,
    sha256=st.just("a" * 64),
    subjects=numbers,
    sessions=numbers,
    acquisitions=numbers,
    files=numbers,
)
reports = st.dictionaries(st.integers(0, 9), contents)


def project(number: int, label: str = "Study", group: str = "neuro") -> Project:
    return Project(f"{number:024x}", label, group)


def row(number: int, label: str = "Study", group: str = "neuro", **values: Any) -> SnapshotRecord:
    return SnapshotRecord(project(number, label, group), "5" * 24, status="complete", **values)


def holding(number: int, **counts: Any) -> SnapshotRecord:
    """A project whose fetched snapshot has other counts than WHOLE."""
    return row(number, content=replace(WHOLE, **counts))


def test_the_same_batch_has_not_changed() -> None:
    rows = [row(1), holding(2)]

    assert compare(rows, rows) == Changes(compared=1)
    assert not compare(rows, rows).is_loss


def test_what_is_gone_and_what_is_new_is_told_in_the_report_s_order() -> None:
    changes = compare([row(3, "b"), row(1, "c"), row(2, "a")], [row(5, "e"), row(4, "d"), row(1)])

    assert changes.gone == (project(2, "a"), project(3, "b"))
    assert changes.new == (project(4, "d"), project(5, "e"))


@pytest.mark.parametrize(("label", "group"), [("Trial", "neuro"), ("Study", "cardio")])
def test_a_project_with_another_label_or_group_is_renamed_and_not_gone(
    label: str, group: str
) -> None:
    changes = compare([row(1)], [row(1, label, group)])

    assert changes == Changes(renamed=((project(1), project(1, label, group)),))
    assert not changes.is_loss


def test_a_row_that_a_person_has_added_without_names_is_not_renamed() -> None:
    assert compare([row(1, "", "")], [row(1)]) == Changes()


def test_what_a_project_has_lost_is_told_with_before_and_now_and_the_largest_part() -> None:
    [loss] = compare([holding(1)], [holding(1, subjects=3, files=2500, sessions=900)]).fewer

    assert loss.project == project(1)
    assert loss.counts == (("subjects", 200, 3), ("files", 5000, 2500))
    assert loss.share == pytest.approx(0.985)
    assert loss.described() == "3 subjects of 200 (98 % fewer), 2,500 files of 5,000 (50 % fewer)"


def test_the_largest_loss_comes_first_and_equal_ones_in_the_report_s_order() -> None:
    now = [holding(1, files=4000), holding(2, subjects=0), holding(3, files=4000)]

    changes = compare([holding(number) for number in (3, 2, 1)], now[::-1])

    assert [loss.project for loss in changes.fewer] == [project(2), project(1), project(3)]
    assert changes.compared == 3


@pytest.mark.parametrize(
    ("files", "is_loss", "told"),
    [
        (4501, False, "4,501 files of 5,000 (9 % fewer)"),
        (4500, True, "4,500 files of 5,000 (10 % fewer)"),
        (4999, False, "4,999 files of 5,000 (less than 1 % fewer)"),
        (1, True, "1 files of 5,000 (99 % fewer)"),
        (0, True, "0 files of 5,000 (100 % fewer)"),
    ],
)
def test_a_tenth_and_more_of_something_is_a_loss(files: int, is_loss: bool, told: str) -> None:
    changes = compare([holding(1)], [holding(1, files=files)])

    assert changes.fewer[0].described() == told
    assert changes.is_loss == is_loss
    assert changes.losses == (changes.fewer if is_loss else ())


def test_a_project_that_is_gone_is_a_loss() -> None:
    assert compare([row(1), row(2)], [row(1)]).is_loss


def test_more_of_everything_or_a_smaller_file_is_no_loss() -> None:
    assert compare([holding(1)], [holding(1, subjects=201, size_bytes=1)]).fewer == ()


def test_contents_that_one_of_both_doesn_t_tell_are_not_compared() -> None:
    changes = compare([holding(1), row(2)], [row(1), holding(2, files=0)])

    assert changes == Changes()


@given(reports, reports)
def test_every_project_is_told_once_and_only_what_there_is(
    before: dict[int, SnapshotContent | None], now: dict[int, SnapshotContent | None]
) -> None:
    earlier = [row(number, content=content) for number, content in before.items()]
    later = [row(number, content=content) for number, content in now.items()]

    changes = compare(earlier, later)

    ids = {number: project(number) for number in (*before, *now)}
    assert set(changes.gone) == {ids[n] for n in before if n not in now}
    assert set(changes.new) == {ids[n] for n in now if n not in before}
    assert changes.compared == sum(bool(before[n] and now.get(n)) for n in before)
    shares = [loss.share for loss in changes.fewer]
    assert shares == sorted(shares, reverse=True)
    assert all(0 < share <= 1 for share in shares)
    assert compare(sorted(earlier, key=report_order), later) == changes
