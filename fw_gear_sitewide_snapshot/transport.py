"""Sends one request to a Flywheel site through flywheel-sdk: sole importer of it.

Every way in which a request can end becomes a response or one of the ``SiteError`` classes, whose
words hold no API key. Nothing is sent a second time here: whether and when to ask again is for
``site`` and ``snapshot`` to know. Every call has an end of its own, however its bytes drip.
"""

import contextlib
import json
import logging
import os
import threading
import time
import zlib
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import flywheel.rest
from flywheel.api_client import ApiClient
from flywheel.flywheel import SDK_VERSION, config_from_api_key

from . import __version__
from .calls import Request, Response, Stream, date_of, error_for
from .errors import (
    AcceptedError,
    ConfigError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from .models import one_line
from .wording import size_text

httpx2 = flywheel.rest.httpx2  # the library whose errors the SDK lets out

log = logging.getLogger(__name__)

_API_SUFFIX = "/api"
_PATH_STEPS = frozenset({"", ".", ".."})
"""Values that quoting leaves alone, and that the HTTP library would follow to another path."""
_CONNECTIONS = 64  # more than are ever used at a time: one that was given up may linger
_MAX_ERROR_BYTES = 1 << 16
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_CA_VARIABLES = ("FW_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class _CallTimeoutError(Exception):
    """The call's time is up."""


class _Call(threading.local):
    """The call that a thread is carrying: until when, and the responses that have come."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self.responses: list[Any] = []
        self.kept: Any = None  # the SDK's wrapper, which closes the response when it is collected


class SdkTransport:
    """Carries requests with the SDK's ``ApiClient``, pointed at the site's root.

    The Snapshot service lives beside ``/api``, not under it, so the SDK's own methods can't reach
    it; one client for both also means one connection pool.

    Args:
        api_key: ``host[:port]:key``.

    Raises:
        ConfigError: The environment has a proxy or a CA file that can't be used.
    """

    def __init__(self, api_key: str) -> None:
        configuration = config_from_api_key(api_key)
        configuration.host = configuration.host.removesuffix(_API_SUFFIX)
        configuration.connection_pool_maxsize = _CONNECTIONS
        self.url: str = configuration.host
        self._secrets = tuple(sorted({api_key, api_key.rsplit(":", 1)[-1]}, key=len, reverse=True))
        self._call = _Call()
        try:
            self._client = ApiClient(configuration)
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise ConfigError(self._words(_environment_problem(error))) from None
        self._client.user_agent = f"sitewide-snapshot/{__version__} flywheel-sdk/{SDK_VERSION}"
        client = self._client.rest_client.client
        # The SDK's own hook reads the whole of an error's body, however large.
        client.event_hooks = {"request": [self._on_request], "response": [self._on_response]}
        # One without a path is kept once for each path, and then sent, or looked at, each time.
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: Request) -> Response:
        """Send a request and read its whole response. See Transport."""
        began = time.monotonic()
        try:
            with self._explained(request):
                response = self._open(request, {"Accept": "application/json"}, "gzip")
                try:
                    return self._response(response, request)
                finally:
                    response.close()
        finally:
            log.debug(
                "%s %s %s %s: %s in %.3f s",
                request.method,
                request.path,
                dict(request.parameters),
                dict(request.query),
                self._call.responses[-1].status_code if self._call.responses else "no answer",
                time.monotonic() - began,
            )

    def stream(self, request: Request) -> Stream:
        """Send a request whose response is read in pieces. See Transport."""
        with self._explained(request):
            response = self._open(request, {"Accept": "*/*"}, "identity")
            if response.status_code == 200:
                return _SdkStream(response, self._call.kept, self._explained(request))
            try:
                error = self._error(response)
                # A storage refuses an address that has expired: the site gives a new one.
                raise OutcomeUnknownError(str(error)) if response.history else error
            finally:
                response.close()

    def _open(self, request: Request, headers: dict[str, str], encoding: str) -> Any:
        """Send the request; returns the HTTP library's response, its body still to come."""
        if not _PATH_STEPS.isdisjoint(request.parameters.values()):
            raise RejectedError(f"no such thing has an id: {sorted(request.parameters.values())}")
        self._call.deadline = time.monotonic() + request.seconds
        self._call.responses = []
        self._call.kept = self._client.call_api(
            request.path,
            request.method,
            path_params=dict(request.parameters),
            query_params=list(request.query.items()),
            header_params={**headers, "Accept-Encoding": encoding},
            auth_settings=["ApiKey"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(min(request.connect_seconds, request.seconds), request.seconds),
        )
        return self._call.responses[-1]

    def _on_request(self, request: Any) -> None:
        """Have no create leave after its time: somebody has looked what became of it by then."""
        if request.method == "POST":
            deadline = self._call.deadline

            def check(_event: str, _info: object) -> None:
                if time.monotonic() > deadline:
                    raise _CallTimeoutError

            request.extensions["trace"] = check

    def _on_response(self, response: Any) -> None:
        self._call.responses.append(response)

    def _response(self, response: Any, request: Request) -> Response:
        if request.is_create and response.history:
            status = response.history[0].status_code
            raise OutcomeUnknownError(f"the site answered with a redirect ({status})")
        if not response.is_success:
            raise self._error(response)
        try:
            body = _read(response, self._call.deadline, request.max_bytes)
            return Response(_decoded(body), date_of(response.headers))
        except (httpx2.HTTPError, zlib.error, SiteError, _CallTimeoutError) as error:
            if not request.is_create:
                raise
            words = f"accepted ({response.status_code}), but the answer broke off: {_said(error)}"
            raise AcceptedError(self._words(words), response.status_code) from None

    def _error(self, response: Any) -> SiteError:
        try:
            body = _read(response, self._call.deadline, _MAX_ERROR_BYTES, cut=True)
        except (httpx2.HTTPError, zlib.error, SiteError, _CallTimeoutError):
            body = b""  # the status says what counts
        if response.status_code < 400:
            return OutcomeUnknownError(f"unexpected response: status {response.status_code}")
        error = error_for(response.status_code, response.headers, body)
        error.args = (self._words(str(error)),)
        return error

    @contextlib.contextmanager
    def _explained(self, request: Request) -> Iterator[None]:
        """Make one of our errors of whatever goes wrong on the way."""
        try:
            yield
        except _NOT_SENT as error:
            words = self._words(f"no connection to the site: {_said(error)}")
            if self._call.responses:  # it was redirected: the site has answered
                raise OutcomeUnknownError(words) from None
            raise ServiceUnavailableError(words) from None
        except (httpx2.TimeoutException, _CallTimeoutError):
            words = f"the site did not answer within {request.seconds:g} s"
            raise OutcomeUnknownError(words) from None
        except httpx2.InvalidURL as error:
            if self._call.responses:
                raise OutcomeUnknownError("unexpected response: a redirect to nowhere") from None
            raise SiteUnusableError(self._words(f"the API key's host: {_said(error)}")) from None
        except (httpx2.HTTPError, zlib.error, RuntimeError, ValueError) as error:
            words = f"the connection broke, or an unexpected response: {_said(error)}"
            raise OutcomeUnknownError(self._words(words)) from None

    def _words(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, "[API key]")
        return one_line(words)


class _SdkStream(Stream):
    """What the SDK streams."""

    def __init__(
        self, response: Any, kept: Any, explained: contextlib.AbstractContextManager[None]
    ) -> None:
        size = response.headers.get("Content-Length", "")
        super().__init__(self._chunks(explained), int(size) if size.isdecimal() else None)
        self._response, self._kept = response, kept

    def _chunks(self, explained: contextlib.AbstractContextManager[None]) -> Iterator[bytes]:
        with explained:
            yield from self._response.iter_bytes()

    def close(self) -> None:
        self._response.close()


def _read(response: Any, deadline: float, max_bytes: int, *, cut: bool = False) -> bytes:
    """Read a body, unpacked, within its time and its size; with ``cut`` its beginning will do."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "deflate", ""}:
        raise OutcomeUnknownError(f"unexpected response: encoded as {one_line(encoding, 40)}")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in {"gzip", "deflate"} else None
    body = bytearray()
    for chunk in response.iter_raw():
        body += unpacker.decompress(chunk, max_bytes + 1) if unpacker else chunk
        if len(body) > max_bytes:
            if cut:
                break
            raise OutcomeUnknownError(f"unexpected response: more than {size_text(max_bytes)}")
        if time.monotonic() > deadline:
            raise _CallTimeoutError
    if unpacker and not unpacker.eof and not cut:
        raise OutcomeUnknownError("unexpected response: cut off before its end")
    return bytes(body[:max_bytes])


def _decoded(body: bytes) -> object:
    """Decode JSON; what is none comes back as text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _environment_problem(error: Exception) -> str:
    """Say which variable of the environment keeps the HTTP client from being made."""
    is_about_files = isinstance(error, OSError)
    names = [
        name
        for name in os.environ
        if (name in _CA_VARIABLES if is_about_files else name.lower().endswith("_proxy"))
    ]
    what = "CA certificates" if is_about_files else "proxy"
    return (
        f"environment {' or '.join(sorted(names)) or '(none set)'}: the {what} can't be used: "
        f"{(error.strerror if isinstance(error, OSError) else None) or _said(error)}"
    )


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
