"""Answers that are not what a client expects of the site, as its sockets see them."""

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    accept,
    add_headers,
    answer_with,
    edit_answer,
    redirect,
    refuse,
)
from tests.simulator.caller import Caller, Clock

KEY = {"Authorization": "scitran-user secret-key"}
PATIENCE_SECONDS = 30.0
OLD = "Fri, 01 Jan 2010 00:00:00 GMT"


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedSite()) as running:
        yield running


@pytest.fixture
def project(server: SimulatorServer) -> str:
    return server.site.add_project()


def connect(server: SimulatorServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE_SECONDS)


def ask(
    server: SimulatorServer, path: str, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(connect(server)) as connection:
        connection.request(method, path, headers=KEY)
        response = connection.getresponse()
        return response, response.read()


def create(
    server: SimulatorServer, project: str, action: Action
) -> tuple[http.client.HTTPResponse, bytes]:
    server.site.fault(Fault("create", times=1, action=action))
    return ask(server, f"/snapshot/projects/{project}/snapshots", "POST")


def nobody_is_served(server: SimulatorServer) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.site.traffic.in_flight > 0:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (
            refuse(404, body=b"default backend - 404", headers={"Content-Type": "text/plain"}),
            "text/plain",
        ),
        (refuse(404, body=b"<html>", headers={"content-type": "text/plain"}), "text/plain"),
        (refuse(422, body=b'{"detail": []}'), "application/json"),
        (refuse(502, body=b"<html>"), "text/html"),
    ],
)
def test_a_raw_error_comes_as_it_was_written(
    server: SimulatorServer, project: str, action: Action, kind: str
) -> None:
    response, body = create(server, project, action)
    assert (response.status, body) == (action.status, action.body)
    assert response.headers.get_all("Content-Type") == [kind]


def test_headers_of_an_answer_win_over_the_sites_own(server: SimulatorServer, project: str) -> None:
    bomb = gzip.compress(b"[]" + b" " * 100_000)
    headers = {"Content-Encoding": "gzip", "Set-Cookie": "a=b", "date": OLD}
    response, body = create(server, project, answer_with(bomb, headers=headers))
    assert body == bomb
    assert response.headers.get_all("Date") == [OLD]
    assert response.headers["Set-Cookie"] == "a=b"
    assert response.headers["Content-Encoding"] == "gzip"


def test_headers_can_be_added_to_the_ordinary_answer(server: SimulatorServer, project: str) -> None:
    response, body = create(server, project, add_headers({"Age": "7200", "Date": OLD}))
    assert response.status == 201
    assert json.loads(body)["_id"] == server.site.snapshots(project)[0].id
    assert response.headers["Age"] == "7200"
    assert response.headers.get_all("Date") == [OLD]


@pytest.mark.parametrize("work", [True, False])
def test_a_create_may_be_redirected_to_an_address_that_a_fault_can_hit(
    server: SimulatorServer, project: str, work: bool
) -> None:
    server.site.fault(Fault("other", action=refuse(503)))
    response, body = create(server, project, redirect("/task/7", work=work))
    assert (response.status, body) == (303, b"")
    assert response.headers["Content-Type"] is None
    assert server.site.creates(project) == int(work)
    response, _ = ask(server, response.headers["Location"])
    assert response.status == 503


def test_a_create_that_is_accepted_becomes_a_snapshot_later(
    caller: Caller, site: SimulatedSite, clock: Clock
) -> None:
    project = site.add_project()
    site.fault(Fault(action=accept(5.0)))
    response = caller.create(project)
    assert (response.status, response.content) == (202, b"")
    clock.advance(4)
    assert caller.list(project).document == []
    clock.advance(1)
    assert len(caller.list(project).document) == 1


def test_what_is_accepted_may_be_there_at_once(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project()
    site.fault(Fault(action=accept()))
    assert caller.create(project).status == 202
    assert len(caller.list(project).document) == 1


def test_an_answers_document_can_be_edited(caller: Caller, site: SimulatedSite) -> None:
    project = site.add_project(label="Frühgeborene")
    fault = Fault("create", action=edit_answer(lambda record: {**record, "status": None}))
    site.fault(fault)
    record = caller.create(project).document
    assert record["_id"] == site.snapshots(project)[0].id
    assert record["status"] is None
    site.fault(Fault("projects", action=edit_answer(lambda page: {"total": 5, "results": page})))
    assert caller.projects().document["results"][0]["label"] == "Frühgeborene"
    assert caller.create("malformed").document["status_code"] == 422


@pytest.mark.parametrize("headers", [True, False])
def test_an_answer_may_come_byte_by_byte(
    server: SimulatorServer, project: str, headers: bool
) -> None:
    begin = time.monotonic()
    response, body = create(server, project, Action(drip_seconds=0.0005, drip_headers=headers))
    assert response.status == 201
    assert json.loads(body)["_id"] == server.site.snapshots(project)[0].id
    assert time.monotonic() - begin > 0.0005 * len(body)


@pytest.mark.parametrize("headers", [True, False])
def test_a_dripping_answer_holds_nobody_up_and_ends_when_its_client_leaves(
    server: SimulatorServer, project: str, headers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    action = Action("none", drip_seconds=PATIENCE_SECONDS, drip_headers=headers)
    server.site.fault(Fault("list", action=action))
    with closing(connect(server)) as connection:
        path = f"/snapshot/projects/{project}/snapshots"
        connection.request("GET", path, headers=KEY)
        if headers:
            assert connection.sock.recv(100) == b"H"
        else:
            response = connection.getresponse()
            assert (response.status, response.read(1)) == (502, b"{")
            response.close()
        assert ask(server, "/api/auth/status")[0].status == 200
    nobody_is_served(server)
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []
