"""Faults on request: which requests they hit, and what happens to those instead.

A `Fault` decides whether it hits a request; its `Action` says whether the work is done and builds
the answer; the site carries both out. Functions make the actions, named for what a caller would
see.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .protocol import JSON_TYPE, Broken, Response, SiteError, with_headers

Work = Literal["done", "none", "later"]
Lost = int | Literal["reset", "hang", "truncated", "garbage"]

GARBAGE = b"<html><body>It works!</body></html>"


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request that a fault hits. The functions below make the usual ones.

    Attributes:
        work: `"done"`: the site does what was asked; `"none"`: it does not; `"later"`: it does so
            `later_seconds` after the request (a create only).
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
            delay_seconds=self.delay_seconds,
            broken=self.broken or answer.broken,
            drip_seconds=self.drip_seconds or answer.drip_seconds,
            drip_headers=self.drip_headers,
        )

    def _answer(self, ordinary: Response | None, key: str, request_id: str) -> Response:
        if self.body is not None:
            body = self.body.replace(b"{key}", key.encode())
            return Response(self.status or 200, _content_type(body), body)
        if self.status is not None or ordinary is None:
            status = self.status or 502
            message = self.message.replace("{key}", key) or f"Simulated status {status}"
            return SiteError(status, message).response(request_id)
        is_document = ordinary.headers.get("Content-Type") == JSON_TYPE
        if self.edit is not None and is_document and ordinary.status < 300:
            document = self.edit(ordinary.document)
            return replace(ordinary, body=json.dumps(document, ensure_ascii=False).encode())
        return ordinary


def _content_type(body: bytes) -> dict[str, str]:
    if not body:
        return {}
    return {"Content-Type": "text/html" if body.lstrip().startswith(b"<") else JSON_TYPE}


@dataclass(slots=True)
class Fault:
    """A fault that is in force.

    Attributes:
        kind: the kind of request that it hits, several kinds, or None for every kind.
        project_id: the only project that it hits, or None for all.
        times: how many requests it hits; None: for ever.
        after: how many matching requests it lets through first.
        begin: not before this time by the site's clock, in unix seconds.
        end: not at or after this time.
        action: what happens to a request that it hits.
        seen: how many requests matched so far.
        hits: how many of them it hit.
    """

    kind: str | Collection[str] | None = "create"
    project_id: str | None = None
    times: int | None = None
    after: int = 0
    begin: float | None = None
    end: float | None = None
    action: Action = field(default_factory=lambda: refuse(500))
    seen: int = 0
    hits: int = 0

    def hit(self, kind: str, project_id: str, now: float) -> bool:
        """Decide whether a request is hit, and count it."""
        kinds = (self.kind,) if isinstance(self.kind, str) else self.kind
        if not (
            (self.times is None or self.hits < self.times)
            and (kinds is None or kind in kinds)
            and self.project_id in (None, project_id)
            and (self.begin is None or now >= self.begin)
            and (self.end is None or now < self.end)
        ):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.hits += 1
        return True


def refuse(
    status: int,
    message: str = "",
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after_seconds: float | None = None,
) -> Action:
    """Answer a status without doing the work.

    Args:
        status: the HTTP status.
        message: the error's message; `{key}` in it becomes the caller's API key.
        body: a raw body instead of the site's JSON error (a gateway's page, say).
        headers: further headers.
        retry_after_seconds: sent as `Retry-After`.
    """
    sent = dict(headers or {})
    if retry_after_seconds is not None:
        sent["Retry-After"] = f"{retry_after_seconds:g}"
    return Action("none", status, message, body, sent)


def break_off(how: Broken = "reset", *, delay_seconds: float = 0.0) -> Action:
    """Do nothing, and break the connection (`"reset"`) or never answer (`"hang"`)."""
    return Action("none", broken=how, delay_seconds=delay_seconds)


def lose_answer(how: Lost = 504, *, message: str = "") -> Action:
    """Do the work, then lose the answer.

    Args:
        how: an HTTP status that arrives in its place (500, 502, 504), `"reset"`, `"hang"`,
            `"truncated"` (half of the true answer), or `"garbage"` (200 with a page of HTML).
        message: the message of the error that arrives.
    """
    if isinstance(how, int):
        return Action(status=how, message=message)
    return Action(status=200, body=GARBAGE) if how == "garbage" else Action(broken=how)


def do_later(later_seconds: float, how: Lost = "reset") -> Action:
    """Lose the answer at once, and do the work so many seconds afterwards (a create only)."""
    return replace(lose_answer(how), work="later", later_seconds=later_seconds)


def slow_down(delay_seconds: float) -> Action:
    """Do the work and answer as ever, but so many seconds later."""
    return Action(delay_seconds=delay_seconds)


def answer_with(
    body: object,
    status: int = 200,
    *,
    work: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Action:
    """Answer another body.

    Args:
        body: bytes as they stand, or anything else as JSON: `{}`, `[]`, a record without `_id`.
        status: the status that comes with it.
        work: whether the site does what was asked.
        headers: further headers; they win over the site's own, also over its `Date`.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Action("done" if work else "none", status, body=raw, headers=headers or {})


def add_headers(headers: Mapping[str, str]) -> Action:
    """Do the work and answer as ever, with further headers; they win over the site's own."""
    return Action(headers=headers)


def edit_answer(edit: Callable[[Any], Any]) -> Action:
    """Do the work, and answer what `edit` returns for the JSON document of the ordinary answer.

    Refusals, and what is no JSON, stay as they are.
    """
    return Action(edit=edit)


def redirect(location: str = "/task/1", status: int = 303, *, work: bool = True) -> Action:
    """Do the work (or not), and send the caller to another address, without a body."""
    return answer_with(b"", status, work=work, headers={"Location": location})


def accept(later_seconds: float = 0.0, status: int = 202) -> Action:
    """Answer a create at once, without a body; the snapshot is made so many seconds later."""
    return Action("later", status, body=b"", later_seconds=later_seconds)


def drip(seconds_per_byte: float) -> Action:
    """Do the work, and answer a byte at a time, with a pause after each."""
    return Action(drip_seconds=seconds_per_byte)
