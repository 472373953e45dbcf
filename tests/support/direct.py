"""A transport without sockets: hands the gear's requests straight to a simulated site.

For tests in which time is injected or thousands of runs are needed. What HTTP and the SDK add is
tested with the real ones, in test_transport.py and in the tests of the whole gear.
"""

import gzip
import heapq
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from flywheel_site_simulator import DEFAULT_KEY, Request, Response, SimulatedSite
from fw_gear_sitewide_snapshot.errors import AcceptedError, OutcomeUnknownError, TerminatedError
from fw_gear_sitewide_snapshot.site import http
from fw_gear_sitewide_snapshot.site.http import Stream, age_of, date_of, error_for
from fw_gear_sitewide_snapshot.workers import Task, TaskQueue

from .time import FakeClock

Result = TypeVar("Result")

CHUNK_BYTES = 1 << 12


class DirectTransport:
    """Carries requests to a simulated site; delays and hanging pass on the fake clock."""

    def __init__(self, site: SimulatedSite, clock: FakeClock, key: str = DEFAULT_KEY) -> None:
        self._site = site
        self._clock = clock
        self._headers = {"authorization": f"scitran-user {key}"}

    def send(self, request: http.Request) -> http.Response:
        response = self._handle(request)
        if response.status // 100 == 3 and "Location" in response.headers:
            location = urlsplit(response.headers["Location"]).path
            self._site.handle(Request("GET", location, {}, self._headers))
            if request.is_create:
                raise OutcomeUnknownError("the site answered with a redirect")
        if response.broken:
            if request.is_create and response.broken == "truncated" and response.status < 300:
                raise AcceptedError("accepted, but the answer broke off", response.status)
            raise OutcomeUnknownError("the connection broke")
        return _response(response)

    def stream(self, request: http.Request) -> Stream:
        response = self._handle(request)
        if response.status == 307:
            url = urlsplit(response.headers["Location"])
            asked = Request("GET", url.path, dict(parse_qsl(url.query)))
            response = self._site.handle_storage(asked)
            if response.status >= 400:
                raise OutcomeUnknownError(f"the storage says {response.status}")
        if response.broken and response.broken != "truncated":
            raise OutcomeUnknownError("the connection broke")
        return _stream(response)

    def _handle(self, request: http.Request) -> Response:
        path = request.path
        for name, value in request.parameters.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        asked = Request(request.method, path, dict(request.query), self._headers)
        response = self._site.handle(asked)
        late = response.delay_seconds > request.seconds
        self._clock.seconds += min(response.delay_seconds, request.seconds)
        if late or response.broken == "hang":
            self._clock.seconds += 0.0 if late else request.seconds
            raise OutcomeUnknownError("the site did not answer")
        return response


def _stream(response: Response) -> Stream:
    """Give the answer in pieces, unpacked on the way if that is what the header says."""
    if response.status != 200:
        _response(response)
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

    return Stream(chunks(), size)


def _response(response: Response) -> http.Response:
    if not 200 <= response.status < 300:
        raise error_for(response.status, response.headers, response.content)
    try:
        data = json.loads(response.content)
    except ValueError:
        data = response.content.decode("utf-8", "replace")
    return http.Response(data, date_of(response.headers), age_of(response.headers))


class InTurn:
    """Workers whose tasks run side by side in injected time, in the test's own thread."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def queue(self) -> "_InTurnQueue[Any]":
        return _InTurnQueue(self._clock)


class _InTurnQueue(TaskQueue[Result]):
    """Does a task when it is submitted, and hands its result out when its time has passed."""

    def __init__(self, clock: FakeClock) -> None:
        self._time = clock
        self._ends: list[tuple[float, int, Task, Result]] = []
        self._submitted = 0
        self._is_told_to_end = False

    @property
    def in_flight(self) -> int:  # type: ignore[override]  # nobody sets it from outside
        return len(self._ends)

    def submit(self, work: Callable[[], Result]) -> Task:
        task = Task()
        began = self._time.seconds
        self._submitted += 1
        try:
            result = work()
        except TerminatedError:
            self._is_told_to_end = True
            return task
        heapq.heappush(self._ends, (self._time.seconds, self._submitted, task, result))
        self._time.seconds = began
        return task

    def results(self, until: float = math.inf) -> Iterator[Result]:
        if self._is_told_to_end:
            until = self._time.seconds + 2.0
        while self._ends:
            if self._ends[0][0] > until:
                self._time.seconds = max(self._time.seconds, until)
                break
            end, _, _, result = heapq.heappop(self._ends)
            self._time.seconds = max(self._time.seconds, end)
            yield result
        if self._is_told_to_end:
            raise TerminatedError

    def abandon(self, task: Task) -> None:
        self._ends = [end for end in self._ends if end[2] is not task]
        heapq.heapify(self._ends)

    def cancel_pending(self) -> None:
        self._ends.clear()
