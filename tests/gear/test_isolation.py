"""What goes wrong with one project is its row's, and never another's."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    break_off,
    lose_answer,
    refuse,
)
from tests.support.gear import GearRun, RunHere, gear_maker

NONSENSE = {"status": ["pending"]}

# What the site answers to the create of a project, and what its row's reason is to say.
REFUSALS = {
    "400": (refuse(400, "No such thing"), "400: No such thing"),
    "403": (refuse(403, "Not your project"), "403: Not your project"),
    "404": (refuse(404, "No such project"), "404: No such project"),
    "409": (refuse(409, "One is being made"), "409: One is being made"),
    "422": (refuse(422, "That is no id"), "422: That is no id"),
    "401 of any kind": (refuse(401, body=b"<html>Log in</html>"), "401: Log in"),
}
# A create that is done but answered like this once: its snapshot is found again.
LOST = {
    "answer lost in a 500": lose_answer(500),
    "answer lost with the connection": lose_answer("reset"),
    "answer cut in half": lose_answer("truncated"),
    "answer is HTML": lose_answer("garbage"),
    "answer is an empty document": answer_with({}, 201),
    "answer is a list": answer_with([], 201),
    "answer has a status that is no word": answer_with(NONSENSE, 201),
}
# A status call that ends like this, three times over.
STATUS = {
    "status refused with 403": refuse(403),
    "status lost in a 500": refuse(500),
    "status refused with 503": refuse(503),
    "status broken off": break_off(),
    "status is HTML": lose_answer("garbage"),
    "status is a list": answer_with([]),
    "status is of another snapshot": answer_with({"_id": "e" * 24, "status": "complete"}),
}
UNFINISHED = ("deleted", "status never answers", "unknown state")


@dataclass(frozen=True)
class Batch:
    """A run in which nearly every project has a mishap of its own."""

    run: GearRun
    site: SimulatedSite
    projects: dict[str, str]

    def row(self, name: str) -> dict[str, str]:
        return self.run.row(self.projects[name])

    def creates(self, name: str) -> int:
        return self.site.creates(self.projects[name])


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    site = SimulatedSite()
    names = ["fine", *REFUSALS, *LOST, *STATUS, *UNFINISHED]
    projects = {name: site.add_project(label=name) for name in names}

    def mishap(kind: str, name: str, action: Action, times: int | None = None) -> None:
        site.fault(Fault(kind, projects[name], times, action=action))

    for name, (action, _) in REFUSALS.items():
        mishap("create", name, action)
    for name, action in LOST.items():
        mishap("create", name, action, times=1)
    for name, action in STATUS.items():
        mishap("detail", name, action, times=3)
    mishap("detail", "status never answers", refuse(500, "Out of order"))
    site.outcome(projects["unknown state"], "archiving")
    site.outcome(projects["deleted"], "in_progress")
    with SimulatorServer(site) as server:
        deleting = threading.Thread(target=_delete_once_made, args=(site, projects["deleted"]))
        deleting.start()
        config = {"project filter": "ALL", "timeout minutes": 0.2}
        run = gear_maker(tmp_path_factory.mktemp("batch"), server)(**config).run()
        deleting.join()
        yield Batch(run, site, projects)


def _delete_once_made(site: SimulatedSite, project: str) -> None:
    """Do what anybody with rights on the project can do at any time."""
    until = time.monotonic() + 60.0
    while not (snapshots := site.snapshots(project)) and time.monotonic() < until:
        time.sleep(0.02)
    for snapshot in snapshots:
        site.delete_snapshot(project, snapshot.id)


@pytest.mark.process
def test_a_run_in_which_something_went_wrong_ends_with_1(batch: Batch) -> None:
    assert batch.run.exit_status == 1, batch.run.log


@pytest.mark.process
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_create_is_the_failure_of_its_row_with_the_words_of_the_site(
    batch: Batch, name: str
) -> None:
    row = batch.row(name)

    assert (row["status"], row["snapshot_id"]) == ("failed", "")
    assert REFUSALS[name][1] in row["error"]
    assert batch.creates(name) == 0


@pytest.mark.process
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_create_is_not_sent_again(batch: Batch, name: str) -> None:
    asked = [r.kind for r in batch.site.requests if r.project_id == batch.projects[name]]

    assert asked == ["create"]


@pytest.mark.process
@pytest.mark.parametrize("name", ["fine", *LOST, *STATUS])
def test_every_other_project_has_one_snapshot_and_it_is_complete(batch: Batch, name: str) -> None:
    row = batch.row(name)

    assert (row["status"], row["error"]) == ("complete", "")
    assert [row["snapshot_id"]] == [made.id for made in batch.site.snapshots(batch.projects[name])]
    assert batch.creates(name) == 1


@pytest.mark.process
def test_a_state_that_nobody_knows_is_reported_in_the_word_of_the_site(batch: Batch) -> None:
    row = batch.row("unknown state")

    assert row["status"] == "archiving"
    assert "not finished within 12 s" in row["error"]


@pytest.mark.process
def test_a_snapshot_that_cannot_be_found_for_some_seconds_is_not_given_up(batch: Batch) -> None:
    row = batch.row("deleted")

    assert row["status"] == "pending"
    assert "404" in row["error"]
    assert batch.creates("deleted") == 1


@pytest.mark.process
def test_a_snapshot_that_cannot_be_asked_for_stays_as_it_was_last_seen(batch: Batch) -> None:
    row = batch.row("status never answers")

    assert row["status"] == "pending"
    assert "not finished within 12 s" in row["error"]
    assert "500: Out of order" in row["error"]
    assert batch.creates("status never answers") == 1


@pytest.mark.process
@pytest.mark.parametrize("name", [*REFUSALS, *UNFINISHED])
def test_the_log_ends_with_the_reason_of_each_project_that_is_not_complete(
    batch: Batch, name: str
) -> None:
    (line,) = [line for line in batch.run.last_block if batch.projects[name] in line]
    assert batch.row(name)["error"] in line


@pytest.mark.process
def test_what_goes_wrong_is_no_traceback(batch: Batch) -> None:
    assert "Traceback" not in batch.run.log


# ------------------------------------------------- for good: by a clock whose minute passes at once


@pytest.mark.parametrize(
    ("action", "words"),
    [
        pytest.param(refuse(500, "Out of order"), "500: Out of order", id="500"),
        pytest.param(refuse(502), "502", id="502"),
        pytest.param(refuse(503, "Maintenance"), "503: Maintenance", id="503"),
        pytest.param(refuse(429, retry_after_seconds=20), "429", id="429"),
        pytest.param(break_off(), "broke", id="connection broken"),
        pytest.param(break_off("hang"), "did not answer", id="no answer"),
        pytest.param(
            refuse(403, body=b"<html>Forbidden</html>"), "Forbidden", id="a gateway's page"
        ),
    ],
)
def test_a_create_that_goes_wrong_for_good_is_the_failure_of_its_row_only(
    simulated: SimulatedSite, run_here: RunHere, action: Action, words: str
) -> None:
    before, broken, after = (simulated.add_project(label=label) for label in "abc")
    simulated.fault(Fault("create", broken, action=action))

    rows = run_here()

    assert {project: row["status"] for project, row in rows.items()} == {
        before: "complete",
        broken: "failed",
        after: "complete",
    }
    assert words in rows[broken]["error"]
    assert rows[broken]["snapshot_id"] == ""
    assert [simulated.creates(project) for project in (before, broken, after)] == [1, 0, 1]


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", NONSENSE], ids=str)
def test_a_create_that_is_accepted_without_a_snapshot_is_looked_for_and_never_sent_again(
    simulated: SimulatedSite, run_here: RunHere, body: object
) -> None:
    project = simulated.add_project()
    simulated.fault(Fault("create", action=answer_with(body, work=False)))

    row = run_here()[project]

    assert (row["status"], row["snapshot_id"]) == ("pending", "")
    assert "accepted" in row["error"]
    assert [request.kind for request in simulated.requests].count("create") == 1
