"""What a fault makes of a request: whether the work is done, and what is answered instead.

Builds the answer; `faults.py` has a function for each kind of action.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .protocol import Broken, Response, error_response, with_headers

Work = Literal["done", "none", "later"]

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request that a fault hits. Make one with the functions of `faults.py`.

    Attributes:
        work: `"done"`: the site does what was asked; `"none"`: it does not; `"later"`: it does so
            `later_seconds` after the request.
        status: the status to answer; None for the one that the site would answer.
        message: the message of an error; `{key}` in it stands for the caller's API key.
        body: a body to answer as it stands (with `{key}` replaced), instead of an error.
        headers: further headers, such as `Retry-After`; they win over the answer's own.
        broken: how the answer breaks on its way.
        delay_seconds: how much later than otherwise the answer comes.
        later_seconds: how long after the request the work is done, where `work` is `"later"`.
        drip_seconds: the pause after each byte of the body, which then comes byte by byte.
        drip_headers: whether the headers come in that way, too.
        edit: what makes another JSON document of the one that the site answers.
    """

    work: Work = "done"
    status: int | None = None
    message: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: Broken = ""
    delay_seconds: float = 0.0
    later_seconds: float = 0.0
    drip_seconds: float = 0.0
    drip_headers: bool = False
    edit: Callable[[Any], Any] | None = None

    def response(self, ordinary: Response | None, key: str, request_id: str) -> Response:
        """Build the answer.

        Args:
            ordinary: what the site answered to the work, or None where no work was done.
            key: the caller's API key, for a message that echoes it.
            request_id: the request's id, for an error's body.
        """
        answer = self._answer(ordinary, key, request_id)
        return replace(
            answer,
            headers=with_headers(answer.headers, self.headers),
            delay_seconds=self.delay_seconds + (ordinary.delay_seconds if ordinary else 0.0),
            broken=self.broken or answer.broken,
            drip_seconds=self.drip_seconds or answer.drip_seconds,
            drip_headers=self.drip_headers or answer.drip_headers,
        )

    def _answer(self, ordinary: Response | None, key: str, request_id: str) -> Response:
        if self.body is not None:
            body = self.body.replace(b"{key}", key.encode())
            return Response(self.status or 200, _content_type(body), body)
        if self.status is not None or ordinary is None:
            status = self.status or 502
            message = self.message.replace("{key}", key) or f"Simulated status {status}"
            return error_response(status, message, request_id)
        if self.edit is not None and _is_document(ordinary):
            document = self.edit(ordinary.document)
            return replace(ordinary, body=json.dumps(document, ensure_ascii=False).encode())
        return ordinary


def _content_type(body: bytes) -> dict[str, str]:
    if not body:
        return {}
    return {"Content-Type": "text/html" if body.lstrip().startswith(b"<") else _JSON}


def _is_document(response: Response) -> bool:
    return response.status < 300 and response.headers.get("Content-Type") == _JSON
