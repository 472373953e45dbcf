"""Sends requests to a Flywheel site through flywheel-sdk: the only module that imports it.

Every way in which a request can end becomes a response or one of the ``SiteError`` classes, whose
messages hold no API key. Nothing is sent a second time here: ``client`` and ``snapshot`` decide
whether and when to retry. A call ends in time even if the site sends it a byte now and then.
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

from typing_extensions import override

from .. import __version__, errors, importing
from ..text import blank_secrets, one_line
from .environment import check_proxies, find_ca_bundle, proxy_error, tls_error
from .http import (
    Request,
    Response,
    Stream,
    Transport,
    age_of,
    date_of,
    decode_json,
    error_for,
    read_body,
)

with importing("flywheel-sdk"):
    import flywheel.rest
    from flywheel.api_client import ApiClient
    from flywheel.flywheel import SDK_VERSION, config_from_api_key

    httpx2 = flywheel.rest.httpx2  # the SDK's HTTP library, whose errors the SDK doesn't wrap

log = logging.getLogger(__name__)

_PATH_STEPS = {"", ".", ".."}  # quoting leaves these as they are, and they change the path
_MAX_CONNECTIONS = 64  # more than are used at a time: one that was given up may stay open
_MAX_REDIRECTS = 10
_MAX_ERROR_BYTES = 1 << 16
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_CONNECTED = ("connect_tcp.complete", "start_tls.complete")
_TO_BE_SENT = "send_request_headers.started"


class _Deadline(threading.local):
    """The monotonic time at which the current thread's call has to end."""

    at = math.inf

    def left(self) -> float:
        """Return the seconds that are left, or raise the HTTP library's ReadTimeout."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpx2.ReadTimeout("the call's time is over")
        return left


class SdkTransport(Transport):
    """Carries requests over the SDK's HTTP client, to the site's root.

    The Snapshot service is beside ``/api``, not under it: the SDK's own methods can't reach it.

    Args:
        api_key: ``host[:port]:key``.

    Raises:
        ConfigError: The environment has a proxy, CA certificates or a log of keys that can't be
            used.
    """

    def __init__(self, api_key: str) -> None:
        configuration = config_from_api_key(api_key)
        self.url: str = configuration.host.removesuffix("/api")
        self._secrets = {api_key, api_key.rsplit(":", 1)[-1]}
        self._deadline = _Deadline()
        configuration.connection_pool_maxsize = _MAX_CONNECTIONS
        try:
            configuration.ssl_ca_cert = find_ca_bundle()
            check_proxies()
            self._client = ApiClient(configuration)
        except OSError as error:  # ssl.SSLError among them
            raise tls_error(error) from None
        except (ImportError, ValueError, httpx2.InvalidURL):
            raise proxy_error() from None
        self._client.user_agent = f"sitewide-snapshot/{__version__} flywheel-sdk/{SDK_VERSION}"
        self._http = self._client.rest_client.client
        # The SDK's own hook reads an error's whole body, however large.
        self._http.event_hooks = {"request": [], "response": []}
        # Accept no cookies: one that names no path would be kept anew for each path.
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @override
    def send(self, request: Request) -> Response:
        began, status = time.monotonic(), "no answer"
        try:
            with (
                self._translate_errors(request),
                contextlib.closing(self._open(request, "application/json", "gzip")) as response,
            ):
                status = response.status_code
                if not response.is_success:
                    raise self._error(response)
                return self._response(response, request)
        finally:
            asked = request.method, request.path, dict(request.parameters), dict(request.query)
            log.debug("%s %s %s %s: %s in %.3f s", *asked, status, time.monotonic() - began)

    @override
    def stream(self, request: Request) -> Stream:
        with self._translate_errors(request):
            response = self._open(request, "*/*", "identity")
            if response.status_code == 200:
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() else None
                return Stream(self._chunks(response, request), size, response.close)
            with contextlib.closing(response):
                error = self._error(response)
            if response.history and 400 <= error.status < 500 and error.status != 429:
                # The storage's address may have expired: the site will redirect to a new one.
                raise errors.OutcomeUnknownError(str(error))
            raise error

    def _open(self, request: Request, accept: str, encoding: str) -> Any:
        """Send the request and return the HTTP library's response, whose body is still to come."""
        if not _PATH_STEPS.isdisjoint(request.parameters.values()):
            raise errors.RejectedError(f"not valid as an id: {sorted(request.parameters.values())}")
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
        # A create is not redirected: the other address's status would be taken for its own.
        while response.next_request and not request.is_create:
            response.close()
            history = [*response.history, response]
            if len(history) > _MAX_REDIRECTS:
                raise errors.OutcomeUnknownError("unexpected response: too many redirects")
            response = self._http.send(response.next_request, stream=True, follow_redirects=False)
            response.history = history
        return response

    def _chunks(self, response: Any, request: Request) -> Iterator[bytes]:
        with self._translate_errors(request):
            self._deadline.at = time.monotonic() + request.seconds
            for chunk in response.iter_bytes():
                yield chunk
                self._deadline.at = time.monotonic() + request.seconds

    def _on_event(self, event: str, info: dict[str, Any]) -> None:
        """Send nothing, and read nothing, once a call's time is over."""
        # The HTTP library's own timeout starts anew with each read. A create that is sent late
        # could be done after the list of snapshots was read to find out whether it was.
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
            body = read_body(response.iter_raw(), response.headers, request.max_bytes)
        except (httpx2.HTTPError, errors.SiteError) as error:
            if not request.is_create:
                raise
            what = f"accepted ({response.status_code}), but the response can't be read"
            raise errors.AcceptedError(self._message(what, error), response.status_code) from None
        headers = response.headers
        return Response(decode_json(self._blanked(body)), date_of(headers), age_of(headers))

    def _error(self, response: Any) -> errors.SiteError:
        status = response.status_code
        if status < 400:
            return errors.OutcomeUnknownError(f"unexpected response: status {status}")
        try:
            body = read_body(response.iter_raw(), response.headers, _MAX_ERROR_BYTES, cut=True)
        except (httpx2.HTTPError, errors.SiteError):
            body = b""  # the status is enough
        return error_for(status, response.headers, self._blanked(body))

    def _blanked(self, body: bytes) -> bytes:
        """Return a body without the API key, which a site may repeat in any text.

        Before anything is shortened, which could leave a part of the key.
        """
        text = blank_secrets(body.decode("latin-1"), self._secrets, "[API key]")
        return text.encode("latin-1")

    @contextlib.contextmanager
    def _translate_errors(self, request: Request) -> Iterator[None]:
        """Raise one of the gear's own errors for whatever goes wrong in the HTTP library."""
        try:
            yield
        except _NOT_SENT as error:
            message = self._message("no connection to the site", error)
            raise errors.ServiceUnavailableError(message) from None
        except httpx2.TimeoutException:
            message = f"the site did not answer within {request.seconds:g} s"
            raise errors.OutcomeUnknownError(message) from None
        except httpx2.InvalidURL as error:
            what = "the API key's host, or the project filter, makes no valid address"
            raise errors.SiteUnusableError(self._message(what, error)) from None
        except (httpx2.HTTPError, RuntimeError, ValueError, OverflowError) as error:
            message = self._message("broken connection or unexpected response", error)
            raise errors.OutcomeUnknownError(message) from None

    def _message(self, what: str, error: Exception) -> str:
        """Return what went wrong, and why, in one line that holds no API key."""
        why = str(error) or type(error).__name__
        return one_line(blank_secrets(f"{what}: {why}", self._secrets, "[API key]"))
