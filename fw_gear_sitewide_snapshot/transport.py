"""Sends one request to a Flywheel site through flywheel-sdk: sole importer of it.

Every way in which a request can end becomes an answer or one of the ``SiteError`` classes, whose
words hold no API key. Nothing is sent a second time here: whether and when to ask again is for
``site`` and ``snapshot`` to know.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import flywheel.rest
from flywheel.api_client import ApiClient
from flywheel.flywheel import SDK_VERSION, config_from_api_key

from . import __version__
from .calls import Answer, Question, Stream, error_for, http_date
from .errors import (
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from .models import one_line
from .workers import IN_FLIGHT

httpx2 = flywheel.rest.httpx2  # the library whose errors the SDK lets out

log = logging.getLogger(__name__)

_API_SUFFIX = "/api"
_PATH_STEPS = frozenset({"", ".", ".."})
"""Values that quoting leaves alone, and that the HTTP library would follow to another path."""
_CHUNK_BYTES = 1 << 18


class SdkTransport:
    """Carries questions with the SDK's ``ApiClient``, pointed at the site's root.

    The Snapshot service lives beside ``/api``, not under it, so the SDK's own methods can't reach
    it; one client for both also means one connection pool, made as large as the workers need (the
    SDK's own is five for each CPU, and a gear's container may have one).
    """

    def __init__(self, api_key: str) -> None:
        configuration = config_from_api_key(api_key)
        configuration.host = configuration.host.removesuffix(_API_SUFFIX)
        configuration.connection_pool_maxsize = IN_FLIGHT
        self.url: str = configuration.host
        self._secrets = tuple(sorted({api_key, api_key.rsplit(":", 1)[-1]}, key=len, reverse=True))
        self._client = ApiClient(configuration)
        self._client.user_agent = f"sitewide-snapshot/{__version__} flywheel-sdk/{SDK_VERSION}"

    def __call__(self, question: Question) -> Answer:
        """See Transport."""
        log.debug(
            "%s %s %s", question.method, question.path, {**question.parameters, **question.query}
        )
        if not _PATH_STEPS.isdisjoint(question.parameters.values()):
            raise RejectedError(f"no such thing has an id: {sorted(question.parameters.values())}")
        with self._explained(question):
            if question.streamed:
                response = self._call(
                    question,
                    {"Accept": "*/*", "Accept-Encoding": "identity"},
                    _preload_content=False,
                    _return_http_data_only=True,
                )
                return self._streamed(response, question)
            data, _, headers = self._call(
                question, {"Accept": "application/json"}, response_type="object"
            )
            return Answer(data, http_date(headers.get("Date")))

    def _call(self, question: Question, headers: dict[str, str], **how: object) -> Any:
        return self._client.call_api(
            question.path,
            question.method,
            path_params=dict(question.parameters),
            query_params=list(question.query.items()),
            header_params=headers,
            auth_settings=["ApiKey"],
            _request_timeout=(question.connect_seconds, question.read_seconds),
            **how,
        )

    def _streamed(self, response: Any, question: Question) -> Answer:
        """The answer whose body is still to come. Its Date may be another address's: left out."""
        if response.status_code != 200:
            response.close()
            raise OutcomeUnknownError(f"the answer makes no sense: status {response.status_code}")
        return Answer(_SdkStream(response, self._explained(question)))

    @contextlib.contextmanager
    def _explained(self, question: Question) -> Iterator[None]:
        """Make one of our errors of whatever goes wrong on the way."""
        try:
            yield
        except flywheel.rest.ApiException as error:
            raise self._error(error) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            words = self._words(f"no connection to the site: {_said(error)}")
            if _was_sent_on(error, question):
                raise OutcomeUnknownError(words) from None
            raise ServiceUnavailableError(words) from None
        except httpx2.TimeoutException:
            seconds = f"{question.read_seconds:g} s"
            raise OutcomeUnknownError(f"the site did not answer within {seconds}") from None
        except httpx2.InvalidURL as error:
            raise SiteUnusableError(self._words(f"the API key's host: {_said(error)}")) from None
        except (httpx2.HTTPError, RuntimeError, ValueError) as error:
            # RuntimeError, ValueError: how the SDK says that it can't read an answer.
            words = f"the connection broke, or the answer makes no sense: {_said(error)}"
            raise OutcomeUnknownError(self._words(words)) from None

    def _error(self, error: flywheel.rest.ApiException) -> SiteError:
        words = error.reason if isinstance(error.reason, str) else ""
        return error_for(error.status or 0, self._words(words), error.headers or {})

    def _words(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, "[API key]")
        return one_line(words)


class _SdkStream(Stream):
    """What the SDK streams."""

    def __init__(self, response: Any, explained: contextlib.AbstractContextManager[None]) -> None:
        size = response.headers.get("Content-Length", "")
        super().__init__(self._chunks(explained), int(size) if size.isdecimal() else None)
        self._response = response

    def _chunks(self, explained: contextlib.AbstractContextManager[None]) -> Iterator[bytes]:
        with explained:
            yield from self._response.iter_content(_CHUNK_BYTES)

    def close(self) -> None:
        """See Stream."""
        self._response.close()


def _was_sent_on(error: Any, question: Question) -> bool:
    """Whether the connection that failed was another than that to what was asked.

    The site then has answered, with a redirect, and may have done what it was asked before.
    """
    path = question.path
    for name, value in question.parameters.items():
        path = path.replace("{" + name + "}", value)
    sent = error.request
    return bool(sent.method != question.method or sent.url.path != path)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
