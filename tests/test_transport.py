"""The real SDK over HTTP: every way in which a request can end, and what it becomes."""

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_site_simulator import (
    DEFAULT_KEY,
    Action,
    Fault,
    SimulatedSite,
    SimulatorServer,
    answer_with,
    break_off,
    lose_answer,
    refuse,
    slow_down,
)
from fw_gear_sitewide_snapshot.calls import Question, error_for, http_date
from fw_gear_sitewide_snapshot.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from fw_gear_sitewide_snapshot.transport import SdkTransport
from fw_gear_sitewide_snapshot.workers import IN_FLIGHT
from tests.support.repository import ROOT

SNAPSHOTS = "/snapshot/projects/{project}/snapshots"
PROJECT = "5e0000000000000000000012"
LIST = Question("GET", SNAPSHOTS, {"project": PROJECT})
CREATE = Question("POST", SNAPSHOTS, {"project": PROJECT})
HANG_SECONDS = 0.2
# Of what happens at once on a machine that is not stuck.
LONG_SECONDS = 30.0
PROXIES = ["all_proxy", "http_proxy", "https_proxy", "no_proxy"]

Connect = Callable[[str], SdkTransport]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make transports whose connections end with the test."""
    made: list[SdkTransport] = []

    def make(api_key: str) -> SdkTransport:
        made.append(SdkTransport(api_key))
        return made[-1]

    yield make
    for transport in made:
        transport._client.rest_client.client.close()


@pytest.fixture
def transport(connect: Connect, served: SimulatorServer) -> SdkTransport:
    served.site.add_project(project_id=PROJECT)
    return connect(served.api_key())


@pytest.fixture
def site(served: SimulatorServer) -> SimulatedSite:
    return served.site


def failure(ask: Callable[[], object]) -> SiteError:
    """The error that it ends in, whose text is one line."""
    with pytest.raises(SiteError) as raised:
        ask()
    assert str(raised.value).isprintable()
    return raised.value


def fails(site: SimulatedSite, action: Action) -> None:
    """Have every request end like this."""
    site.fault(Fault(None, action=action))


# Answers


def test_an_answer_is_decoded_json(transport: SdkTransport, site: SimulatedSite) -> None:
    created = transport(CREATE).data
    listed = transport(LIST).data
    assert isinstance(created, dict)
    assert listed == [created]
    assert created["_id"] == site.snapshots(PROJECT)[0].id


def test_a_questions_query_is_sent(transport: SdkTransport, site: SimulatedSite) -> None:
    query = {"filter": 'label="a&b=c, é +%20",group=x', "limit": "250"}
    transport(Question("GET", "/api/auth/status", query=query))
    assert site.requests[-1].query == query


def test_an_answers_date_is_the_sites(transport: SdkTransport, site: SimulatedSite) -> None:
    site.clock_offset_seconds = 86_400.0
    before = datetime.now(UTC).timestamp()
    date = transport(LIST).date
    assert date is not None
    assert date.tzinfo is UTC
    assert before - 1.0 <= date.timestamp() - 86_400.0 <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("value", [None, [], {}, "text", 5, {"label": "é 漢 🧠"}])
def test_any_json_is_an_answer(transport: SdkTransport, site: SimulatedSite, value: object) -> None:
    fails(site, answer_with(value))
    assert transport(LIST).data == value


def test_a_page_in_place_of_json_is_text(transport: SdkTransport, site: SimulatedSite) -> None:
    fails(site, answer_with(b"<html>It works!</html>"))
    assert transport(LIST).data == "<html>It works!</html>"


def test_every_request_names_the_gear(connect: Connect) -> None:
    transport = connect("127.0.0.1:1:key")
    assert transport._client.user_agent.startswith("sitewide-snapshot/")


# Refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedError),
        (401, RejectedError),
        (403, RejectedError),
        (404, NotFoundError),
        (409, RejectedError),
        (422, RejectedError),
        (429, ServiceUnavailableError),
        (500, OutcomeUnknownError),
        (502, OutcomeUnknownError),
        (503, ServiceUnavailableError),
        (504, OutcomeUnknownError),
    ],
)
@pytest.mark.parametrize("question", [LIST, CREATE], ids=["GET", "POST"])
def test_a_status_says_what_became_of_the_request(
    transport: SdkTransport,
    site: SimulatedSite,
    question: Question,
    status: int,
    kind: type[SiteError],
) -> None:
    fails(site, refuse(status, "The site's own words"))
    error = failure(lambda: transport(question))
    assert type(error) is kind
    assert error.status == status
    assert str(error) == f"the site says {status}: The site's own words"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>Bad Gateway</html>", "the site says 502: Bad Gateway"),
        (b"", "the site says 502: Bad Gateway"),
        (b"\xff\xfe", "the site says 502: Bad Gateway"),
        (b"[]", "the site says 502: Bad Gateway"),
        (b'{"message": null}', "the site says 502"),
        (b'{"message": {"a": 1}}', "the site says 502"),
        (b'{"message": "two\\nlines\\u001b"}', r"the site says 502: two lines\x1b"),
    ],
    ids=["page", "empty", "bytes", "list", "null", "object", "lines"],
)
def test_a_refusal_of_any_body_is_told_in_one_line(
    transport: SdkTransport, site: SimulatedSite, body: bytes, words: str
) -> None:
    fails(site, refuse(502, body=body))
    assert str(failure(lambda: transport(LIST))) == words


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_a_busy_site_says_how_long_to_wait(
    transport: SdkTransport,
    site: SimulatedSite,
    status: int,
    header: str | None,
    seconds: float | None,
) -> None:
    fails(site, refuse(status, headers={} if header is None else {"Retry-After": header}))
    error = failure(lambda: transport(CREATE))
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Fri, 31 Dec 2027 23:59:29 GMT", 30.0),
        ("Sat, 01 Jan 2028 00:00:29 GMT", 0.0),
        ("today", None),
        (None, None),
    ],
)
def test_a_date_to_come_back_at_is_read_by_the_clock_of_the_answer(
    date: str | None, seconds: float | None
) -> None:
    headers = {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"} | ({"Date": date} if date else {})
    error = error_for(503, "", headers)
    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == seconds


@given(
    st.integers(min_value=100, max_value=599),
    st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text()),
)
def test_only_429_and_503_say_for_certain_that_nothing_was_done(
    status: int, headers: dict[str, str]
) -> None:
    error = error_for(status, "", headers)
    assert isinstance(error, ServiceUnavailableError) == (status in {429, 503})
    assert isinstance(error, RejectedError) == (400 <= status < 500 and status != 429)
    assert error.status == status


# Answers that are lost


@pytest.mark.parametrize(
    "action",
    [
        break_off("reset"),
        lose_answer("reset"),
        lose_answer("truncated"),
        answer_with(b"\xff\xfe not UTF-8"),
        refuse(200, body=b"no gzip", headers={"Content-Encoding": "gzip"}),
        refuse(302, headers={"Location": "/api/projects"}),
        answer_with(b"[" * 100_000),
    ],
    ids=["reset", "reset afterwards", "truncated", "bytes", "no gzip", "redirects", "depth"],
)
@pytest.mark.parametrize("question", [LIST, CREATE], ids=["GET", "POST"])
def test_an_answer_that_is_lost_is_unclear(
    transport: SdkTransport, site: SimulatedSite, question: Question, action: Action
) -> None:
    fails(site, action)
    error = failure(lambda: transport(question))
    assert type(error) is OutcomeUnknownError
    assert error.status == 0


def test_a_site_that_does_not_answer_in_time_is_unclear(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    fails(site, break_off("hang"))
    began = time.monotonic()
    error = failure(lambda: transport(Question("GET", "/x", read_seconds=HANG_SECONDS)))
    assert time.monotonic() - began < LONG_SECONDS
    assert type(error) is OutcomeUnknownError
    assert str(error) == "the site did not answer within 0.2 s"


# No connection


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else can take."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        yield plug.getsockname()[1]


def test_a_port_without_a_listener_has_certainly_done_nothing(
    connect: Connect, closed_port: int
) -> None:
    transport = connect(f"127.0.0.1:{closed_port}:__force_insecure:secret-key")
    error = failure(lambda: transport(CREATE))
    assert type(error) is ServiceUnavailableError
    assert str(error).startswith("no connection to the site: ")


def test_a_site_that_speaks_no_tls_has_certainly_done_nothing(
    connect: Connect, served: SimulatorServer
) -> None:
    transport = connect(f"127.0.0.1:{served.port}:secret-key")
    assert type(failure(lambda: transport(CREATE))) is ServiceUnavailableError
    assert served.site.requests == []


def test_a_host_that_has_no_address_has_certainly_done_nothing(connect: Connect) -> None:
    transport = connect("no-such-site.invalid:443:secret-key")
    error = failure(lambda: transport(CREATE))
    assert type(error) is ServiceUnavailableError
    assert str(error).startswith("no connection to the site: ")


@pytest.mark.parametrize("host", ["\u200b", "a\u0301\u200d.invalid"])
def test_a_host_that_is_no_name_is_told_so(connect: Connect, host: str) -> None:
    transport = connect(f"{host}:443:secret-key")
    with pytest.raises(SiteUnusableError, match="the API key's host") as raised:
        transport(LIST)
    assert str(raised.value).isprintable()


def test_a_request_that_finds_no_free_connection_is_never_sent(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    with hanging(transport, site, IN_FLIGHT):
        error = failure(lambda: transport(Question("POST", "/x", read_seconds=HANG_SECONDS)))
        assert type(error) is ServiceUnavailableError
        assert len(site.requests) == IN_FLIGHT


# What is sent


@pytest.mark.parametrize(
    "value", ["../../x", "a/b", "..%2f", "%2e%2e", "a?b=c#d", "{snapshot}", "é\n\r\0", " "]
)
def test_no_parameter_changes_the_path(
    transport: SdkTransport, site: SimulatedSite, value: str
) -> None:
    failure(lambda: transport(Question("GET", SNAPSHOTS, {"project": value})))
    assert (site.requests[-1].kind, site.requests[-1].project_id) == ("list", value)
    assert site.requests[-1].path.count("/") == SNAPSHOTS.count("/")


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_parameter_that_is_a_step_in_a_path_is_refused_and_not_sent(
    transport: SdkTransport, site: SimulatedSite, value: str
) -> None:
    error = failure(lambda: transport(Question("GET", SNAPSHOTS, {"project": value})))
    assert isinstance(error, RejectedError)
    assert site.requests == []


@pytest.mark.parametrize(
    "action",
    [
        *(refuse(status) for status in (429, 500, 502, 503, 504)),
        break_off("reset"),
        lose_answer("truncated"),
    ],
    ids=["429", "500", "502", "503", "504", "reset", "truncated"],
)
@pytest.mark.parametrize("question", [LIST, CREATE], ids=["GET", "POST"])
def test_a_request_is_sent_once_however_it_ends(
    transport: SdkTransport, site: SimulatedSite, question: Question, action: Action
) -> None:
    fails(site, action)
    failure(lambda: transport(question))
    assert len(site.requests) == 1


def test_a_request_is_sent_once_when_it_is_not_answered(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    fails(site, break_off("hang"))
    failure(lambda: transport(Question("GET", "/x", read_seconds=HANG_SECONDS)))
    assert len(site.requests) == 1


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
    ],
    ids=["400", "403", "503", "500"],
)
def test_a_key_that_the_site_echoes_is_in_no_error(
    transport: SdkTransport, site: SimulatedSite, action: Action
) -> None:
    fails(site, action)
    error = failure(lambda: transport(LIST))
    assert "[API key]" in str(error)
    assert not [text for text in chain(error) if DEFAULT_KEY in text]


def test_a_whole_key_that_the_site_echoes_is_blanked_whole(
    transport: SdkTransport, served: SimulatorServer
) -> None:
    fails(served.site, refuse(400, f"Bad: {served.api_key()}!"))
    assert str(failure(lambda: transport(LIST))) == "the site says 400: Bad: [API key]!"


def test_the_key_is_not_in_the_transports_url(connect: Connect) -> None:
    transport = connect("site.example.org:8443:secret-key")
    assert transport.url == "https://site.example.org:8443"


def test_a_dead_key_is_refused_in_the_sites_words(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    site.remove_key()
    error = failure(lambda: transport(LIST))
    assert type(error) is RejectedError
    assert str(error).startswith("the site says 401: Invalid API key")


# In parallel


class hanging:  # noqa: N801 - reads as a statement
    """While the block runs, so many requests are at the site, which answers none of them."""

    def __init__(
        self, transport: SdkTransport, site: SimulatedSite, requests: int, threads: int = 0
    ) -> None:
        self._site = site
        self._requests = requests
        self._threads = [
            threading.Thread(target=self._ask, args=(transport,), daemon=True)
            for _ in range(threads or requests)
        ]
        fails(site, slow_down(LONG_SECONDS))

    @staticmethod
    def _ask(transport: SdkTransport) -> None:
        with pytest.raises(SiteError):
            transport(Question("GET", "/x", read_seconds=LONG_SECONDS))

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + LONG_SECONDS
        while len(self._site.requests) < self._requests and time.monotonic() < end:
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        """The requests end when the server does."""


def test_as_many_requests_as_there_are_workers_are_under_way_together(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    with hanging(transport, site, IN_FLIGHT):
        assert site.most_in_flight == IN_FLIGHT


def test_more_threads_than_workers_open_no_more_connections(
    transport: SdkTransport, site: SimulatedSite
) -> None:
    with hanging(transport, site, IN_FLIGHT, threads=2 * IN_FLIGHT):
        time.sleep(0.1)  # time for a connection too many
        assert site.most_in_flight == IN_FLIGHT


def test_the_pool_is_as_large_as_the_workers_need_whatever_the_machine(connect: Connect) -> None:
    transport = connect("127.0.0.1:1:key")
    assert transport._client.configuration.connection_pool_maxsize == IN_FLIGHT


# The Date header


@pytest.mark.parametrize(
    "header",
    [
        "Sat, 31 Jan 2026 12:00:05 GMT",
        "Sat, 31 Jan 2026 12:00:05 +0000",
        "Sat, 31 Jan 2026 14:00:05 +0200",
        "Sat, 31 Jan 2026 12:00:05 -0000",
        "Sat, 31 Jan 2026 12:00:05",
    ],
)
def test_a_date_is_read_in_utc(header: str) -> None:
    assert http_date(header) == datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_date_is_read_alike_in_every_zone_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        date = http_date("Sat, 31 Jan 2026 12:00:05 -0000")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert date == datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


@given(st.none() | st.text() | st.from_regex(r"Sat, \d+ Jan \d+ \d+:\d+:\d+ \+\d+"))
def test_a_date_that_cannot_be_read_is_none(header: str | None) -> None:
    date = http_date(header)
    assert date is None or date.tzinfo is UTC


def test_the_sdk_s_own_repeating_is_off_whatever_the_environment() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLYWHEEL")}
    say = "import run, flywheel.rest; print(flywheel.rest.TOTAL_RETRIES)"

    said = subprocess.run(
        [sys.executable, "-c", say], cwd=ROOT, env=environment, capture_output=True, check=True
    )

    assert said.stdout.split() == [b"0"]


def test_a_create_that_is_redirected_to_nowhere_may_have_been_done() -> None:
    site = SimulatedSite()
    project = site.add_project()
    nowhere = {"Location": "http://127.0.0.1:9/x"}
    site.fault(Fault("create", action=Action("done", 303, body=b"", headers=nowhere)))

    with SimulatorServer(site) as server:
        transport = SdkTransport(server.api_key())
        with pytest.raises(OutcomeUnknownError):
            transport(Question("POST", "/snapshot/projects/{p}/snapshots", {"p": project}))
        transport._client.rest_client.client.close()

    assert site.creates(project) == 1
