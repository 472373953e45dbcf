"""What a call to the site is made of: a request, its response, what a status means. Does no I/O."""

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from ..errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from ..text import one_line, size_text

CONNECT_SECONDS = 10.0
CALL_SECONDS = 30.0

_MIB = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_WORDS = (
    *("message", "title", "detail", "error", "errors", "reason", "msg", "failure", "error_message"),
    *("failure_reason", "status_message", "status_reason"),
)
_OWN = frozenset({"message", "detail", "title"})
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: ``GET`` or ``POST``.
        path: From the site's root, with ``{names}`` for the parameters.
        parameters: Path parameters; quoted on the way, so no value can change the path.
        query: Query parameters.
        seconds: How long the call may take in all; for a stream, until each further piece.
        max_bytes: How large the answer may be, unpacked.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = CALL_SECONDS
    connect_seconds: float = CONNECT_SECONDS
    max_bytes: int = 4 * _MIB

    @property
    def is_create(self) -> bool:
        """Whether sending it twice could do something twice."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Response:
    """What the site answered.

    Attributes:
        data: The body: decoded JSON, or text where it was none.
        date: When the site wrote it; None where it doesn't say, or where a cache has kept it.
    """

    data: object
    date: datetime | None = None


@dataclass
class Stream:
    """A response's body that comes in pieces. Whoever has it closes it, whatever happens.

    Attributes:
        chunks: The pieces, in order; once. Where the site packs them for the way, they come
            unpacked. A stream that breaks off raises OutcomeUnknownError.
        size: How many bytes the site says that it sends; None where it doesn't say.
        let_go: Closes the connection.
    """

    chunks: Iterator[bytes]
    size: int | None = None
    let_go: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Let go of the connection."""
        self.let_go()


class Transport(Protocol):
    """Carries a request to the site, once, or raises the SiteError for what became of it."""

    def send(self, request: Request) -> Response:
        """Return the site's answer."""

    def stream(self, request: Request) -> Stream:
        """Return the site's answer in pieces; it may come from an address it redirects to."""


def read_body(
    chunks: Iterable[bytes], encoding: str, max_bytes: int, *, cut: bool = False
) -> bytes:
    """Put a body together, unpacked.

    Args:
        chunks: What comes over the wire.
        encoding: The header ``Content-Encoding``.
        max_bytes: How large it may be, unpacked; not much more memory is ever taken.
        cut: Whether its beginning will do where it is larger, or where its end is missing.

    Raises:
        OutcomeUnknownError: It is larger, or can't be unpacked.
    """
    encoding = encoding.strip().lower() or "identity"
    if encoding not in {"identity", "gzip", "deflate"}:
        raise OutcomeUnknownError(f"unexpected response: encoded as {one_line(encoding, 40)}")
    unpacker = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    try:
        for chunk in chunks:
            body += unpacker.decompress(chunk, max_bytes + 1) if unpacker else chunk
            if len(body) > max_bytes:
                if cut:
                    break
                raise OutcomeUnknownError(f"unexpected response: more than {size_text(max_bytes)}")
            if unpacker and unpacker.eof:  # it would keep what is behind
                break
    except zlib.error:
        raise OutcomeUnknownError("unexpected response: it can't be unpacked") from None
    if unpacker and not unpacker.eof and not cut:
        raise OutcomeUnknownError("unexpected response: cut off before its end")
    return bytes(body[:max_bytes])


def decoded(body: bytes) -> object:
    """Decode JSON; what is none comes back as text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def error_for(status: int, headers: Mapping[str, str], body: bytes = b"") -> SiteError:
    """Say what an HTTP status other than 2xx means for what was asked.

    421, 425, 429 and 503 are sent before any work is done. 408, 499 and every other 5xx can come
    after it. A 403 or 404 that isn't the site's own JSON comes from a server in front of it, which
    has not passed the request on.
    """
    words, is_own = site_words(body)
    words = f"the site says {status}: {words}" if words else f"the site says {status}"
    if status in {421, 425, 429, 503} or (status in {403, 404} and not is_own):
        return ServiceUnavailableError(words, status, _retry_after(headers))
    if status == 404:
        return NotFoundError(words, status)
    if 400 <= status < 500 and status not in {408, 499}:
        return RejectedError(words, status)
    return OutcomeUnknownError(words, status)


def site_words(body: bytes) -> tuple[str, bool]:
    """Return an error's words as one line, and whether they are the site's own JSON.

    Its body: Flywheel's ``message``, a ``detail`` that lists what is wrong, problem+json, plain
    text, or a page without its markup.
    """
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return one_line(_TAG.sub(" ", text), _LONGEST_WORDS), False
    is_own = isinstance(document, dict) and not _OWN.isdisjoint(document)
    return one_line(words_in(document), _LONGEST_WORDS), is_own


def words_in(value: object, depth: int = 4) -> str:
    """Find the words for people in decoded JSON; empty where there are none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "; ".join(filter(None, (words_in(item, depth - 1) for item in value[:5])))
    if isinstance(value, dict) and depth:
        found = (words_in(value.get(name), depth - 1) for name in _WORDS)
        return ": ".join(dict.fromkeys(filter(None, found)))
    return ""


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Read when the site wrote a response, in UTC; None where a cache (``Age``) has kept it."""
    return None if headers.get("Age", "0").strip() != "0" else http_date(headers.get("Date"))


def http_date(header: str | None) -> datetime | None:
    """Read the time of a header in UTC; None where there is none, or it can't be read."""
    try:
        date = parsedate_to_datetime(header) if header else None
        # The zone -0000 says UTC, and is parsed to none.
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
