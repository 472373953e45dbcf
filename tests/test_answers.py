"""What a site answers, as values; whatever makes no sense is unclear, never a crash."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fw_gear_sitewide_snapshot.answers import (
    document_in,
    project_in,
    projects_in,
    snapshot_in,
    snapshots_in,
)
from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError
from fw_gear_sitewide_snapshot.models import Project, Snapshot

ID = "5e0000000000000000000012"
CREATED = "2026-01-31T12:00:00.123456+00:00"
WHEN = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(ID),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(["_id", "label", "group", "status", "created", "results"]) | st.text(),
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


def test_a_project_is_read() -> None:
    assert project_in(project(more=1)) == Project(ID, "Study", "neuro")


def test_a_snapshot_is_read() -> None:
    assert snapshot_in(snapshot(parents={"project": ID})) == Snapshot(ID, "pending", WHEN)


@pytest.mark.parametrize(
    "page", [lambda items: items, lambda items: {"results": items}], ids=["bare", "page"]
)
def test_a_list_may_be_bare_or_a_page(page: Callable[[object], object]) -> None:
    assert snapshots_in(page([snapshot()])) == [Snapshot(ID, "pending", WHEN)]
    assert projects_in(page([project()])) == [Project(ID, "Study", "neuro")]
    assert projects_in(page([])) == []


def test_lists_keep_the_sites_order() -> None:
    ids = [ID, "f" * 24, "0" * 24]
    assert [p.id for p in projects_in([project(_id=i) for i in ids])] == ids
    assert [s.id for s in snapshots_in([snapshot(_id=i) for i in ids])] == ids


@pytest.mark.parametrize("label", ["", "NA", " a\nb ", "=1+1", "é 漢 🧠"])
def test_a_label_is_kept_exactly(label: str) -> None:
    assert project_in(project(label=label)).label == label


@pytest.mark.parametrize(
    ("label", "expected"), [(None, ""), (5, ""), (["x"], ""), ("half \ud83e", "half ?")]
)
def test_a_label_that_is_no_text_is_made_one(label: object, expected: str) -> None:
    assert project_in(project(label=label)).label == expected


@pytest.mark.parametrize("status", ["complete", "Archived", "waiting for disk"])
def test_a_status_is_the_sites_own_word(status: str) -> None:
    assert snapshot_in(snapshot(status=status)).status == status


def test_a_status_is_one_line() -> None:
    assert snapshot_in(snapshot(status="a\nb\x1b")).status == r"a b\x1b"


@pytest.mark.parametrize("status", [None, "", " ", 3, ["complete"]])
def test_a_snapshot_without_a_status_makes_no_sense(status: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="without a status"):
        snapshot_in(snapshot(status=status))


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T14:00:00+02:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(created: str, expected: datetime) -> None:
    when = snapshot_in(snapshot(created=created)).created
    assert when == expected
    assert when.utcoffset() == timedelta(0)


@pytest.mark.parametrize("created", [None, "", "yesterday", 1769860800, "0001-01-01T00:00+12:00"])
def test_a_time_that_cannot_be_read_is_none(created: object) -> None:
    assert snapshot_in(snapshot(created=created)).created is None


@pytest.mark.parametrize("identifier", [None, "", "abc", 5, "../x", ID.upper(), ID + "\n"])
def test_what_has_no_id_makes_no_sense(identifier: object) -> None:
    with pytest.raises(OutcomeUnknownError, match='no "_id"'):
        project_in(project(_id=identifier))
    with pytest.raises(OutcomeUnknownError, match='no "_id"'):
        snapshot_in(snapshot(_id=identifier))


def test_one_item_without_sense_spoils_the_list() -> None:
    with pytest.raises(OutcomeUnknownError):
        snapshots_in([snapshot(), {}])


@pytest.mark.parametrize("data", [None, "<html>", 5, [], [snapshot()]])
def test_what_is_no_document_makes_no_sense(data: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="no JSON object"):
        document_in(data)


@pytest.mark.parametrize("data", [None, "<html>", 5, {}, {"results": {}}, {"results": None}])
def test_what_is_no_list_makes_no_sense(data: object) -> None:
    with pytest.raises(OutcomeUnknownError, match="no JSON list"):
        projects_in(data)


@pytest.mark.parametrize("convert", [projects_in, project_in, snapshots_in, snapshot_in])
@given(json_values)
def test_any_json_is_a_value_or_unclear(convert: Callable[[object], object], data: object) -> None:
    try:
        made = convert(data)
    except OutcomeUnknownError as error:
        made = str(error).isprintable()
    assert made or made == []


@pytest.mark.parametrize(("word", "status"), [("COMPLETE", "complete"), ("Archiving", "Archiving")])
def test_a_word_that_is_known_is_known_in_any_case(word: str, status: str) -> None:
    assert snapshot_in({"_id": "a" * 24, "status": word}).status == status
