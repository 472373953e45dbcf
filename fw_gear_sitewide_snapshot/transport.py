"""Sends one request to a Flywheel site through flywheel-sdk: sole importer of it.

Every way in which a request can end becomes an answer or one of the ``SiteError`` classes, whose
words hold no API key. Nothing is sent a second time here: whether and when to ask again is for
``site`` and ``snapshot`` to know.
"""

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

# flywheel-sdk reads this when it is first imported, and would otherwise send a GET up to eight
# times, for up to two minutes, within one call. The package's other modules import this one before
# anything else imports the SDK; the manifest's environment says it once more.
os.environ["FLYWHEEL_SDK_TOTAL_RETRIES"] = "0"

import flywheel.rest
import httpx2  # what flywheel-sdk 23 speaks HTTP with, and lets the errors of out
from flywheel.api_client import ApiClient
from flywheel.flywheel import SDK_VERSION, config_from_api_key

from . import __version__
from .errors import BusyError, GoneError, RefusedError, SiteError, SiteUnusableError, UnclearError
from .models import one_line
from .workers import IN_FLIGHT

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0

_API_SUFFIX = "/api"
_PATH_STEPS = frozenset({"", ".", ".."})
"""Values that quoting leaves alone, and that the HTTP library would follow to another path."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site answered: decoded JSON (or text, where it was none) and its ``Date``."""

    data: object
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        method: ``GET`` or ``POST``.
        path: From the site's root, with ``{names}`` for the parameters.
        parameters: Path parameters; quoted on the way, so no value can change the path.
        query: Query parameters.
        read_seconds: How long to wait for the answer.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float = READ_SECONDS
    connect_seconds: float = CONNECT_SECONDS


class Transport(Protocol):
    """What carries a question to the site."""

    def __call__(self, question: Question) -> Answer:
        """Return the site's answer.

        Raises:
            SiteError: One of its classes, by what became of the request.
        """


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
        log.debug("%s %s %s", question.method, question.path, dict(question.parameters))
        if not _PATH_STEPS.isdisjoint(question.parameters.values()):
            raise RefusedError(f"no such thing has an id: {sorted(question.parameters.values())}")
        try:
            data, _, headers = self._client.call_api(
                question.path,
                question.method,
                path_params=dict(question.parameters),
                query_params=list(question.query.items()),
                header_params={"Accept": "application/json"},
                auth_settings=["ApiKey"],
                response_type="object",
                _request_timeout=(question.connect_seconds, question.read_seconds),
            )
        except flywheel.rest.ApiException as error:
            raise self._error(error) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise BusyError(self._words(f"no connection to the site: {_said(error)}")) from None
        except httpx2.TimeoutException:
            seconds = f"{question.read_seconds:g} s"
            raise UnclearError(f"the site did not answer within {seconds}") from None
        except httpx2.InvalidURL as error:
            raise SiteUnusableError(self._words(f"the API key's host: {_said(error)}")) from None
        except (httpx2.HTTPError, RuntimeError, ValueError) as error:
            # RuntimeError, ValueError: how the SDK says that it can't read an answer.
            words = f"the connection broke, or the answer makes no sense: {_said(error)}"
            raise UnclearError(self._words(words)) from None
        return Answer(data, http_date(headers.get("Date")))

    def _error(self, error: flywheel.rest.ApiException) -> SiteError:
        headers = error.headers or {}
        words = error.reason if isinstance(error.reason, str) else ""
        return error_for(error.status or 0, self._words(words), headers.get("Retry-After"))

    def _words(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, "[API key]")
        return one_line(words)


def error_for(status: int, words: str, retry_after: str | None) -> SiteError:
    """What an HTTP status other than success means for what was asked.

    429 and 503 are sent before any work is done; 500, 502 and 504 can come after it.
    """
    words = f"the site says {status}: {words}" if words else f"the site says {status}"
    if status in {429, 503}:
        return BusyError(words, status, _seconds(retry_after))
    if status == 404:
        return GoneError(words, status)
    if 400 <= status < 500:
        return RefusedError(words, status)
    return UnclearError(words, status)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def http_date(header: str | None) -> datetime | None:
    """The time of a ``Date`` header in UTC; None where there is none, or it can't be read."""
    try:
        date = parsedate_to_datetime(header) if header else None
        # The zone -0000 says UTC, and is parsed to none.
        return date and (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; None for its other form, a date, which no known site sends."""
    try:
        seconds = float(retry_after or "nan")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
