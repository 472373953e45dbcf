"""What goes in and out of the simulated site: requests, responses, and how they are written down.

Values and their formats only. Nothing here knows projects or snapshots, opens a socket or reads a
clock.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal

JSON_TYPE = "application/json"

Broken = Literal["", "reset", "truncated", "hang"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: the verb, in capitals.
        path: the path as it was sent, still percent-encoded, without the query. The site decodes
            each segment by itself, so that an encoded slash never adds a segment.
        query: the decoded query; of a name that occurs twice, the last value.
        headers: the headers, names in lower case.
        body: the body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            SiteError: it is none (400).
        """
        try:
            document = json.loads(self.body)
        except ValueError as problem:
            raise SiteError(400, f"The body is not JSON: {problem}") from problem
        if not isinstance(document, dict):
            raise SiteError(400, "The body is no JSON object")
        return document


@dataclass(frozen=True, slots=True)
class Response:
    """What the site answers, and how the answer goes wrong on its way.

    Attributes:
        status: the HTTP status.
        headers: the headers, without `Content-Length`.
        body: the body, or the file that holds it (a download too big for memory).
        delay_seconds: how long the HTTP face waits before it answers.
        broken: `""` for an answer that arrives; `"reset"`: the connection is aborted without an
            answer; `"truncated"`: the full `Content-Length`, half of the body, then an abort;
            `"hang"`: no answer until the client gives up.
        drip_seconds: the HTTP face sends the body a byte at a time, with this pause after each.
        drip_headers: it sends the status line and the headers in that way, too.
        drip_after: so many bytes of the body come at once, before the dripping begins.
        endless: the body begins again at its end, for ever, and there is no `Content-Length`.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    delay_seconds: float = 0.0
    broken: Broken = ""
    drip_seconds: float = 0.0
    drip_headers: bool = False
    drip_after: int = 0
    endless: bool = False

    @property
    def arriving_status(self) -> int:
        """The status that reaches the caller; 0 where the connection breaks first."""
        return 0 if self.broken in ("reset", "hang") else self.status

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def content(self) -> bytes:
        """The whole body in memory."""
        return self.body if isinstance(self.body, bytes) else self.body.read_bytes()


class SiteError(Exception):
    """A refusal: ends the handling of a request with an error in the site's own format."""

    def __init__(self, status: int, message: str) -> None:
        """Refuse with this HTTP status and message."""
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self, request_id: str = "") -> Response:
        """Answer the error the way that the site words every error."""
        told = {"message": self.message, "status_code": self.status, "request_id": request_id}
        return json_response(told, self.status)


def json_response(value: object, status: int = 200) -> Response:
    """Answer a JSON document."""
    return json_body(json.dumps(value, ensure_ascii=False).encode(), status)


def json_body(body: bytes, status: int = 200) -> Response:
    """Answer a JSON document that is written down already."""
    return Response(status, {"Content-Type": JSON_TYPE}, body)


def with_headers(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Add headers; where both have one, whatever its capitals, the added one wins.

    >>> with_headers({"Date": "then", "Age": "1"}, {"date": "now"})
    {'Age': '1', 'date': 'now'}
    """
    named = {name.lower() for name in more}
    kept = {name: value for name, value in headers.items() if name.lower() not in named}
    return {**kept, **more}


def iso_time(unix_seconds: float) -> str:
    """Write a time as the site's documents do: ISO 8601, milliseconds, offset.

    >>> iso_time(0.5)
    '1970-01-01T00:00:00.500+00:00'
    """
    return utc_datetime(unix_seconds).isoformat(timespec="milliseconds")


def utc_datetime(unix_seconds: float) -> datetime:
    """Turn unix seconds into an aware time in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC)


@functools.lru_cache(maxsize=64)
def http_date(unix_seconds: int) -> str:
    """Write whole unix seconds as a `Date` header.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(unix_seconds, usegmt=True)
