"""Faults on request: which requests they hit, and what happens to those instead.

Declares them and decides whether one hits; the site carries them out. Five functions make the
actions, named for what a caller would see: `refuse`, `break_off`, `lose_answer`, `do_later`,
`answer_with`, and `slow_down`.
"""

import json
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .protocol import Broken, Response, error_response

Lost = int | Literal["reset", "hang", "truncated", "garbage"]

GARBAGE = b"<html><body>It works!</body></html>"


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request that a fault hits. Make one with the functions of this module.

    Attributes:
        work: `"done"`: the site does what was asked; `"none"`: it does not; `"later"`: it does so
            `later_seconds` after the request.
        status: the status to answer; None for the one that the site would answer.
        message: the message of an error; `{key}` in it stands for the caller's API key.
        body: a body to answer as it stands (with `{key}` replaced), instead of an error.
        headers: further headers, such as `Retry-After`.
        broken: how the answer breaks on its way.
        delay_seconds: how much later than otherwise the answer comes.
        later_seconds: how long after the request the work is done, where `work` is `"later"`.
    """

    work: Literal["done", "none", "later"] = "done"
    status: int | None = None
    message: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: Broken = ""
    delay_seconds: float = 0.0
    later_seconds: float = 0.0

    def response(self, ordinary: Response | None, key: str, request_id: str) -> Response:
        """Build the answer.

        Args:
            ordinary: what the site answered to the work, or None where no work was done.
            key: the caller's API key, for a message that echoes it.
            request_id: the request's id, for an error's body.
        """
        if self.body is not None:
            body = self.body.replace(b"{key}", key.encode())
            kind = {"Content-Type": _content_type(body)}
            answer = Response(self.status or 200, kind, body)
        elif self.status is not None or ordinary is None:
            status = self.status or 502
            message = self.message.replace("{key}", key) or f"Simulated status {status}"
            answer = error_response(status, message, request_id)
        else:
            answer = ordinary
        delay = self.delay_seconds + (ordinary.delay_seconds if ordinary else 0.0)
        headers = {**answer.headers, **self.headers}
        return Response(answer.status, headers, answer.body, delay, self.broken or answer.broken)


def refuse(
    status: int,
    message: str = "",
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after_seconds: float | None = None,
    delay_seconds: float = 0.0,
) -> Action:
    """Answer a status without doing the work.

    Args:
        status: the HTTP status.
        message: the error's message; `{key}` in it becomes the caller's API key.
        body: a raw body instead of the site's JSON error (a gateway's page, say).
        headers: further headers.
        retry_after_seconds: sent as `Retry-After`.
        delay_seconds: how long the refusal takes.
    """
    sent = dict(headers or {})
    if retry_after_seconds is not None:
        sent["Retry-After"] = f"{retry_after_seconds:g}"
    return Action("none", status, message, body, sent, "", delay_seconds)


def break_off(how: Broken = "reset", *, delay_seconds: float = 0.0) -> Action:
    """Do nothing, and break the connection (`"reset"`) or never answer (`"hang"`)."""
    return Action("none", broken=how, delay_seconds=delay_seconds)


def lose_answer(how: Lost = 504, *, message: str = "", delay_seconds: float = 0.0) -> Action:
    """Do the work, then lose the answer.

    Args:
        how: an HTTP status that arrives in its place (500, 502, 504), `"reset"`, `"hang"`,
            `"truncated"` (half of the true answer), or `"garbage"` (200 with a page of HTML).
        message: the message of the error that arrives.
        delay_seconds: how long the answer takes to be lost.
    """
    return _lost("done", how, message, delay_seconds, 0.0)


def do_later(later_seconds: float, how: Lost = "reset", *, delay_seconds: float = 0.0) -> Action:
    """Lose the answer at once, and do the work so many seconds afterwards (a create only)."""
    return _lost("later", how, "", delay_seconds, later_seconds)


def slow_down(delay_seconds: float) -> Action:
    """Do the work and answer as ever, but so many seconds later."""
    return Action(delay_seconds=delay_seconds)


def answer_with(
    body: object, status: int = 200, *, work: bool = True, delay_seconds: float = 0.0
) -> Action:
    """Answer another body.

    Args:
        body: bytes as they stand, or anything else as JSON: `{}`, `[]`, a record without `_id`.
        status: the status that comes with it.
        work: whether the site does what was asked.
        delay_seconds: how much later the answer comes.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Action("done" if work else "none", status, body=raw, delay_seconds=delay_seconds)


@dataclass(slots=True)
class Fault:
    """A fault that is in force.

    Attributes:
        kind: the kind of request that it hits, several kinds, or None for every kind.
        project_id: the only project that it hits, or None for all.
        times: how many requests it hits; None: for ever.
        probability: how likely it hits a request, 0 to 1, by the site's seeded random.
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
    probability: float = 1.0
    after: int = 0
    begin: float | None = None
    end: float | None = None
    action: Action = field(default_factory=lambda: refuse(500))
    seen: int = 0
    hits: int = 0

    def hit(self, kind: str, project_id: str, now: float, source: random.Random) -> bool:
        """Decide whether a request is hit, and count it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.kind is not None and kind not in _kinds(self.kind):
            return False
        if self.project_id is not None and project_id != self.project_id:
            return False
        if self.begin is not None and now < self.begin:
            return False
        if self.end is not None and now >= self.end:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        if self.probability < 1.0 and source.random() >= self.probability:
            return False
        self.hits += 1
        return True


def _kinds(kind: str | Collection[str]) -> Collection[str]:
    return (kind,) if isinstance(kind, str) else kind


def _content_type(body: bytes) -> str:
    return "text/html" if body.lstrip().startswith(b"<") else "application/json"


def _lost(
    work: Literal["done", "later"], how: Lost, message: str, delay: float, later: float
) -> Action:
    if isinstance(how, int):
        return Action(work, how, message, delay_seconds=delay, later_seconds=later)
    if how == "garbage":
        return Action(work, 200, body=GARBAGE, delay_seconds=delay, later_seconds=later)
    return Action(work, broken=how, delay_seconds=delay, later_seconds=later)
