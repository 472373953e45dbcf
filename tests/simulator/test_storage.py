"""Downloads that are handed out from a second address, by signed URLs."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from flywheel_site_simulator import Request, Response, SimulatedSite
from tests.simulator.caller import Caller, Clock


@pytest.fixture
def location(caller: Caller) -> str:
    caller.site.behaviour.redirect_downloads_to = "http://127.0.0.1:1/"
    project = caller.site.add_project()
    response = caller.download(project, caller.start(project))
    assert (response.status, response.content) == (307, b"")
    assert caller.site.behaviour.redirect_downloads_to == "http://127.0.0.1:1/"
    return response.headers["Location"]


def get(site: SimulatedSite, location: str, headers: dict[str, str] | None = None) -> Response:
    parts = urlsplit(location)
    request = Request("GET", parts.path, dict(parse_qsl(parts.query)), headers or {})
    return site.handle_storage(request)


def test_a_signed_url_gives_the_file_without_a_key(site: SimulatedSite, location: str) -> None:
    response = get(site, location)
    assert response.status == 200
    assert response.content.startswith(b"\x1f\x8b")
    assert [(seen.authorization, seen.status) for seen in site.storage_requests] == [(False, 200)]


def test_a_key_that_reaches_the_storage_is_a_400_and_recorded(
    site: SimulatedSite, location: str
) -> None:
    response = get(site, location, {"authorization": "scitran-user secret-key"})
    assert response.status == 400
    assert [(seen.authorization, seen.status) for seen in site.storage_requests] == [(True, 400)]


def test_a_signed_url_expires(site: SimulatedSite, clock: Clock, location: str) -> None:
    clock.advance(59)
    assert get(site, location).status == 200
    clock.advance(2)
    assert get(site, location).status == 403


def test_a_signed_url_may_hold_once_only(site: SimulatedSite, location: str) -> None:
    site.behaviour.signed_urls_once = True
    assert [get(site, location).status for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(
    "change", [("signature=", "signature=0"), ("expires=1", "expires=2"), ("/storage", "/x")]
)
def test_a_signature_holds_for_its_url_only(
    site: SimulatedSite, location: str, change: tuple[str, str]
) -> None:
    assert get(site, location.replace(*change)).status == 403


def test_a_deleted_snapshot_is_gone_from_the_storage(site: SimulatedSite, location: str) -> None:
    _, _, project, snapshot = urlsplit(location).path.split("/")
    site.delete_snapshot(project, snapshot)
    assert get(site, location).status == 404


def test_breakages_strike_at_the_storage(site: SimulatedSite, location: str) -> None:
    project = urlsplit(location).path.split("/")[2]
    site.break_download(project, "hang", times=1)
    assert get(site, location).broken == "hang"
    assert site.storage_requests[-1].status == 0
    site.break_download(project, "500", times=1)
    assert get(site, location).status == 500
    assert get(site, location).status == 200
