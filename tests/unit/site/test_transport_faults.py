"""The real SDK against what is worst: redirects, drips, bombs, streams, cookies."""

import gzip
import itertools
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import cache, partial

import pytest

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    drip,
    lose_answer,
    redirect,
    refuse,
)
from fw_gear_sitewide_snapshot.errors import (
    AcceptedError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from fw_gear_sitewide_snapshot.site.http import Request
from fw_gear_sitewide_snapshot.site.transport import SdkTransport

SNAPSHOTS = "/snapshot/projects/{project}/snapshots"
PROJECT = "5e0000000000000000000012"
NAMES = {"project": PROJECT}
LIST = Request("GET", SNAPSHOTS, NAMES)
CREATE = Request("POST", SNAPSHOTS, NAMES)
BOTH = pytest.mark.parametrize("method", ["GET", "POST"])
REDIRECTS = [301, 302, 303, 307, 308]
# A site that is there says so within this, on a machine that is not stuck.
SOON_SECONDS = 3.0
LONG_SECONDS = 60.0
MIB = 1 << 20
ENDLESS = b"HTTP/1.1 %d Some\r\nContent-Type: application/json\r\nConnection: close\r\n"

Connect = Callable[[str], SdkTransport]


class RawServer:
    """Answers every request with the same pieces, byte for byte, however many they are."""

    def __init__(self, pieces: Callable[[], Iterable[bytes]]) -> None:
        self.heads: list[str] = []
        self.done = threading.Event()
        self._pieces = pieces
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.api_key = f"127.0.0.1:{self.port}:__force_insecure:secret-key"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1 << 16)
            self.heads.append(head.decode("latin-1"))
            for piece in self._pieces():
                connection.sendall(piece)
                if self.done.is_set():
                    return

    def close(self) -> None:
        self.done.set()
        self._socket.close()


Serve = Callable[..., RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[RawServer] = []

    def make(*pieces: bytes, then: Callable[[], Iterable[bytes]] = tuple) -> RawServer:
        made.append(RawServer(lambda: itertools.chain(pieces, then())))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def site(served: SimulatorServer) -> SimulatedSite:
    served.site.add_project(project_id=PROJECT)
    return served.site


@pytest.fixture
def transport(connect: Connect, served: SimulatorServer, site: SimulatedSite) -> SdkTransport:
    assert site is served.site
    return connect(served.api_key())


def failure(ask: Callable[[], object]) -> SiteError:
    """Return the error that it ends in: in one line, and with nothing of Python's."""
    with pytest.raises(SiteError) as raised:
        ask()
    assert str(raised.value).isprintable()
    assert "Error" not in str(raised.value)
    return raised.value


# Redirects


@pytest.mark.parametrize(
    "behind",
    [
        *(refuse(status) for status in (400, 403, 404, 429, 500, 503)),
        refuse(503, headers={"Retry-After": "1"}),
        answer_with({"_id": "6" * 24, "status": "complete"}),
        answer_with(b""),
        redirect("/task/2"),
        lose_answer("reset"),
    ],
)
def test_a_create_that_is_redirected_may_have_been_done_whatever_is_behind(
    transport: SdkTransport, site: SimulatedSite, behind: Action
) -> None:
    site.fault(Fault("other", action=behind))
    for creates, status in enumerate(REDIRECTS, 1):
        site.fault(Fault("create", times=1, action=redirect("/task/1", status)))
        assert type(failure(lambda: transport.send(CREATE))) is OutcomeUnknownError
        assert site.creates(PROJECT) == creates


@pytest.mark.parametrize(
    "location",
    [
        SNAPSHOTS.format(project=PROJECT),
        SNAPSHOTS.format(project=PROJECT) + "/",
        "",
        "http://127.0.0.1:9/x",
        "http://no-such-site.invalid/x",
        "http://[",
        "http://127.0.0.1:99999/",
        "ftp://127.0.0.1/x",
        "x" * 5000,
    ],
)
def test_a_create_is_not_sent_a_second_time_wherever_it_is_redirected(
    transport: SdkTransport, site: SimulatedSite, location: str
) -> None:
    for creates, status in enumerate(REDIRECTS, 1):
        site.fault(Fault("create", times=1, action=redirect(location, status)))
        assert type(failure(lambda: transport.send(CREATE))) is OutcomeUnknownError
        assert site.creates(PROJECT) == creates
        assert [r.kind for r in site.requests].count("create") == creates


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_read_follows_redirects(
    transport: SdkTransport, site: SimulatedSite, status: int
) -> None:
    site.fault(Fault("list", action=redirect("/api/auth/status", status)))
    data = transport.send(LIST).data
    assert isinstance(data, dict)
    assert data == transport.send(Request("GET", "/api/auth/status")).data


@pytest.mark.parametrize("location", [SNAPSHOTS.format(project=PROJECT), "http://[", "ftp://x/"])
def test_a_read_that_is_redirected_for_ever_or_to_nowhere_is_unclear(
    transport: SdkTransport, site: SimulatedSite, location: str
) -> None:
    site.fault(Fault("list", action=redirect(location, 307)))
    error = failure(lambda: transport.send(LIST))
    assert type(error) in {
        OutcomeUnknownError,
        ServiceUnavailableError,
    }  # asked again in either case
    assert len(site.requests) < 30


# Creates that are accepted, and whose answers don't come


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity"])
def test_a_create_whose_answer_cannot_be_read_is_accepted(
    connect: Connect, serve: Serve, status: int, encoding: str
) -> None:
    head = ENDLESS % status + b"Content-Encoding: " + encoding.encode() + b"\r\n"
    server = serve(head + b"Content-Length: 100\r\n\r\n" + b'{"_id": "')
    error = failure(lambda: connect(server.api_key).send(CREATE))
    assert type(error) is AcceptedError
    assert error.status == status


def test_a_create_whose_answer_is_cut_off_is_accepted(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    site.fault(Fault("create", action=lose_answer("truncated")))
    assert type(failure(lambda: transport.send(CREATE))) is AcceptedError
    assert site.creates(PROJECT) == 1


def test_a_create_whose_answer_drips_past_its_time_is_accepted(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    site.fault(Fault("create", action=drip(SOON_SECONDS / 10)))
    error = failure(lambda: transport.send(Request("POST", SNAPSHOTS, NAMES, seconds=SOON_SECONDS)))
    assert type(error) is AcceptedError
    assert site.creates(PROJECT) == 1


@BOTH
def test_a_body_that_is_cut_off_or_too_large_is_lost_on_a_read_only(
    connect: Connect, serve: Serve, method: str
) -> None:
    for rest in (b"Content-Length: 9\r\n\r\n[", b"Content-Length: 5000\r\n\r\n" + b" " * 5000):
        server = serve(ENDLESS % 200 + rest)
        request = Request(method, "/x", max_bytes=4096)
        error = failure(partial(connect(server.api_key).send, request))
        assert type(error) is (AcceptedError if method == "POST" else OutcomeUnknownError)


# Drips


@pytest.mark.parametrize("headers", [False, True], ids=["body", "headers"])
@BOTH
def test_a_call_ends_in_its_time_however_its_bytes_drip(
    transport: SdkTransport, site: SimulatedSite, method: str, headers: bool
) -> None:
    action = Action(body=b" " * 200, drip_seconds=0.5, drip_headers=headers)
    site.fault(Fault(None, action=action))
    began = time.monotonic()
    failure(lambda: transport.send(Request(method, SNAPSHOTS, NAMES, seconds=1.0)))
    assert time.monotonic() - began < LONG_SECONDS  # the whole answer would take longer
    assert len(site.requests) == 1


def test_a_refusal_that_drips_counts_by_its_status(connect: Connect, serve: Serve) -> None:
    def dripping() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b" "

    server = serve(ENDLESS % 422 + b'\r\n{"message"', then=dripping)
    request = Request("POST", "/x", seconds=SOON_SECONDS)
    error = failure(lambda: connect(server.api_key).send(request))
    assert (type(error), error.status) == (RejectedError, 422)


# Bombs


@cache
def packed() -> bytes:
    """Pack 256 MiB into few bytes."""
    return gzip.compress(b"[" * (256 << 20), 1)


GZIP = b"Content-Encoding: gzip\r\n\r\n"
BOMBS: dict[str, tuple[bytes, bytes]] = {
    "gzip": (GZIP, b""),  # and what is packed
    "endless": (b"\r\n[", b"1, " * 20_000),
    "endless chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"FFFF\r\n" + b"1" * 65_535 + b"\r\n",
    ),
    "endless behind gzip": (GZIP + gzip.compress(b"[]"), b"\0" * 60_000),
}


@pytest.mark.parametrize("status", [200, 404, 500, 303])
@pytest.mark.parametrize("bomb", BOMBS)
@BOTH
def test_no_answer_takes_more_memory_or_time_than_it_may(
    connect: Connect, serve: Serve, method: str, bomb: str, status: int
) -> None:
    start, rest = BOMBS[bomb]
    start += packed() if bomb == "gzip" else b""
    location = b"Location: /x\r\n" if status == 303 else b""
    server = serve(
        ENDLESS % status + location + start, then=lambda: itertools.repeat(rest) if rest else ()
    )
    transport = connect(server.api_key)
    tracemalloc.start()
    try:
        with suppress(SiteError):
            transport.send(Request(method, "/x", seconds=LONG_SECONDS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 * MIB


@pytest.mark.parametrize("bomb", ["gzip", "endless", "endless chunks"])
def test_too_large_an_answer_is_told_in_words(connect: Connect, serve: Serve, bomb: str) -> None:
    start, rest = BOMBS[bomb]
    start += packed() if bomb == "gzip" else b""
    server = serve(ENDLESS % 200 + start, then=lambda: itertools.repeat(rest) if rest else ())
    transport = connect(server.api_key)
    assert str(failure(lambda: transport.send(Request("GET", "/x")))) == (
        "unexpected response: more than 4.0 MiB"
    )


# Streams


def test_a_large_download_comes_in_pieces(connect: Connect, serve: Serve) -> None:
    body = os.urandom(MIB) * 8
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    with closing(connect(server.api_key).stream(LIST)) as stream:
        assert stream.size == len(body)
        pieces = list(stream.chunks)
    assert max(map(len, pieces)) <= MIB
    assert b"".join(pieces) == body


def test_the_first_bytes_of_a_drip_are_seen_at_once(connect: Connect, serve: Serve) -> None:
    go_on = threading.Event()

    def later() -> Iterator[bytes]:
        go_on.wait(LONG_SECONDS)
        yield b"second"

    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst", then=later)
    with closing(connect(server.api_key).stream(LIST)) as stream:
        assert next(stream.chunks) == b"first"
        assert not go_on.is_set()
        go_on.set()
        assert b"".join(stream.chunks) == b"second"


@pytest.mark.parametrize("length", [b"Content-Length: 50\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_download_that_breaks_off_is_unclear(
    connect: Connect, serve: Serve, length: bytes
) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n5\r\nfirst\r\n")
    with closing(connect(server.api_key).stream(LIST)) as stream:
        assert type(failure(lambda: list(stream.chunks))) is OutcomeUnknownError


def test_a_download_that_brings_nothing_ends_in_its_time(connect: Connect, serve: Serve) -> None:
    def nothing() -> Iterator[bytes]:
        time.sleep(LONG_SECONDS)
        yield b""

    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfirst", then=nothing)
    request = Request("GET", "/x", seconds=SOON_SECONDS)
    with closing(connect(server.api_key).stream(request)) as stream:
        assert next(stream.chunks) == b"first"
        assert type(failure(lambda: list(stream.chunks))) is OutcomeUnknownError


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
@pytest.mark.parametrize("body", [b"<Error>expired</Error>", b'{"message": "expired"}', b""])
def test_a_storage_that_refuses_says_nothing_of_the_snapshot(
    transport: SdkTransport, site: SimulatedSite, serve: Serve, status: int, body: bytes
) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    storage = serve(b"HTTP/1.1 %d No\r\n" % status + length + body)
    site.fault(Fault(None, action=redirect(f"http://127.0.0.1:{storage.port}/x?signed=1", 302)))
    error = failure(lambda: transport.stream(LIST))
    assert type(error) is OutcomeUnknownError
    assert f"the site says {status}" in str(error)
    assert "authorization" not in storage.heads[0].lower()


@pytest.mark.parametrize("status", [429, 503])
def test_a_storage_that_is_busy_says_how_long_to_wait(
    transport: SdkTransport, site: SimulatedSite, serve: Serve, status: int
) -> None:
    wish = b"Retry-After: 7\r\nContent-Length: 0\r\n\r\n"
    storage = serve(b"HTTP/1.1 %d Busy\r\n" % status + wish)
    site.fault(Fault(None, action=redirect(f"http://127.0.0.1:{storage.port}/x", 307)))
    error = failure(lambda: transport.stream(LIST))
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == 7.0


def test_a_stream_that_the_site_itself_refuses_is_refused(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    site.fault(Fault(None, action=refuse(422, "No")))
    assert type(failure(lambda: transport.stream(LIST))) is RejectedError


# Cookies


@pytest.mark.parametrize(
    "cookie", ["sticky=1", "sticky=1; Path=/", "sticky=1; Domain=127.0.0.1", "sticky=1; Path=/x"]
)
def test_cookies_are_not_sent_back(connect: Connect, serve: Serve, cookie: str) -> None:
    server = serve(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nSet-Cookie: "
        + cookie.encode()
        + b"\r\n\r\n[]"
    )
    transport = connect(server.api_key)
    for _ in range(3):
        assert transport.send(Request("GET", "/x")).data == []
    assert len(server.heads) == 3
    assert "cookie" not in "".join(server.heads).lower()
