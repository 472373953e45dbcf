"""A transport without sockets: hands the gear's questions straight to a simulated site.

For tests in which time is injected or thousands of runs are needed. What HTTP and the SDK add is
tested with the real ones, in test_transport.py and in the tests of the whole gear.
"""

import gzip
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from flywheel_site_simulator import DEFAULT_KEY, Request, Response, SimulatedSite
from fw_gear_sitewide_snapshot.calls import Answer, Question, Stream, error_for, http_date
from fw_gear_sitewide_snapshot.errors import OutcomeUnknownError

from .time import FakeClock

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_BYTES = 1 << 12


class DirectTransport:
    """Carries questions to a simulated site; delays and hanging pass on the fake clock."""

    def __init__(self, site: SimulatedSite, clock: FakeClock, key: str = DEFAULT_KEY) -> None:
        self._site = site
        self._clock = clock
        self._headers = {"authorization": f"scitran-user {key}"}

    def __call__(self, question: Question) -> Answer:
        path = question.path
        for name, value in question.parameters.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        request = Request(question.method, path, dict(question.query), self._headers)
        response = self._site.handle(request)
        late = response.delay_seconds > question.read_seconds
        self._clock.seconds += min(response.delay_seconds, question.read_seconds)
        if late or response.broken == "hang":
            self._clock.seconds += 0.0 if late else question.read_seconds
            raise OutcomeUnknownError("the site did not answer")
        if question.streamed and response.status == 307:
            response = self._follow(response.headers["Location"])
        if response.broken and not (question.streamed and response.broken == "truncated"):
            raise OutcomeUnknownError("the connection broke")
        return _streamed(response) if question.streamed else _answer(response)

    def _follow(self, location: str) -> Response:
        url = urlsplit(location)
        return self._site.handle_storage(Request("GET", url.path, dict(parse_qsl(url.query))))


def _streamed(response: Response) -> Answer:
    """The answer in pieces, unpacked on the way if that is what the header says."""
    if response.status != 200:
        return _answer(response)
    body = response.content
    size = len(body)
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)

    def chunks() -> Iterator[bytes]:
        until = len(body) // 2 if response.broken else len(body)
        for start in range(0, until, CHUNK_BYTES):
            yield body[start : min(start + CHUNK_BYTES, until)]
        if response.broken:
            raise OutcomeUnknownError("the connection broke")

    return Answer(Stream(chunks(), size))


def _answer(response: Response) -> Answer:
    text = response.content.decode()
    try:
        data = json.loads(text)
    except ValueError:
        data = text
    if not 200 <= response.status < 400:
        words = data.get("message", "") if isinstance(data, dict) else ""
        raise error_for(response.status, words, response.headers)
    return Answer(data, http_date(response.headers.get("Date")))


class InTurn:
    """Workers that do everything in turn, in the test's own thread."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def gather(self) -> "_InTurnGathering[Result]":
        return _InTurnGathering(self._clock)

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        yield from map(function, items)


class _InTurnGathering(Generic[Result]):
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._work: deque[Callable[[], Result]] = deque()

    @property
    def in_flight(self) -> int:
        return len(self._work)

    def send(self, work: Callable[[], Result]) -> None:
        self._work.append(work)

    def results(self, until: float = math.inf) -> Iterator[Result]:
        while self._work and self._clock.monotonic() < until:
            yield self._work.popleft()()

    def abandon(self) -> None:
        self._work.clear()
