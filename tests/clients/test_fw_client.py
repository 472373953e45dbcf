"""fw-client: lists, filters, pages and snapshots."""

import gzip
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from fw_client import ClientError, FWClient

from flywheel_site_simulator import DEFAULT_USER, SimulatedSite, SimulatorServer


@pytest.fixture
def server(site: SimulatedSite, certificate: ssl.SSLContext) -> Iterator[SimulatorServer]:
    """Serve the site and the storage that it sends downloads to."""
    with SimulatorServer(site, storage=True, tls=certificate) as running:
        yield running


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[Any]:
    with FWClient(api_key=server.api_key()) as made:
        yield made


def test_it_learns_who_it_is_and_what_the_site_is(client: Any) -> None:
    assert client.auth_status.info.email == DEFAULT_USER
    assert client.check_version("16.0.0")
    assert not client.check_feature("anything")


def test_a_key_of_57_characters_is_sent_as_a_bearer_s(
    site: SimulatedSite, server: SimulatorServer
) -> None:
    key = "k" * 57
    site.add_user(key, email="other@example.org")
    with FWClient(api_key=server.api_key(key)) as client:
        assert client.headers["authorization"] == f"Bearer {key}"
        assert client.get("/api/users/self")["email"] == "other@example.org"


def test_a_list_comes_in_counted_pages_until_an_empty_one(client: Any, site: SimulatedSite) -> None:
    ids = [site.add_project("neuro", f"Study {number}") for number in range(7)]
    site.add_project("cardio")
    seen: list[str] = []
    while True:
        after = {"after_id": seen[-1]} if seen else {}
        page = client.get("/api/projects", params={"filter": "group=neuro", "limit": 3} | after)
        assert page.total == 7
        assert page.count == len(page.results)
        if not page.results:
            break
        seen += [project._id for project in page.results]
    assert seen == ids
    second = client.get("/api/projects", params={"limit": 3, "page": 2, "sort": "label:desc"})
    assert [project.label for project in second.results] == ["Study 3", "Study 2", "Study 1"]


def test_without_the_feature_a_list_is_bare(site: SimulatedSite, server: SimulatorServer) -> None:
    project = site.add_project()
    with FWClient(api_key=server.api_key(), core_features=["Safe-Redirect"]) as client:
        assert [found["_id"] for found in client.get("/api/projects")] == [project]


@pytest.mark.parametrize("status", [400, 422])
def test_a_bad_filter_is_a_client_error(client: Any, site: SimulatedSite, status: int) -> None:
    site.behaviour.bad_filter_status = status
    for text in ("neuro", ""):
        with pytest.raises(ClientError) as refusal:
            client.get("/api/projects", params={"filter": text})
        assert refusal.value.response.status_code == status


def test_a_snapshot_is_made_looked_at_fetched_and_deleted(client: Any, site: SimulatedSite) -> None:
    project = site.add_project()
    url = f"/snapshot/projects/{project}/snapshots"
    older = client.post(url)["_id"]
    made = client.post(url)["_id"]
    # The Snapshot service is asked for no feature: its list is bare, the newest last.
    assert [record["_id"] for record in client.get(url)] == [older, made]
    assert client.get(f"{url}/{made}/detail")["status"] == "complete"
    with client.stream("GET", f"{url}/{made}") as answer:
        assert gzip.decompress(b"".join(answer.iter_bytes())).startswith(b"SQLite format 3")
    assert [(seen.authorization, seen.status) for seen in site.storage_requests] == [(False, 200)]
    client.delete(f"{url}/{made}")
    assert [snapshot.id for snapshot in site.snapshots(project)] == [older]
