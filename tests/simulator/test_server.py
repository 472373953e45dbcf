"""The site over HTTP: what a client's sockets see."""

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from flywheel_site_simulator import (
    Fault,
    SimulatedSite,
    SimulatorServer,
    break_off,
    lose_answer,
    slow_down,
)
from flywheel_site_simulator.downloads import OddBreakage

KEY = {"Authorization": "scitran-user secret-key"}
PATIENCE_SECONDS = 30.0


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedSite()) as running:
        yield running


def connect(server: SimulatorServer, port: int = 0) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.host, port or server.port, timeout=PATIENCE_SECONDS)


def ask(
    server: SimulatorServer, path: str, method: str = "GET", headers: dict[str, str] = KEY
) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(connect(server)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()


def test_it_serves_on_loopback_at_a_free_port(server: SimulatorServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server.api_key() == f"127.0.0.1:{server.port}:__force_insecure:secret-key"
    assert server.api_key("other").endswith(":other")
    with SimulatorServer(SimulatedSite()) as second:
        assert second.port != server.port


def test_a_port_that_is_taken_is_an_error(server: SimulatorServer) -> None:
    with (
        pytest.raises(OSError, match="in use"),
        SimulatorServer(SimulatedSite(), port=server.port),
    ):
        pass


def test_every_answer_bears_the_sites_date(server: SimulatorServer) -> None:
    server.site.clock_offset_seconds = 86_400.0 * 365 * 20
    response, _ = ask(server, "/api/projects", headers={})
    assert response.status == 401
    assert int((response.getheader("Date") or "").split()[3]) >= time.gmtime().tm_year + 19


def test_a_query_and_an_encoded_path_arrive_as_they_were_meant(server: SimulatorServer) -> None:
    server.site.add_project(label="Herz, Lunge + Frühgeborene")
    _, body = ask(server, "/api/projects?filter=label%3D~Herz%5C%2C+Lunge+%5C%2B+Fr%C3%BCh")
    assert len(json.loads(body)) == 1
    response, _ = ask(server, "/snapshot/projects/..%2F..%2Fapi/snapshots", "POST")
    assert response.status == 422
    assert server.site.requests[-1].project_id == "../../api"


def test_a_connection_is_kept_alive(server: SimulatorServer) -> None:
    with closing(connect(server)) as connection:
        connection.connect()
        plug = connection.sock
        for _ in range(3):
            connection.request("GET", "/api/auth/status", headers=KEY)
            assert connection.getresponse().read()
        assert connection.sock is plug


def test_a_reset_connection_gives_no_answer(server: SimulatorServer) -> None:
    project = server.site.add_project()
    server.site.fault(Fault(action=lose_answer("reset")))
    with pytest.raises(ConnectionResetError):
        ask(server, f"/snapshot/projects/{project}/snapshots", "POST")
    assert server.site.creates(project) == 1


def test_a_truncated_answer_announces_more_than_it_brings(server: SimulatorServer) -> None:
    project = server.site.add_project()
    server.site.fault(Fault(action=lose_answer("truncated")))
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(server, f"/snapshot/projects/{project}/snapshots", "POST")
    assert len(cut.value.partial) > 0
    assert abs(len(cut.value.partial) - (cut.value.expected or 0)) <= 1


def test_it_stops_at_once_although_requests_hang() -> None:
    site = SimulatedSite()
    site.fault(Fault(None, action=break_off("hang")))

    def hang(stopping: SimulatorServer) -> None:
        with closing(connect(stopping)) as connection:
            connection.request("GET", "/api/auth/status", headers=KEY)
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                connection.getresponse()

    with ThreadPoolExecutor() as pool:
        with SimulatorServer(site) as running:
            waiting = [pool.submit(hang, running) for _ in range(3)]
            while len(site.requests) < 3:
                time.sleep(0.001)
        for future in waiting:
            future.result(PATIENCE_SECONDS)


def test_a_client_that_gives_up_is_no_longer_in_flight(server: SimulatorServer) -> None:
    server.site.fault(Fault(None, action=break_off("hang")))
    with closing(connect(server)) as connection:
        connection.request("GET", "/api/auth/status", headers=KEY)
        while server.site.traffic.in_flight == 0:
            time.sleep(0.001)
    while server.site.traffic.in_flight > 0:
        time.sleep(0.001)
    assert server.site.most_in_flight == 1


def test_slow_answers_are_in_flight_together(server: SimulatorServer) -> None:
    server.site.fault(Fault("auth", action=slow_down(PATIENCE_SECONDS)))
    connections = [connect(server) for _ in range(40)]
    for connection in connections:
        connection.request("GET", "/api/auth/status", headers=KEY)
    while server.site.most_in_flight < 40:
        time.sleep(0.001)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("large", [True, False])
def test_a_download_arrives_whole_or_cut(server: SimulatorServer, large: bool) -> None:
    project = server.site.add_project()
    snapshot = server.site.add_snapshot(project)
    if large:
        server.site.download_size(project, 4 << 20)
    path = f"/snapshot/projects/{project}/snapshots/{snapshot}"
    _, body = ask(server, path)
    assert gzip.decompress(body).startswith(b"SQLite format 3")
    server.site.break_download(project, "truncated")
    with pytest.raises(http.client.IncompleteRead):
        ask(server, path)


def test_a_client_that_leaves_a_download_is_no_error(
    server: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    project = server.site.add_project()
    snapshot = server.site.add_snapshot(project)
    server.site.download_size(project, 16 << 20)
    for _ in range(5):
        with closing(connect(server)) as connection:
            path = f"/snapshot/projects/{project}/snapshots/{snapshot}"
            connection.request("GET", path, headers=KEY)
            with closing(connection.getresponse()) as response:
                assert response.read(1000)
        while server.site.traffic.in_flight > 0:
            time.sleep(0.001)
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


@pytest.mark.parametrize("storage", [True, False])
@pytest.mark.parametrize(
    ("how", "start", "length"), [("endless html", b"<html>", 300_000), ("drip", b"\x1f\x8b", 40)]
)
def test_an_endless_download_holds_nobody_up_and_ends_when_its_client_leaves(
    how: OddBreakage, start: bytes, length: int, storage: bool, caplog: pytest.LogCaptureFixture
) -> None:
    site = SimulatedSite(drip_pause_seconds=0.01)
    project = site.add_project()
    path = f"/snapshot/projects/{project}/snapshots/{site.add_snapshot(project)}"
    site.break_download(project, how)
    with SimulatorServer(site, storage=storage) as server:
        if storage:
            location = ask(server, path)[0].getheader("Location") or ""
            path = location.partition(str(server.storage_port))[2]
        for _ in range(2):
            with closing(connect(server, server.storage_port)) as connection:
                connection.request("GET", path, headers={} if storage else KEY)
                with closing(connection.getresponse()) as response:
                    assert response.getheader("Content-Length") is None
                    assert response.read(length).startswith(start)
                    assert ask(server, "/api/auth/status")[0].status == 200
            while site.traffic.in_flight > 0:
                time.sleep(0.001)
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


def test_a_download_that_drips_begins_with_a_few_bytes() -> None:
    site = SimulatedSite(drip_pause_seconds=PATIENCE_SECONDS)
    project = site.add_project()
    snapshot = site.add_snapshot(project)
    site.break_download(project, "drip")
    with SimulatorServer(site) as server, closing(connect(server)) as connection:
        path = f"/snapshot/projects/{project}/snapshots/{snapshot}"
        connection.request("GET", path, headers=KEY)
        with closing(connection.getresponse()) as response:
            assert len(response.read(16)) == 16


def test_the_storage_is_a_second_address_that_wants_no_key() -> None:
    site = SimulatedSite()
    project = site.add_project()
    snapshot = site.add_snapshot(project)
    with SimulatorServer(site, storage=True) as server:
        response, _ = ask(server, f"/snapshot/projects/{project}/snapshots/{snapshot}")
        assert response.status == 307
        location = urlsplit(response.getheader("Location") or "")
        assert location.port == server.storage_port != server.port
        for headers, status in (({}, 200), (KEY, 400)):
            with closing(connect(server, server.storage_port)) as connection:
                connection.request("GET", f"{location.path}?{location.query}", headers=headers)
                assert connection.getresponse().status == status
    assert [seen.authorization for seen in site.storage_requests] == [False, True]
