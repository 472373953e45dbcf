"""Who may do what, and how the site words a refusal."""

import pytest

from flywheel_site_simulator import DEFAULT_USER, Request, SimulatedSite
from tests.simulator.caller import Caller

NOBODY = "0123456789abcdef01234567"


@pytest.fixture
def stranger(site: SimulatedSite) -> Caller:
    site.add_user("other-key", email="stranger@example.org")
    return Caller(site, "other-key")


@pytest.fixture
def admin(site: SimulatedSite) -> Caller:
    site.add_user("admin-key", ("user", "site_admin"), email="admin@example.org")
    return Caller(site, "admin-key")


@pytest.fixture
def closed(site: SimulatedSite) -> str:
    return site.add_project(label="Closed", members=[DEFAULT_USER])


@pytest.mark.parametrize(
    "header",
    [
        "scitran-user secret-key",
        "Bearer secret-key",
        "scitran-user flywheel.example.org:secret-key",
        "scitran-user flywheel.example.org:443:secret-key",
    ],
)
def test_a_key_opens_the_site_in_each_form_that_clients_send(
    site: SimulatedSite, header: str
) -> None:
    request = Request("GET", "/api/auth/status", {}, {"authorization": header})
    assert site.handle(request).document["user_id"] == DEFAULT_USER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "scitran-user wrong"},
        {"authorization": "Basic secret-key"},
        {"authorization": "bearer secret-key"},
    ],
)
def test_without_a_valid_key_every_call_is_a_401(
    site: SimulatedSite, headers: dict[str, str]
) -> None:
    project = site.add_project()
    for method, path in [
        ("GET", "/api/projects"),
        ("GET", "/api/users/self"),
        ("POST", f"/snapshot/projects/{project}/snapshots"),
    ]:
        response = site.handle(Request(method, path, {}, headers))
        assert response.status == 401
        assert set(response.document) == {"message", "status_code", "request_id"}
    assert site.creates() == 0


def test_a_key_can_die(site: SimulatedSite, caller: Caller) -> None:
    site.remove_key()
    assert caller.projects().status == 401


def test_the_finder_shows_only_the_callers_projects(
    caller: Caller, stranger: Caller, site: SimulatedSite, closed: str
) -> None:
    open_project = site.add_project(label="Open")
    assert [p["_id"] for p in caller.projects().document] == [closed, open_project]
    assert [p["_id"] for p in stranger.projects().document] == [open_project]


def test_exhaustive_shows_every_project_to_site_administrators_only(
    caller: Caller, admin: Caller, closed: str
) -> None:
    assert admin.projects().document == []
    assert [p["_id"] for p in admin.projects(exhaustive="true").document] == [closed]
    assert caller.projects(exhaustive="true").status == 403
    assert admin.ask("GET", "/api/users/self").document["roles"] == ["user", "site_admin"]


def test_a_project_is_closed_to_those_who_are_no_members(
    caller: Caller, stranger: Caller, site: SimulatedSite, closed: str
) -> None:
    assert caller.project(closed).document["permissions"][0]["_id"] == DEFAULT_USER
    assert stranger.project(closed).status == 403
    assert stranger.create(closed).status == 403
    assert stranger.list(closed).status == 403
    assert site.creates() == 0


def test_site_administrators_reach_a_closed_project_by_id(admin: Caller, closed: str) -> None:
    assert admin.project(closed).status == 200


def test_what_is_not_there_is_a_404(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project()
    assert caller.project(NOBODY).status == 404
    assert caller.detail(project, NOBODY).status == 404
    assert caller.download(project, NOBODY).status == 404
    assert caller.ask("GET", "/api/nonsense").status == 404
    assert caller.ask("DELETE", "/api/projects").status == 405


def test_a_snapshot_is_found_under_its_own_project_only(
    caller: Caller, site: SimulatedSite
) -> None:
    project, other = site.add_project(), site.add_project()
    snapshot = caller.start(project)
    assert caller.detail(other, snapshot).status == 404


@pytest.mark.parametrize("project_id", ["1", "../groups", "65b8f0c2a1b2c3d4e5f6071g", "ä"])
def test_what_is_no_id_is_a_422_and_never_another_path(
    caller: Caller, site: SimulatedSite, project_id: str
) -> None:
    assert caller.create(project_id).status == 422
    assert caller.project(project_id).status == 422
    assert [request.project_id for request in site.requests] == [project_id] * 2


def test_an_id_in_capitals_is_the_same_id(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project(project_id="65b8f0c2a1b2c3d4e5f60718")
    assert caller.project(project.upper()).document["_id"] == project


def test_a_removed_project_is_gone_but_can_be_snapshotted(
    caller: Caller, site: SimulatedSite
) -> None:
    project = site.add_project()
    site.remove_project(project)
    site.remove_project(project)
    assert caller.project(project).status == 404
    assert caller.projects().document == []
    assert caller.create(project).status == 201


def test_an_id_that_is_none_is_no_project_to_add(site: SimulatedSite) -> None:
    with pytest.raises(ValueError, match="24 hex digits"):
        site.add_project(project_id="1")
