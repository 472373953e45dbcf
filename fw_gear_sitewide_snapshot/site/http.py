"""Requests, responses, and what an HTTP status means. Does no I/O."""

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

from .. import errors
from ..text import one_line, size_text

CALL_SECONDS = 30.0

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_MESSAGE_KEYS = (
    *("message", "title", "detail", "error", "errors", "reason", "msg", "failure", "error_message"),
    *("failure_reason", "status_message", "status_reason", "error_description"),
)
_SITE_ERROR_KEYS = frozenset({"message", "detail", "title"})
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_MAX_MESSAGE_CHARS = 300
_AGE_ERROR_SECONDS = 5.0  # a cache counts the time that the response was on its way, and rounds up


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``parameters`` are quoted when it is sent, so no value can change the path."""

    method: str  # GET or POST
    path: str  # from the site's root, with {names} for the parameters
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = CALL_SECONDS  # for the whole call; for a stream, until each further chunk
    connect_seconds: float = 10.0
    max_bytes: int = 4 << 20  # of the response, decompressed

    @property
    def is_create(self) -> bool:
        """Whether sending it twice could do something twice."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the site."""

    data: object  # the body: decoded JSON, or text where it is not JSON
    date: datetime | None = None  # the site's time when it came; None: not said
    age: float = 0.0  # seconds that a cache has kept it; infinite where that can't be read


@dataclass
class Stream:
    """A response's body that comes in chunks. Whoever has it closes it, whatever happens."""

    chunks: Iterator[bytes]  # decompressed; raises OutcomeUnknownError where the body breaks off
    size: int | None = None  # how many bytes the site says that it sends; None: it doesn't say
    close: Callable[[], None] = lambda: None  # closes the connection


class Transport(Protocol):
    """Carries a request to the site, once, or raises the SiteError that tells what went wrong."""

    def send(self, request: Request) -> Response:
        """Send a request and return its whole response."""

    def stream(self, request: Request) -> Stream:
        """Send a request and return its response in chunks, also from a redirect's address."""


def read_body(
    chunks: Iterable[bytes], headers: Mapping[str, str], max_bytes: int, *, cut: bool = False
) -> bytes:
    """Read a whole body, decompressed as the header ``Content-Encoding`` says.

    ``max_bytes`` is the limit, decompressed; not much more memory is ever taken. With ``cut``, a
    body that is larger, or whose end is missing, is cut off and no error.

    Raises:
        OutcomeUnknownError: It is larger, or can't be decompressed.
    """
    encoding = headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in {"identity", "gzip", "deflate"}:
        problem = f"unexpected response: content encoding {one_line(encoding, 40)}"
        raise errors.OutcomeUnknownError(problem)
    decompressor = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    try:
        for chunk in chunks:
            body += decompressor.decompress(chunk, max_bytes + 1) if decompressor else chunk
            if len(body) > max_bytes:
                if cut:
                    break
                problem = f"unexpected response: more than {size_text(max_bytes)}"
                raise errors.OutcomeUnknownError(problem)
            if decompressor and decompressor.eof:  # it would keep all that follows in memory
                break
    except zlib.error:
        raise errors.OutcomeUnknownError("unexpected response: it can't be decompressed") from None
    if decompressor and not decompressor.eof and not cut:
        raise errors.OutcomeUnknownError("unexpected response: cut off before its end")
    return bytes(body[:max_bytes])


def decode_json(body: bytes) -> object:
    """Decode JSON; return the body as text where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def error_for(status: int, headers: Mapping[str, str], body: bytes = b"") -> errors.SiteError:
    """Return the error for an HTTP status other than 2xx.

    421, 425, 429 and 503 are sent before any work is done. 408, 499 and every other 5xx can come
    after it. A 403 or 404 that isn't the site's own JSON comes from a server in front of it, which
    has not passed the request on.
    """
    message, is_own = error_message(body)
    message = f"the site says {status}: {message}" if message else f"the site says {status}"
    if status in {421, 425, 429, 503} or (status in {403, 404} and not is_own):
        return errors.ServiceUnavailableError(message, status, _retry_after(headers))
    if status == 404:
        return errors.NotFoundError(message, status)
    if 400 <= status < 500 and status not in {408, 499}:
        return errors.RejectedError(message, status)
    return errors.OutcomeUnknownError(message, status)


def error_message(body: bytes) -> tuple[str, bool]:
    """Return an error body's message as one line, and whether the body is the site's own JSON.

    A body is Flywheel's ``message``, a ``detail`` that lists what is wrong, problem+json, any other
    JSON, plain text, or an HTML page, whose markup is removed.
    """
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return one_line(_TAG.sub(" ", text), _MAX_MESSAGE_CHARS), False
    is_own = isinstance(document, dict) and not _SITE_ERROR_KEYS.isdisjoint(document)
    words = find_message(document) or (text if document else "")  # at the worst, all of it
    return one_line(words, _MAX_MESSAGE_CHARS), is_own


def find_message(value: object, depth: int = 4) -> str:
    """Find the message for people in decoded JSON; empty where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "; ".join(filter(None, (find_message(item, depth - 1) for item in value[:5])))
    if isinstance(value, dict) and depth:
        found = (find_message(value.get(name), depth - 1) for name in _MESSAGE_KEYS)
        return ": ".join(dict.fromkeys(filter(None, found)))
    return ""


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Read the site's time when a response came, in UTC; None where it can't be read.

    Of one that a cache has kept it can be a few seconds late, so as not to be ahead.
    """
    date, kept = http_date(headers.get("Date")), max(0.0, age_of(headers) - _AGE_ERROR_SECONDS)
    try:
        return date and date + timedelta(seconds=kept)
    except OverflowError:
        return None


def age_of(headers: Mapping[str, str]) -> float:
    """Read how many seconds a cache has kept a response; infinite where that can't be read."""
    age = headers.get("Age", "0").strip()
    return float(age) if age.isdecimal() else math.inf


def http_date(header: str | None) -> datetime | None:
    """Parse a header's time, in UTC; None where there is none, or it can't be read."""
    try:
        date = parsedate_to_datetime(header) if header else None
        # The zone -0000 means UTC, and parses to a time without a zone.
        return date and (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read the seconds of ``Retry-After``, a number or a date by the response's own clock."""
    header = headers.get("Retry-After")
    try:
        seconds = float(header or "nan")
    except ValueError:
        until, now = http_date(header), http_date(headers.get("Date"))
        seconds = (until - now).total_seconds() if until and now else math.nan
    return max(0.0, seconds) if math.isfinite(seconds) else None
