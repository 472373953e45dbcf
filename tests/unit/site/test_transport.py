"""The real SDK over HTTP: every way in which a request can end, and what it becomes."""

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from flywheel_site_simulator import (
    DEFAULT_KEY,
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    add_headers,
    answer_with,
    break_off,
    lose_answer,
    refuse,
    slow_down,
)
from fw_gear_sitewide_snapshot.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from fw_gear_sitewide_snapshot.site.http import Request
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from tests.support.repository import ROOT

SNAPSHOTS = "/snapshot/projects/{project}/snapshots"
PROJECT = "5e0000000000000000000012"
LIST = Request("GET", SNAPSHOTS, {"project": PROJECT})
CREATE = Request("POST", SNAPSHOTS, {"project": PROJECT})
HANG_SECONDS = 2.0
# Of what happens at once on a machine that is not stuck.
LONG_SECONDS = 30.0
MOST_CALLS = 16  # at a time, by the whole gear

Connect = Callable[[str], SdkTransport]


@pytest.fixture
def transport(connect: Connect, served: SimulatorServer) -> SdkTransport:
    served.site.add_project(project_id=PROJECT)
    return connect(served.api_key())


@pytest.fixture
def site(served: SimulatorServer) -> SimulatedSite:
    return served.site


def failure(ask: Callable[[], object]) -> SiteError:
    """Return the error that it ends in, whose text is one line."""
    with pytest.raises(SiteError) as raised:
        ask()
    assert str(raised.value).isprintable()
    return raised.value


def fails(site: SimulatedSite, action: Action) -> None:
    """Have every request end like this."""
    site.fault(Fault(None, action=action))


# Answers


def test_an_answer_is_decoded_json(transport: SdkTransport, site: SimulatedSite) -> None:
    created = transport.send(CREATE).data
    listed = transport.send(LIST).data
    assert isinstance(created, dict)
    assert isinstance(listed, list)
    assert [record["_id"] for record in listed] == [created["_id"]]  # it may have gone on by now
    assert created["_id"] == site.snapshots(PROJECT)[0].id


def test_a_requests_query_is_sent(transport: SdkTransport, site: SimulatedSite) -> None:
    query = {"filter": 'label="a&b=c, é +%20",group=x', "limit": "250"}
    transport.send(Request("GET", "/api/auth/status", query=query))
    assert site.requests[-1].query == query


def test_an_answers_date_is_the_sites(transport: SdkTransport, site: SimulatedSite) -> None:
    site.clock_offset_seconds = 86_400.0
    before = datetime.now(UTC).timestamp()
    date = transport.send(LIST).date
    assert date is not None
    assert date.tzinfo is UTC
    assert before - 1.0 <= date.timestamp() - 86_400.0 <= datetime.now(UTC).timestamp()


def test_an_answer_from_a_cache_has_an_age_which_its_date_includes(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    assert transport.send(LIST).age == 0.0
    fails(site, add_headers({"Age": "7200", "Date": "Sat, 31 Jan 2026 12:00:05 GMT"}))
    response = transport.send(LIST)
    assert (response.age, response.date) == (7200.0, datetime(2026, 1, 31, 14, tzinfo=UTC))


@pytest.mark.parametrize("value", [None, [], {}, "text", 5, {"label": "é 漢 🧠"}])
@pytest.mark.parametrize("request_", [LIST, CREATE], ids=["GET", "POST"])
def test_any_json_is_an_answer(
    transport: SdkTransport, site: SimulatedSite, request_: Request, value: object
) -> None:
    fails(site, answer_with(value))
    assert transport.send(request_).data == value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>It works!</html>", "<html>It works!</html>"),
        (b"", ""),
        (b"\xff\xfe not UTF-8", "\ufffd\ufffd not UTF-8"),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=["page", "empty", "bytes", "depth"],
)
@pytest.mark.parametrize("request_", [LIST, CREATE], ids=["GET", "POST"])
def test_what_is_no_json_is_text(
    transport: SdkTransport, site: SimulatedSite, request_: Request, body: bytes, text: str
) -> None:
    fails(site, answer_with(body))
    assert transport.send(request_).data == text


def test_every_request_names_the_gear(connect: Connect) -> None:
    transport = connect("127.0.0.1:1:key")
    assert transport._client.user_agent.startswith("sitewide-snapshot/")


# Refusals


@pytest.mark.parametrize(
    ("status", "own", "anothers"),
    [
        (400, RejectedError, RejectedError),
        (401, RejectedError, RejectedError),
        (403, RejectedError, ServiceUnavailableError),
        (404, NotFoundError, ServiceUnavailableError),
        (408, OutcomeUnknownError, OutcomeUnknownError),
        (409, RejectedError, RejectedError),
        (421, ServiceUnavailableError, ServiceUnavailableError),
        (422, RejectedError, RejectedError),
        (425, ServiceUnavailableError, ServiceUnavailableError),
        (429, ServiceUnavailableError, ServiceUnavailableError),
        (499, OutcomeUnknownError, OutcomeUnknownError),
        (500, OutcomeUnknownError, OutcomeUnknownError),
        (502, OutcomeUnknownError, OutcomeUnknownError),
        (503, ServiceUnavailableError, ServiceUnavailableError),
        (504, OutcomeUnknownError, OutcomeUnknownError),
        (520, OutcomeUnknownError, OutcomeUnknownError),
    ],
)
@pytest.mark.parametrize("request_", [LIST, CREATE], ids=["GET", "POST"])
def test_a_status_says_what_became_of_the_request(
    transport: SdkTransport,
    site: SimulatedSite,
    request_: Request,
    status: int,
    own: type[SiteError],
    anothers: type[SiteError],
) -> None:
    site.fault(Fault(None, times=1, action=refuse(status, "The site's own words")))
    error = failure(lambda: transport.send(request_))
    assert type(error) is own
    assert error.status == status
    assert str(error) == f"the site says {status}: The site's own words"

    fails(site, refuse(status, body=b"default backend"))
    error = failure(lambda: transport.send(request_))
    assert type(error) is anothers
    assert error.status == status
    assert str(error) == f"the site says {status}: default backend"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": [{"msg": "project is archived"}]}', "the site says 422: project is archived"),
        (b"<html>No such <b>thing</b></html>", "the site says 422: No such thing"),
        (b"", "the site says 422"),
        (b"\xff\xfe", "the site says 422: \ufffd\ufffd"),
        (b'{"message": "two\\nlines\\u001b"}', r"the site says 422: two lines\x1b"),
    ],
    ids=["detail", "page", "empty", "bytes", "lines"],
)
def test_a_refusal_of_any_body_is_told_in_one_line(
    transport: SdkTransport, site: SimulatedSite, body: bytes, words: str
) -> None:
    fails(site, refuse(422, body=body))
    assert str(failure(lambda: transport.send(LIST))) == words


def test_a_busy_site_says_how_long_to_wait(transport: SdkTransport, site: SimulatedSite) -> None:
    fails(site, refuse(503, headers={"Retry-After": "7"}))
    error = failure(lambda: transport.send(CREATE))
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == 7.0


# Answers that are lost


@pytest.mark.parametrize("how", [break_off("reset"), lose_answer("reset")], ids=["", "afterwards"])
@pytest.mark.parametrize("request_", [LIST, CREATE], ids=["GET", "POST"])
def test_an_answer_that_is_lost_is_unclear(
    transport: SdkTransport, site: SimulatedSite, request_: Request, how: Action
) -> None:
    fails(site, how)
    error = failure(lambda: transport.send(request_))
    assert type(error) is OutcomeUnknownError
    assert error.status == 0


@pytest.mark.parametrize("request_", ["GET", "POST"])
def test_a_site_that_does_not_answer_in_time_is_unclear(
    transport: SdkTransport, site: SimulatedSite, request_: str
) -> None:
    fails(site, break_off("hang"))
    error = failure(lambda: transport.send(Request(request_, "/x", seconds=HANG_SECONDS)))
    assert type(error) is OutcomeUnknownError
    assert str(error) == "the site did not answer within 2 s"
    assert len(site.requests) == 1


# No connection


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port that nobody listens on, and that nobody else can take."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        yield plug.getsockname()[1]


def test_a_port_without_a_listener_has_certainly_done_nothing(
    connect: Connect, closed_port: int
) -> None:
    transport = connect(f"127.0.0.1:{closed_port}:__force_insecure:secret-key")
    error = failure(lambda: transport.send(CREATE))
    assert type(error) is ServiceUnavailableError
    assert str(error).startswith("no connection to the site: ")


def test_a_site_that_speaks_no_tls_has_certainly_done_nothing(
    connect: Connect, served: SimulatorServer
) -> None:
    transport = connect(f"127.0.0.1:{served.port}:secret-key")
    assert type(failure(lambda: transport.send(CREATE))) is ServiceUnavailableError
    assert served.site.requests == []


def test_a_host_that_has_no_address_has_certainly_done_nothing(connect: Connect) -> None:
    transport = connect("no-such-site.invalid:443:secret-key")
    error = failure(lambda: transport.send(CREATE))
    assert type(error) is ServiceUnavailableError
    assert str(error).startswith("no connection to the site: ")


@pytest.mark.parametrize("host", ["\u200b", "a\u0301\u200d.invalid"])
def test_a_host_that_is_no_name_is_told_so(connect: Connect, host: str) -> None:
    transport = connect(f"{host}:443:secret-key")
    with pytest.raises(SiteUnusableError, match="the API key's host") as raised:
        transport.send(LIST)
    assert str(raised.value).isprintable()


# What is sent


@pytest.mark.parametrize(
    "value", ["../../x", "a/b", "..%2f", "%2e%2e", "a?b=c#d", "{snapshot}", "é\n\r\0", " "]
)
def test_no_parameter_changes_the_path(
    transport: SdkTransport, site: SimulatedSite, value: str
) -> None:
    failure(lambda: transport.send(Request("GET", SNAPSHOTS, {"project": value})))
    assert (site.requests[-1].kind, site.requests[-1].project_id) == ("list", value)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_parameter_that_is_a_step_in_a_path_is_refused_and_not_sent(
    transport: SdkTransport, site: SimulatedSite, value: str
) -> None:
    error = failure(lambda: transport.send(Request("GET", SNAPSHOTS, {"project": value})))
    assert isinstance(error, RejectedError)
    assert site.requests == []


@pytest.mark.parametrize(
    "action",
    [
        *(refuse(status, headers={"Retry-After": "0"}) for status in (408, 429, 500, 502, 503)),
        break_off("reset"),
        lose_answer("truncated"),
    ],
    ids=["408", "429", "500", "502", "503", "reset", "truncated"],
)
@pytest.mark.parametrize("request_", [LIST, CREATE], ids=["GET", "POST"])
def test_a_request_is_sent_once_however_it_ends(
    transport: SdkTransport, site: SimulatedSite, request_: Request, action: Action
) -> None:
    fails(site, action)
    failure(lambda: transport.send(request_))
    assert len(site.requests) == 1


def test_the_sdk_s_own_repeating_is_off_whatever_the_environment() -> None:
    names = ["TOTAL_RETRIES", "CONNECT_TIMEOUT", "REQUEST_TIMEOUT", "BACKOFF_FACTOR", "BACKOFF_MAX"]
    say = "import run, flywheel.rest; print(flywheel.rest.TOTAL_RETRIES)"
    for value in ("nonsense", "7"):
        environment = os.environ | {f"FLYWHEEL_SDK_{name}": value for name in names}
        said = subprocess.run(
            [sys.executable, "-c", say], check=True, cwd=ROOT, env=environment, capture_output=True
        )
        assert said.stdout.split() == [b"0"]


# The key


def chain(error: BaseException | None) -> Iterator[str]:
    """Everything that an error and those behind it say."""
    while error is not None:
        yield from (str(error), repr(error), *map(str, error.args))
        yield "".join(traceback.format_exception(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    "action",
    [
        refuse(400, "The key {key} may not do this"),
        refuse(403, "scitran-user {key}"),
        refuse(503, "{key}"),
        lose_answer(500, message="{key}{key}"),
        refuse(422, body=b'{"detail": [{"msg": "Bad: {key}"}]}'),
        refuse(422, body=b"<p>Bad: {key}</p>"),
    ],
    ids=["400", "403", "503", "500", "detail", "page"],
)
def test_a_key_that_the_site_echoes_is_in_no_error(
    transport: SdkTransport, site: SimulatedSite, action: Action
) -> None:
    fails(site, action)
    error = failure(lambda: transport.send(LIST))
    assert "[API key]" in str(error)
    assert not [text for text in chain(error) if DEFAULT_KEY in text]


def test_no_part_of_a_key_is_left_where_words_are_cut(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    fails(site, refuse(400, "x" * 294 + "{key}"))
    assert DEFAULT_KEY[:3] not in str(failure(lambda: transport.send(LIST)))


def test_a_whole_key_that_the_site_echoes_is_blanked_whole(
    transport: SdkTransport, served: SimulatorServer
) -> None:
    fails(served.site, refuse(400, f"Bad: {served.api_key()}!"))
    assert str(failure(lambda: transport.send(LIST))) == "the site says 400: Bad: [API key]!"


def test_the_key_is_not_in_the_transports_url(connect: Connect) -> None:
    transport = connect("site.example.org:8443:secret-key")
    assert transport.url == "https://site.example.org:8443"


def test_a_dead_key_is_refused_in_the_sites_words(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    site.remove_key()
    error = failure(lambda: transport.send(LIST))
    assert type(error) is RejectedError
    assert str(error).startswith("the site says 401: Invalid API key")


# In parallel


@contextmanager
def hanging(transport: SdkTransport, site: SimulatedSite, requests: int) -> Iterator[None]:
    """While the block runs, so many requests are at the site, which answers none of them.

    The requests end when the server does.
    """
    fails(site, slow_down(LONG_SECONDS))

    def ask() -> None:
        with pytest.raises(SiteError):
            transport.send(Request("GET", "/x", seconds=LONG_SECONDS))

    for _ in range(requests):
        threading.Thread(target=ask, daemon=True).start()
    end = time.monotonic() + LONG_SECONDS
    while len(site.requests) < requests and time.monotonic() < end:
        time.sleep(0.005)
    yield


def test_as_many_requests_as_the_gear_sends_are_under_way_together(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    with hanging(transport, site, MOST_CALLS):
        assert site.most_in_flight == MOST_CALLS


def test_a_request_that_finds_no_free_connection_is_never_sent(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    connections = transport._client.configuration.connection_pool_maxsize
    assert connections > MOST_CALLS
    with hanging(transport, site, connections):
        error = failure(lambda: transport.send(Request("POST", "/x", seconds=HANG_SECONDS)))
        assert type(error) is ServiceUnavailableError
        assert len(site.requests) == connections
