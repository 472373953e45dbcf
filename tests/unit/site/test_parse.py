"""What a site answers, as values; what can't be read is an unknown outcome, never a crash."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError
from fw_gear_sitewide_snapshot.models import Project, Snapshot, SnapshotList
from fw_gear_sitewide_snapshot.site.parse import (
    parse_document,
    parse_project,
    parse_projects,
    parse_snapshot,
    parse_snapshots,
    parse_total,
)

ID = "5e0000000000000000000012"
CREATED = "2026-01-31T12:00:00.123456+00:00"
WHEN = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["_id", "label", "group", "status", "created", "results", "total", "error"]
            )
            | st.text(),
            children,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def project(**fields: object) -> dict[str, object]:
    return {"_id": ID, "label": "Study", "group": "neuro", **fields}


def snapshot(**fields: object) -> dict[str, object]:
    return {"_id": ID, "status": "pending", "created": CREATED, **fields}


def listed(data: object, limit: int = 250) -> SnapshotList:
    return parse_snapshots(data, limit)


def test_a_project_is_read() -> None:
    assert parse_project(project(more=1)) == Project(ID, "Study", "neuro")


def test_a_snapshot_is_read() -> None:
    assert parse_snapshot(snapshot(parents={"project": ID})) == Snapshot(ID, "pending", WHEN)


@pytest.mark.parametrize(
    "page", [lambda items: items, lambda items: {"results": items}], ids=["bare", "page"]
)
def test_a_list_may_be_bare_or_a_page(page: Callable[[object], object]) -> None:
    assert listed(page([snapshot()])) == SnapshotList((Snapshot(ID, "pending", WHEN),))
    assert parse_projects(page([project()]))[0] == [Project(ID, "Study", "neuro")]
    assert parse_projects(page([]))[0] == []


def test_lists_keep_the_sites_order() -> None:
    ids = [ID, "f" * 24, "0" * 24]
    assert [p.id for p in parse_projects([project(_id=i) for i in ids])[0]] == ids
    assert [s.id for s in listed([snapshot(_id=i) for i in ids]).snapshots] == ids


@pytest.mark.parametrize("label", ["", "NA", " a\nb ", "=1+1", "é 漢 🧠"])
def test_a_label_is_kept_exactly(label: str) -> None:
    assert parse_project(project(label=label)).label == label


@pytest.mark.parametrize(
    ("label", "expected"), [(None, ""), (5, ""), (["x"], ""), ("half \ud83e", "half ?")]
)
def test_a_label_that_is_no_text_is_made_one(label: object, expected: str) -> None:
    assert parse_project(project(label=label)).label == expected


@pytest.mark.parametrize("status", ["complete", "Archived", "waiting for disk"])
def test_a_status_is_the_sites_own_word(status: str) -> None:
    assert parse_snapshot(snapshot(status=status)).status == status


def test_a_status_is_one_line() -> None:
    assert parse_snapshot(snapshot(status="a\nb\x1b")).status == r"a b\x1b"


@pytest.mark.parametrize("status", [None, "", " ", 3, ["complete"]])
def test_a_snapshot_without_a_status_cannot_be_read(status: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="without a status"):
        parse_snapshot(snapshot(status=status))


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T14:00:00+02:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(created: str, expected: datetime) -> None:
    when = parse_snapshot(snapshot(created=created)).created
    assert when == expected
    assert when.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "created",
    [
        *(None, "", "yesterday", 1769860800, "0001-01-01T00:00+12:00"),
        *("2026-01-31", "20260131", "2026-W05-6"),
    ],
)
def test_a_time_that_cannot_be_read_is_none(created: object) -> None:
    assert parse_snapshot(snapshot(created=created)).created is None


@pytest.mark.parametrize("identifier", [None, "", "abc", 5, "../x", ID.upper(), ID + "\n"])
def test_what_has_no_id_cannot_be_read(identifier: object) -> None:
    with pytest.raises(OutcomeUnknownError, match='no "_id"'):
        parse_project(project(_id=identifier))
    with pytest.raises(OutcomeUnknownError, match='no "_id"'):
        parse_snapshot(snapshot(_id=identifier))


def test_one_project_that_cannot_be_read_spoils_the_list() -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_projects([project(), {}])


@pytest.mark.parametrize("data", [None, "<html>", 5, [], [snapshot()]])
def test_what_is_no_document_cannot_be_read(data: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="no JSON object"):
        parse_document(data)


@pytest.mark.parametrize("data", [None, "<html>", 5, {}, {"results": {}}, {"results": None}])
def test_what_is_no_list_cannot_be_read(data: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="no JSON list"):
        parse_projects(data)


@pytest.mark.parametrize("convert", [parse_projects, parse_project, listed, parse_snapshot])
@given(json_values)
def test_any_json_is_a_value_or_an_unknown_outcome(
    convert: Callable[[object], object], data: object
) -> None:
    try:
        made = convert(data)
    except OutcomeUnknownError as error:
        made = str(error).isprintable()
    assert made or made == []


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("COMPLETE", "complete"),
        ("Archiving", "Archiving"),
        ("planned", "planned (on the site)"),
        ("Planned", "Planned (on the site)"),
    ],
)
def test_a_word_that_is_known_is_known_in_any_case_and_ours_is_not_the_sites(
    word: str, status: str
) -> None:
    assert parse_snapshot(snapshot(status=word)).status == status


# Why a snapshot failed


@pytest.mark.parametrize(
    "fields",
    [
        *({name: "no room"} for name in ("error", "message", "reason", "detail", "failure")),
        *({name: "no room"} for name in ("error_message", "failure_reason", "status_message")),
        {"status_reason": "no room"},
        {"error": {"message": "no room"}},
        {"error": {"code": 5, "detail": "no room"}},
        {"errors": [{"msg": "no room", "loc": ["x"]}]},
        {"errors": ["no room"]},
        {"detail": [{"msg": "no\nroom"}]},
        {"error": "no room", "message": "no room"},
    ],
    ids=str,
)
def test_a_failed_snapshots_own_reason_is_read(fields: dict[str, object]) -> None:
    assert parse_snapshot(snapshot(status="failed", **fields)).reason == "no room"


@pytest.mark.parametrize("status", ["pending", "complete", "Archiving"])
def test_only_a_failed_snapshot_has_a_reason(status: str) -> None:
    assert parse_snapshot(snapshot(status=status, message="on its way")).reason == ""


@pytest.mark.parametrize("reason", [None, 5, {}, [], {"code": 5}])
def test_a_reason_that_says_nothing_is_none(reason: object) -> None:
    assert parse_snapshot(snapshot(status="failed", error=reason)).reason == ""


# Lists of snapshots


def times(*days: int) -> list[dict[str, object]]:
    """Return records that were created on these days."""
    return [snapshot(_id=f"{day:024x}", created=f"2026-01-{day:02}T00:00:00Z") for day in days]


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


@pytest.mark.parametrize(
    "record",
    [
        {"status": None},
        {"status": ""},
        {"_id": None},
        {"_id": "short"},
        {"_id": ["x"], "status": 5},
    ],
    ids=str,
)
def test_a_list_is_read_without_what_cannot_be_read(record: dict[str, object]) -> None:
    read = listed([snapshot(), snapshot(**record)])
    assert read.snapshots == (Snapshot(ID, "pending", WHEN),)
    assert [one.created for one in read.unreadable] == [WHEN]
    assert [one.id for one in read.unreadable] == ["" if "_id" in record else ID]


@pytest.mark.parametrize("item", [None, 5, "x", [], {}, snapshot(status=None, created="x")])
def test_none_there_is_not_known_where_something_cannot_be_read_at_all(item: object) -> None:
    read = listed([snapshot(), item])
    assert read.snapshots == (Snapshot(ID, "pending", WHEN),)
    assert [one.created for one in read.unreadable] == [None]
    assert not read.shows_all_since(day(2))


@pytest.mark.parametrize("created", [None, "", "yesterday", "2026-01-31", 1769860800])
def test_none_there_is_not_known_where_a_time_cannot_be_read(created: object) -> None:
    read = listed([snapshot(created=created)])
    assert read.made_since(day(1)) == []
    assert not read.shows_all_since(day(1))
    assert read.shows_all_since(day(1), known=[ID])


def test_what_cannot_be_read_and_is_older_hides_nothing() -> None:
    read = listed([snapshot(status=None, created="2026-01-01T00:00:00Z")])
    assert read.shows_all_since(day(2))
    assert not read.shows_all_since(day(1))


def test_a_list_that_is_shorter_than_was_asked_for_is_whole() -> None:
    assert listed(times(2, 1), limit=3).shows_all_since(day(1))
    assert listed([], limit=3).shows_all_since(day(1))


@pytest.mark.parametrize("items", [times(4, 3, 2), times(5, 4, 3, 2)])
def test_of_the_newest_ones_all_that_is_newer_than_the_oldest_is_there(
    items: list[dict[str, object]],
) -> None:
    read = listed(items, limit=3)
    assert read.shows_all_since(day(3))
    assert not read.shows_all_since(day(2))
    assert not read.shows_all_since(day(1))


@pytest.mark.parametrize("items", [times(2, 3, 4), times(4, 2, 3), [snapshot(created="x")] * 3])
def test_of_others_nothing_is_certain(items: list[dict[str, object]]) -> None:
    assert not listed(items, limit=3).shows_all_since(day(20))


@pytest.mark.parametrize("name", ["total", "total_count"])
def test_a_page_that_says_that_there_are_more_is_cut(name: str) -> None:
    page = {"results": times(2, 3), name: 3}
    assert not listed(page).shows_all_since(day(20))
    assert listed({**page, name: 2}).shows_all_since(day(20))


@pytest.mark.parametrize(
    ("data", "total"),
    [
        ([], 0),
        ({"results": []}, 0),
        ({"total": 620}, 620),
        ({"total": 0, "total_count": 5}, 5),
        ({"total": None}, 0),
        ({"total": "620"}, 620),
        ({"total": 620.0}, 620),
        ({"total": 5, "total_count": "7"}, 7),
        ("<html>", 0),
    ],
)
def test_a_total_is_what_a_page_says(data: object, total: int) -> None:
    assert parse_total(data) == total


UNREADABLE_TOTALS = [True, "", "many", "1,240", 0.5, math.nan, math.inf, 10**400, [620], {"n": 620}]


@pytest.mark.parametrize("total", UNREADABLE_TOTALS)
def test_a_page_of_projects_whose_total_cannot_be_read_is_not_taken(total: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="a total that is no number"):
        parse_projects({"results": [project()], "total": total})


@pytest.mark.parametrize("total", UNREADABLE_TOTALS)
def test_none_there_is_not_known_where_the_total_cannot_be_read(total: object) -> None:
    assert not listed({"results": [], "total": total}).shows_all_since(day(20))
    read = listed({"results": times(3, 2), "total": total})
    assert [snapshot.created for snapshot in read.snapshots] == [day(3), day(2)]
    assert read.shows_all_since(day(3))  # the newest first
    assert not read.shows_all_since(day(2))
