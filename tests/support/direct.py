"""A transport without sockets: hands the gear's questions straight to a simulated site.

For tests in which time is injected or thousands of runs are needed. What HTTP and the SDK add is
tested with the real ones, in test_transport.py and in the tests of the whole gear.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar
from urllib.parse import quote

from flywheel_site_simulator import DEFAULT_KEY, Request, Response, SimulatedSite
from fw_gear_sitewide_snapshot.errors import UnclearError
from fw_gear_sitewide_snapshot.transport import Answer, Question, error_for, http_date

from .time import FakeClock

Item = TypeVar("Item")
Result = TypeVar("Result")


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
            raise UnclearError("the site did not answer")
        if response.broken:
            raise UnclearError("the connection broke")
        return _answer(response)


def _answer(response: Response) -> Answer:
    text = response.content.decode()
    try:
        data = json.loads(text)
    except ValueError:
        data = text
    if not 200 <= response.status < 400:
        words = data.get("message", "") if isinstance(data, dict) else ""
        raise error_for(response.status, words, response.headers.get("Retry-After"))
    return Answer(data, http_date(response.headers.get("Date")))


class InTurn:
    """Workers that do everything in turn, in the test's own thread."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def each(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        until: float = math.inf,
    ) -> Iterator[Result]:
        for item in items:
            if self._clock.monotonic() >= until:
                return
            yield function(item)
