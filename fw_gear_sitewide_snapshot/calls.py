"""What a call to the site is made of: a question, its answer, what a status means. Does no I/O."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from .errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site answered: decoded JSON (or text, where it was none) and its ``Date``.

    The data of a question that is ``streamed`` is a Stream.
    """

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
        read_seconds: How long to wait for the answer, and for each further piece of it.
        streamed: Whether the answer is to come in pieces, and never whole into memory. It may
            then come from another address, to which the site redirects.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    read_seconds: float = READ_SECONDS
    connect_seconds: float = CONNECT_SECONDS
    streamed: bool = False


class Stream:
    """An answer's body that comes in pieces. Whoever has it closes it, whatever happens.

    Attributes:
        chunks: The pieces, in order; once. Where the site packs them for the way, they come
            unpacked. A stream that breaks off raises OutcomeUnknownError.
        size: How many bytes the site says that it sends; None where it doesn't say.
    """

    def __init__(self, chunks: Iterator[bytes], size: int | None = None) -> None:
        self.chunks = chunks
        self.size = size

    def close(self) -> None:
        """Let go of the connection."""


def stream_in(data: object) -> Stream:
    """The data of an answer to a question that was ``streamed``."""
    if isinstance(data, Stream):
        return data
    raise OutcomeUnknownError("the answer makes no sense: no stream")


class Transport(Protocol):
    """What carries a question to the site."""

    def __call__(self, question: Question) -> Answer:
        """Return the site's answer.

        Raises:
            SiteError: One of its classes, by what became of the request.
        """


def error_for(status: int, words: str, headers: Mapping[str, str]) -> SiteError:
    """What an HTTP status other than success means for what was asked.

    429 and 503 are sent before any work is done; 500, 502 and 504 can come after it.
    """
    words = f"the site says {status}: {words}" if words else f"the site says {status}"
    if status in {429, 503}:
        return ServiceUnavailableError(words, status, _wish(headers))
    if status == 404:
        return NotFoundError(words, status)
    if 400 <= status < 500:
        return RejectedError(words, status)
    return OutcomeUnknownError(words, status)


def http_date(header: str | None) -> datetime | None:
    """The time of a ``Date`` header in UTC; None where there is none, or it can't be read."""
    try:
        date = parsedate_to_datetime(header) if header else None
        # The zone -0000 says UTC, and is parsed to none.
        return date and (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wish(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as a date by the answer's own clock."""
    wish = headers.get("Retry-After")
    try:
        seconds = float(wish or "nan")
    except ValueError:
        until, now = http_date(wish), http_date(headers.get("Date"))
        seconds = (until - now).total_seconds() if until and now else math.nan
    return max(0.0, seconds) if math.isfinite(seconds) else None
