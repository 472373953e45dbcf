"""The simulated site: a Flywheel site in memory that takes requests and gives responses.

A state machine: no sockets, no threads, no sleeping. Whatever takes time on a site is read off the
clock that it was given. What tests set up is in `stage.py` and `trouble.py`, what they look at in
`record.py`.
"""

import logging
from dataclasses import dataclass, replace

from .downloads import StorageRequest
from .faults import Action
from .population import User
from .protocol import (
    LoggedRequest,
    Request,
    Response,
    SiteError,
    error_response,
    http_date,
    json_response,
    with_headers,
)
from .record import RecordingSite
from .routes import Route, find_route
from .snapshot_service import Outcome

log = logging.getLogger(__name__)

STATISTICS_PATH = "/simulator/statistics"
"""Answers `statistics()` as JSON to anybody; not logged, not counted, no part of a true site."""

_SNAPSHOT_KINDS = frozenset({"create", "list", "detail", "download", "delete"})


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, and what is known of it before it is answered."""

    request: Request
    route: Route
    user: User | None
    key: str
    now: float
    request_id: str


class SimulatedSite(RecordingSite):
    """A Flywheel site in memory."""

    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises; a bug in here is a 500 that says so."""
        with self.lock:
            if request.path == STATISTICS_PATH:
                return json_response(self.statistics())
            try:
                return self._handle(request)
            except Exception:
                log.exception("The simulator failed at %s %s", request.method, request.path)
                return error_response(500, "A bug in the simulator: see its log", "")

    def handle_storage(self, request: Request) -> Response:
        """Answer a request to the storage's address. Never raises."""
        with self.lock:
            now = self.now()
            try:
                once = self.behaviour.signed_urls_once
                named = self._downloads.check_signature(request, now, once=once)
                response = self._service.storage_file(*named)
            except SiteError as refusal:
                response = error_response(refusal.status, refusal.message, "")
            authorization = "authorization" in request.headers
            self.storage_requests.append(
                StorageRequest(self._clock(), request.path, authorization, _answered(response))
            )
            return response

    def _handle(self, request: Request) -> Response:
        moment = self._clock()
        now = moment + self.clock_offset_seconds
        self._snapshots.advance(now)
        key = _api_key(request)
        user = self._population.user_of(key)
        route = find_route(request.method, request.path)
        call = _Call(request, route, user, key, now, f"{self._chance.getrandbits(64):016x}")
        outcome = self._outcome(call)
        response = outcome.response
        delay = response.delay_seconds + self.behaviour.delay_seconds(route.kind)
        headers = with_headers({"Date": http_date(int(now + delay))}, response.headers)
        self._traffic.record(
            LoggedRequest(
                moment,
                route.kind,
                request.method,
                request.path,
                request.query,
                route.project_id,
                outcome.snapshot_id or route.snapshot_id,
                user.id if user is not None else "",
                _answered(response),
                outcome.applied,
            )
        )
        return replace(response, headers=headers, delay_seconds=delay)

    def _outcome(self, call: _Call) -> Outcome:
        """Do what the request asks, or what the limit or a fault makes of it."""
        wait = self._rate_limit.seconds_to_wait(call.now)
        if wait:
            response = error_response(429, "Too many requests", call.request_id)
            told = {"Retry-After": str(wait)} if self._retry_after else {}
            return Outcome(replace(response, headers={**response.headers, **told}))
        action = self._hit(call)
        if action is None:
            return self._answer(call)
        if action.work == "done":
            done = self._answer(call)
            response = action.response(done.response, call.key, call.request_id)
            return replace(done, response=response)
        if action.work == "later":
            try:
                self._work_later(call, action.later_seconds)
            except SiteError as refusal:
                return Outcome(error_response(refusal.status, refusal.message, call.request_id))
        return Outcome(action.response(None, call.key, call.request_id))

    def _hit(self, call: _Call) -> Action | None:
        for fault in self._faults:
            if fault.hit(call.route.kind, call.route.project_id, call.now, self._chance):
                return fault.action
        return None

    def _answer(self, call: _Call) -> Outcome:
        try:
            return self._work(call)
        except SiteError as refusal:
            return Outcome(error_response(refusal.status, refusal.message, call.request_id))

    def _work(self, call: _Call) -> Outcome:
        user = _require_user(call)
        if call.route.kind == "other":
            asked = f"{call.request.method} {call.request.path}"
            raise SiteError(call.route.status, f"{asked}: no such call")
        if call.route.kind in _SNAPSHOT_KINDS:
            return self._service.answer(call.route, call.request, user, call.now)
        return Outcome(self._core.answer(call.route, call.request, user))

    def _work_later(self, call: _Call, later_seconds: float) -> None:
        """Take a create for later; any other work is not done at all."""
        if call.route.kind == "create":
            self._service.create_later(call.route, _require_user(call), call.now, later_seconds)


def _require_user(call: _Call) -> User:
    if call.user is None:
        raise SiteError(401, "Invalid API key: this key is not valid on this site")
    return call.user


def _answered(response: Response) -> int:
    """Give the status that reaches the caller: none where the connection breaks first."""
    return 0 if response.broken in ("reset", "hang") else response.status


def _api_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("scitran-user", "bearer") else ""
