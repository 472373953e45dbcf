"""The real flywheel-sdk against the site, as the gear uses it. Nothing is patched."""

import copy
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import flywheel
import httpx2
import pytest
from flywheel.api_client import ApiClient

from flywheel_site_simulator import (
    DEFAULT_USER,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    lose_answer,
    refuse,
)

SNAPSHOTS = "/snapshot/projects/{project}/snapshots"
SNAPSHOT = SNAPSHOTS + "/{snapshot}"


@dataclass(frozen=True)
class Sdk:
    """An SDK client, and the Snapshot service by its means."""

    site: SimulatedSite
    client: Any
    service: ApiClient

    def call(self, method: str, path: str, **parameters: str) -> tuple[Any, int, Any]:
        answer: tuple[Any, int, Any] = self.service.call_api(
            path,
            method,
            parameters,
            auth_settings=["ApiKey"],
            response_type="object",
            _request_timeout=(30.0, 30.0),
        )
        return answer


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    site = SimulatedSite()
    with SimulatorServer(site, storage=True) as server:
        client = flywheel.Client(server.api_key())
        configuration = copy.copy(client.api_client.configuration)
        configuration.host = server.url
        service = ApiClient(configuration)
        yield Sdk(site, client, service)
        service.rest_client.client.close()
        client.api_client.rest_client.client.close()


def test_making_a_client_asks_who_it_is_and_no_more(sdk: Sdk) -> None:
    assert [request.kind for request in sdk.site.requests] == ["auth"]


def test_the_user_comes_with_its_roles(sdk: Sdk) -> None:
    user = sdk.client.get_current_user()
    assert (user.id, [str(role) for role in user.roles]) == (DEFAULT_USER, ["user"])


def test_a_wrong_key_is_refused(sdk: Sdk) -> None:
    sdk.site.remove_key()
    with pytest.raises(flywheel.ApiException) as refusal:
        sdk.client.get_current_user()
    assert refusal.value.status == 401


def test_the_finder_goes_over_every_page(sdk: Sdk) -> None:
    for number in range(520):
        sdk.site.add_project(f"group-{number % 2}", f"Study {number}", tags=["even"][number % 2 :])

    def labels(*filters: str, **options: object) -> list[str]:
        return [project.label for project in sdk.client.projects.iter_find(*filters, **options)]

    assert labels() == [f"Study {number}" for number in range(520)]
    assert len(labels("group=group-1")) == 260
    assert len(labels("tags=even", limit=100)) == 260
    assert labels("group=group-1", "label=~^Study 51[0-3]$") == ["Study 511", "Study 513"]
    assert labels("label=Nothing") == []
    pages = [request for request in sdk.site.requests if request.kind == "projects"]
    assert [page.query.get("after_id", "") != "" for page in pages[:4]] == [False, True, True, True]
    assert {page.query["limit"] for page in pages} == {"250", "100"}


def test_the_finder_shows_the_sites_own_words_on_a_bad_filter(sdk: Sdk) -> None:
    with pytest.raises(flywheel.ApiException) as refusal:
        list(sdk.client.projects.iter_find("mygroup"))
    assert refusal.value.status == 400
    assert "'mygroup' has no operator" in refusal.value.reason


def test_an_exhaustive_client_sees_every_project(sdk: Sdk) -> None:
    sdk.site.add_project(members=[])
    assert list(sdk.client.projects.iter_find()) == []
    sdk.site.add_user(roles=("user", "site_admin"))
    assert len(list(sdk.client.projects.iter_find(exhaustive=True))) == 1


def test_a_project_comes_with_what_the_models_know(sdk: Sdk) -> None:
    made = sdk.site.add_project(
        "neuro", "Früh, geborene", info={"site": "Berlin"}, tags=["a"], members=[DEFAULT_USER]
    )
    for project in (sdk.client.get_project(made), sdk.client.projects.find_one(f"_id={made}")):
        assert (project.id, project.label) == (made, "Früh, geborene")
        assert (project.group, project.parents.group) == ("neuro", "neuro")
        assert abs(project.created - datetime.now(UTC)).days == 0
        assert (project.info["site"], project.tags) == ("Berlin", ["a"])
        assert project.permissions[0].id == DEFAULT_USER


def test_a_project_that_is_gone_or_closed_is_an_api_exception(sdk: Sdk) -> None:
    closed = sdk.site.add_project(members=[])
    for project, status in (("0" * 24, 404), (closed, 403)):
        with pytest.raises(flywheel.ApiException) as refusal:
            sdk.client.get_project(project)
        assert refusal.value.status == status
        assert project in refusal.value.reason
        assert "date" in refusal.value.headers


def test_the_snapshot_service_is_reached_with_the_sdk_alone(sdk: Sdk) -> None:
    project = sdk.site.add_project()
    record, status, headers = sdk.call("POST", SNAPSHOTS, project=project)
    assert (status, record["status"]) == (201, "pending")
    assert "date" in headers
    listed, _, _ = sdk.call("GET", SNAPSHOTS, project=project)
    assert [item["_id"] for item in listed] == [record["_id"]]
    named = {"project": project, "snapshot": record["_id"]}
    assert sdk.call("GET", SNAPSHOT + "/detail", **named)[0]["status"] == "complete"
    sdk.site.delete_snapshot(project, record["_id"])
    with pytest.raises(flywheel.ApiException) as refusal:
        sdk.call("GET", SNAPSHOT + "/detail", **named)
    assert refusal.value.status == 404


def test_a_hostile_id_never_walks_the_url(sdk: Sdk) -> None:
    with pytest.raises(flywheel.ApiException) as refusal:
        sdk.call("POST", SNAPSHOTS, project="../../api/projects?x=")
    assert refusal.value.status == 422
    assert sdk.site.requests[-1].project_id == "../../api/projects?x="


def test_a_post_is_sent_once_whatever_the_answer(sdk: Sdk) -> None:
    project = sdk.site.add_project()
    for status in (429, 502, 503, 504):
        sdk.site.fault(Fault(times=1, action=refuse(status, retry_after_seconds=1)))
        with pytest.raises(flywheel.ApiException) as refusal:
            sdk.call("POST", SNAPSHOTS, project=project)
        assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (status, "1")
    sdk.site.fault(Fault(times=1, action=lose_answer("reset")))
    with pytest.raises(httpx2.TransportError):
        sdk.call("POST", SNAPSHOTS, project=project)
    sdk.site.fault(Fault(times=1, action=lose_answer("truncated")))
    with pytest.raises(httpx2.TransportError):
        sdk.call("POST", SNAPSHOTS, project=project)
    assert [request.kind for request in sdk.site.requests].count("create") == 6
    assert sdk.site.creates(project) == 2


def test_an_answer_of_another_shape_reaches_the_caller(sdk: Sdk) -> None:
    project = sdk.site.add_project()
    sdk.site.fault(Fault(times=1, action=lose_answer("garbage")))
    assert "It works" in sdk.call("POST", SNAPSHOTS, project=project)[0]
    sdk.site.fault(Fault(times=1, action=answer_with([])))
    assert sdk.call("POST", SNAPSHOTS, project=project)[0] == []
    sdk.site.fault(Fault("projects", times=1, action=answer_with({})))
    with pytest.raises(RuntimeError):
        list(sdk.client.projects.iter_find())


def test_a_download_follows_the_signed_url_without_the_key(sdk: Sdk) -> None:
    project = sdk.site.add_project()
    snapshot = sdk.site.add_snapshot(project)
    response = sdk.service.call_api(
        SNAPSHOT,
        "GET",
        {"project": project, "snapshot": snapshot},
        auth_settings=["ApiKey"],
        _preload_content=False,
        _return_http_data_only=True,
    )
    assert gzip.decompress(response.read()).startswith(b"SQLite format 3")
    response.close()
    assert [(seen.authorization, seen.status) for seen in sdk.site.storage_requests] == [
        (False, 200)
    ]
