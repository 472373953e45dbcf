"""The page of a batch that is too large to be read: what is in it, what is not, and its size."""

import json
import re
from dataclasses import replace

import pytest

from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord, SnapshotStatus
from fw_gear_sitewide_snapshot.report import page_content, page_table
from fw_gear_sitewide_snapshot.report.columns import COLUMNS, to_row
from tests.support import measure
from tests.support.page import Reader, batch, record, render

pytestmark = pytest.mark.usefixtures("unmeasured")
AT_ONCE, LISTED = page_table.MOST_AT_ONCE, page_table.MOST_LISTED


@pytest.fixture(scope="module")
def records() -> list[SnapshotRecord]:
    """A batch of 1,000 rows more than are listed, by name."""
    made = batch(LISTED + 1_000, fetched=True)
    return sorted(made, key=lambda made: (made.project.group, made.project.label))


@pytest.fixture(scope="module")
def incomplete(records: list[SnapshotRecord]) -> list[SnapshotRecord]:
    return [made for made in records if not made.is_complete]


@pytest.fixture(scope="module")
def html(records: list[SnapshotRecord]) -> str:
    with measure.nothing():
        return render(records)


@pytest.fixture(scope="module")
def reader(html: str) -> Reader:
    with measure.nothing():
        return Reader(html)


def data(html: str) -> list[list[str]]:
    """The report's cells of the rows that the page's script knows."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    above: list[str | int] = []
    lines = []
    for line in json.loads(found[1]):
        above = [above[at] if cell == 0 else cell for at, cell in enumerate(line)]
        lines.append([str(above[cell - 1] if isinstance(cell, int) else cell) for cell in above])
    return [line[: len(COLUMNS)] for line in lines]


def numbered(count: int, incomplete: int) -> list[SnapshotRecord]:
    """A batch whose last rows are not complete."""
    done = [record(n) for n in range(count - incomplete)]
    return done + [record(n, "failed", "no rights") for n in range(count - incomplete, count)]


def test_of_many_rows_those_that_are_not_complete_come_first(
    reader: Reader, incomplete: list[SnapshotRecord]
) -> None:
    _, *rows, _ = reader.tables["projects"]
    statuses = [row[2].replace(" ", "_") for row in rows]

    assert len(rows) == AT_ONCE
    assert statuses[: len(incomplete)] == [made.status for made in incomplete]
    assert set(statuses[len(incomplete) :]) == {"complete"}


def test_of_too_many_rows_complete_ones_are_left_out_of_the_data(
    html: str, records: list[SnapshotRecord], incomplete: list[SnapshotRecord]
) -> None:
    complete = [made for made in records if made.is_complete]
    listed = [*incomplete, *complete[: LISTED - len(incomplete)]]

    assert data(html) == [list(COLUMNS), *map(to_row, listed)]
    assert len(listed) == LISTED


def test_what_is_left_out_is_told_where_it_is_looked_for_and_where_it_is_saved(
    reader: Reader,
) -> None:
    assert "Projects 20,000 of 21,000" in reader.text
    assert "What is not complete comes first. Left out: 1,000 complete rows. The" in reader.text
    assert "Neither has the rows that are left out here: for the whole batch, take" in reader.text
    assert "No project of this table matches." in reader.text
    assert "The first 5,000 are shown." in reader.text


def test_the_counts_are_those_of_the_whole_batch(
    html: str, reader: Reader, incomplete: list[SnapshotRecord]
) -> None:
    complete = LISTED + 1_000 - len(incomplete)

    assert f"{len(incomplete):,} of 21,000 projects have no complete snapshot" in reader.text
    assert f"{complete:,} complete" in reader.text
    assert sum(int(row[-1].replace(",", "")) for row in reader.tables["groups"][1:]) == 21_000
    assert f">Complete ({complete - 1_000:,})</option>" in html  # which is what the filter finds


def test_the_page_of_too_many_rows_is_of_reasonable_size(html: str) -> None:
    """A row is some 300 bytes of data; those that are shown at once have 600 of HTML besides."""
    assert len(html.encode()) < 350 * LISTED + 650 * AT_ONCE


@pytest.mark.parametrize(
    ("count", "incomplete", "told"),
    [
        (LISTED, 0, ""),
        (LISTED, LISTED, ""),
        (LISTED + 1, 0, "1 complete row"),
        (100_000, LISTED, "80,000 complete rows"),
        (100_000, LISTED + 1, "1 incomplete row and 79,999 complete rows"),
        (100_000, 100_000, "80,000 incomplete rows"),
    ],
)
def test_it_is_told_which_rows_are_left_out(count: int, incomplete: int, told: str) -> None:
    assert page_table.left_out(count, incomplete, min(count, LISTED)) == told


def test_nothing_that_is_not_complete_is_left_out_before_what_is() -> None:
    records = numbered(LISTED + 5, incomplete=LISTED - 3)
    listed = page_table.listed(records, {made.project.id for made in records[8:]})

    assert listed == [*records[8:], *records[:3]]


def test_up_to_so_many_rows_all_are_there_in_the_report_s_order() -> None:
    records = numbered(AT_ONCE, incomplete=9)

    assert page_table.listed(records, {made.project.id for made in records[-9:]}) == records
    text = Reader(render(records)).text
    assert "All projects 5,000" in text
    assert "comes first" not in text
    assert "left out" not in text.lower()


def test_of_many_groups_those_in_trouble_are_shown_and_the_others_counted() -> None:
    most = page_content.MOST_GROUPS
    records = [
        replace(made, project=Project(made.project.id, "label", f"group {n:05}"))
        for n, made in enumerate(numbered(most + 50, incomplete=3))
    ]
    reader = Reader(render(records))
    _, *groups = reader.tables["groups"]

    assert len(groups) == most
    assert [row[0] for row in groups[:3]] == [made.project.group for made in records[-3:]]
    assert {made.status for made in records[-3:]} == {SnapshotStatus.FAILED}
    assert "50 more groups, in the filter of all projects" in reader.text
    assert sum(tag == "option" for tag, _ in reader.tags) == most + 50 + 5
