"""What becomes of a request: who sends it, and what the rate limit or a fault makes of it.

Hands what they let through to the site's calls, and logs every request. No HTTP and no clock.
"""

from dataclasses import dataclass, replace

from .api import Api, Outcome
from .behaviour import Behaviour
from .faults import Fault
from .population import Population, User
from .protocol import Request, Response, SiteError, http_date, with_headers
from .routes import Route, find_route
from .traffic import Load, LoggedRequest, RateLimit, StorageRequest, Traffic


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, and what is known of it before it is answered."""

    request: Request
    route: Route
    user: User | None
    key: str
    now: float
    request_id: str

    def require_user(self) -> User:
        """Give the user, or refuse a request without a valid key."""
        if self.user is None:
            raise SiteError(401, "Invalid API key: this key is not valid on this site")
        return self.user


class Dispatcher:
    """The way of every request through the site.

    Attributes:
        faults: those in force; the first one that hits a request wins.
        traffic: the requests that came.
    """

    def __init__(self, population: Population, api: Api, behaviour: Behaviour) -> None:
        """Start without faults."""
        self.faults: list[Fault] = []
        self.traffic = Traffic()
        self._population = population
        self._api = api
        self._behaviour = behaviour
        self._rate_limit = RateLimit(behaviour)
        self._load = Load(behaviour)

    def answer(self, request: Request, came: float, now: float) -> Response:
        """Answer a request.

        Args:
            request: the request.
            came: when it came, by the test's clock.
            now: the same moment by the site's clock.
        """
        key = _api_key(request)
        user = self._population.user_of(key)
        route = find_route(request.method, request.path)
        request_id = f"{len(self.traffic.requests):016x}"
        outcome = self._outcome(_Call(request, route, user, key, now, request_id))
        response = outcome.response
        delay = self._load.delay_seconds(route.kind, response.delay_seconds, came)
        self.traffic.requests.append(
            LoggedRequest(
                came,
                route.kind,
                request.method,
                request.path,
                request.query,
                route.project_id,
                outcome.snapshot_id or route.snapshot_id,
                response.arriving_status,
            )
        )
        headers = with_headers({"Date": http_date(int(now + delay))}, response.headers)
        return replace(response, headers=headers, delay_seconds=delay)

    def answer_storage(self, request: Request, now: float) -> Response:
        """Answer a request to the storage's address, at a time by the site's clock."""
        try:
            response = self._api.storage_file(request, now)
        except SiteError as refusal:
            response = refusal.response()
        has_key = "authorization" in request.headers
        self.traffic.storage_requests.append(StorageRequest(has_key, response.arriving_status))
        return response

    def _outcome(self, call: _Call) -> Outcome:
        """Do what the request asks, or what the limit or a fault makes of it."""
        wait = self._rate_limit.seconds_to_wait(call.now)
        if wait:
            response = SiteError(429, "Too many requests").response(call.request_id)
            added = {"Retry-After": str(wait)} if self._behaviour.retry_after else {}
            return Outcome(replace(response, headers={**response.headers, **added}))
        route = call.route
        hits = (fault for fault in self.faults if fault.hit(route.kind, route.project_id, call.now))
        fault = next(hits, None)
        if fault is None:
            return self._answer(call)
        action = fault.action
        if action.work == "done":
            done = self._answer(call)
            response = action.response(done.response, call.key, call.request_id)
            return replace(done, response=response)
        if action.work == "later" and route.kind == "create":
            try:
                user = call.require_user()
                self._api.create_later(route.project_id, user, call.now, action.later_seconds)
            except SiteError as refusal:
                return Outcome(refusal.response(call.request_id))
        return Outcome(action.response(None, call.key, call.request_id))

    def _answer(self, call: _Call) -> Outcome:
        try:
            return self._api.answer(call.route, call.request, call.require_user(), call.now)
        except SiteError as refusal:
            return Outcome(refusal.response(call.request_id))


def _api_key(request: Request) -> str:
    """Read the key, with or without a host before it; a site takes what is behind the last colon.

    `Bearer` is told by its capital, as the site does.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip().rpartition(":")[2] if scheme in ("scitran-user", "Bearer") else ""
