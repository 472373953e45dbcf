"""Sends one request to a Flywheel site through flywheel-sdk: sole importer of it.

Every way in which a request can end becomes a response or one of the ``SiteError`` classes, whose
words hold no API key. Nothing is sent a second time here: whether and when to ask again is for
``site`` and ``snapshot`` to know. Every call has an end of its own, however its bytes drip.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import flywheel.rest
from flywheel.api_client import ApiClient
from flywheel.flywheel import SDK_VERSION, config_from_api_key

from .. import __version__
from ..errors import (
    AcceptedError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from ..text import blank_secrets, one_line
from .environment import check_proxies, find_ca_bundle, proxy_error
from .http import Request, Response, Stream, date_of, decoded, error_for, read_body

httpx2 = flywheel.rest.httpx2  # the library whose errors the SDK lets out

log = logging.getLogger(__name__)

_PATH_STEPS = {"", ".", ".."}  # quoting leaves them alone, and they lead to another path
_CONNECTIONS = 64  # more than are ever used at a time: one that was given up may linger
_MAX_REDIRECTS = 10
_MAX_ERROR_BYTES = 1 << 16
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_CONNECTED = ("connect_tcp.complete", "start_tls.complete")
_TO_BE_SENT = "send_request_headers.started"


class _Deadline(threading.local):
    """The monotonic time at which the call that a thread carries ends."""

    at = math.inf

    def left(self) -> float:
        """Return the seconds that are left, or raise the HTTP library's ReadTimeout."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpx2.ReadTimeout("it did not come in time")
        return left


class SdkTransport:
    """Carries requests over the SDK's HTTP client, to the site's root.

    The Snapshot service lives beside ``/api``, not under it: the SDK's own methods can't reach it.

    Args:
        api_key: ``host[:port]:key``.

    Raises:
        ConfigError: The environment has a proxy or CA certificates that can't be used.
    """

    def __init__(self, api_key: str) -> None:
        configuration = config_from_api_key(api_key)
        self.url: str = configuration.host.removesuffix("/api")
        self._secrets = {api_key, api_key.rsplit(":", 1)[-1]}
        self._deadline = _Deadline()
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.ssl_ca_cert = find_ca_bundle()
        check_proxies()
        try:
            self._client = ApiClient(configuration)
        except (ImportError, ValueError, httpx2.InvalidURL):
            raise proxy_error() from None
        self._client.user_agent = f"sitewide-snapshot/{__version__} flywheel-sdk/{SDK_VERSION}"
        self._http = self._client.rest_client.client
        # The SDK's own hook reads the whole of an error's body, however large.
        self._http.event_hooks = {"request": [], "response": []}
        # One without a path is kept once for each path, and then sent, or looked at, each time.
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: Request) -> Response:
        """Send a request and read its whole response. See Transport."""
        began, status = time.monotonic(), "no answer"
        try:
            with (
                self._explained(request),
                contextlib.closing(self._open(request, "application/json", "gzip")) as response,
            ):
                status = response.status_code
                if not response.is_success:
                    raise self._error(response)
                return self._response(response, request)
        finally:
            asked = request.method, request.path, dict(request.parameters), dict(request.query)
            log.debug("%s %s %s %s: %s in %.3f s", *asked, status, time.monotonic() - began)

    def stream(self, request: Request) -> Stream:
        """Send a request whose response is read in pieces. See Transport."""
        with self._explained(request):
            response = self._open(request, "*/*", "identity")
            if response.status_code == 200:
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() else None
                return Stream(self._pieces(response, request), size, response.close)
            with contextlib.closing(response):
                error = self._error(response)
            # A storage refuses an address that has expired: the site gives a new one.
            is_refused = 400 <= error.status < 500 and error.status != 429
            raise OutcomeUnknownError(str(error)) if response.history and is_refused else error

    def _open(self, request: Request, accept: str, encoding: str) -> Any:
        """Send the request; returns the HTTP library's response, its body still to come."""
        if not _PATH_STEPS.isdisjoint(request.parameters.values()):
            raise RejectedError(f"no such thing has an id: {sorted(request.parameters.values())}")
        names = {name: quote(value, safe="") for name, value in request.parameters.items()}
        headers = {"Accept": accept, "Accept-Encoding": encoding, **self._client.default_headers}
        self._client.update_params_for_auth(headers, [], ["ApiKey"])
        connect_seconds = min(request.connect_seconds, request.seconds)
        sent = self._http.build_request(
            request.method,
            self.url + request.path.format_map(names),
            params=dict(request.query),
            headers=headers,
            timeout=httpx2.Timeout(request.seconds, connect=connect_seconds, pool=connect_seconds),
            extensions={"trace": self._on_event},
        )
        self._deadline.at = time.monotonic() + request.seconds
        response = self._http.send(sent, stream=True, follow_redirects=False)
        # A create is never sent elsewhere, so no status is taken for its own that is not.
        while response.next_request and not request.is_create:
            response.close()
            history = [*response.history, response]
            if len(history) > _MAX_REDIRECTS:
                raise OutcomeUnknownError("unexpected response: it redirects for ever")
            response = self._http.send(response.next_request, stream=True, follow_redirects=False)
            response.history = history
        return response

    def _pieces(self, response: Any, request: Request) -> Iterator[bytes]:
        with self._explained(request):
            pieces = response.iter_bytes()
            while True:
                self._deadline.at = time.monotonic() + request.seconds
                piece = next(pieces, None)
                if piece is None:
                    return
                yield piece

    def _on_event(self, event: str, info: dict[str, Any]) -> None:
        """Have nothing sent, and nothing awaited, after the end of a call's time."""
        # The HTTP library's own limit is one for each piece that comes. A create that leaves late
        # would be done after somebody has looked what became of it.
        if event.endswith(_TO_BE_SENT):
            self._deadline.left()
        elif event.endswith(_CONNECTED):
            stream = info["return_value"]
            stream.read = partial(self._read_in_time, stream.read)

    def _read_in_time(
        self, read: Callable[..., bytes], max_bytes: int, timeout: float | None = None
    ) -> bytes:
        return read(max_bytes, timeout=min(self._deadline.left(), timeout or math.inf))

    def _response(self, response: Any, request: Request) -> Response:
        try:
            return Response(decoded(_read(response, request.max_bytes)), date_of(response.headers))
        except (httpx2.HTTPError, SiteError) as error:
            if not request.is_create:
                raise
            words = f"accepted ({response.status_code}), but the answer broke off: {_said(error)}"
            raise AcceptedError(self._words(words), response.status_code) from None

    def _error(self, response: Any) -> SiteError:
        status = response.status_code
        if response.has_redirect_location:
            return OutcomeUnknownError(f"the site answers with a redirect ({status})")
        if status < 400:
            return OutcomeUnknownError(f"unexpected response: status {status}")
        try:
            body = _read(response, _MAX_ERROR_BYTES, cut=True)
        except (httpx2.HTTPError, SiteError):
            body = b""  # the status says what counts
        # Before words are cut, which would leave a part of the key.
        clean = blank_secrets(body.decode("latin-1"), self._secrets).encode("latin-1")
        return error_for(status, response.headers, clean)

    @contextlib.contextmanager
    def _explained(self, request: Request) -> Iterator[None]:
        """Make one of our errors of whatever goes wrong on the way."""
        try:
            yield
        except _NOT_SENT as error:
            words = self._words(f"no connection to the site: {_said(error)}")
            raise ServiceUnavailableError(words) from None
        except httpx2.TimeoutException:
            words = f"the site did not answer within {request.seconds:g} s"
            raise OutcomeUnknownError(words) from None
        except httpx2.InvalidURL as error:
            raise SiteUnusableError(self._words(f"the API key's host: {_said(error)}")) from None
        except (httpx2.HTTPError, RuntimeError, ValueError, OverflowError) as error:
            words = f"the connection broke, or an unexpected response: {_said(error)}"
            raise OutcomeUnknownError(self._words(words)) from None

    def _words(self, words: str) -> str:
        return one_line(blank_secrets(words, self._secrets))


def _read(response: Any, max_bytes: int, *, cut: bool = False) -> bytes:
    encoding = response.headers.get("Content-Encoding", "")
    return read_body(response.iter_raw(), encoding, max_bytes, cut=cut)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
