"""Faults on request: which requests they hit, and what happens to those instead.

Declares them and decides whether one hits; the site carries them out. Functions make the actions,
named for what a caller would see.
"""

import json
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .action import Action, Work
from .protocol import Broken

__all__ = [
    "Action",
    "Fault",
    "Lost",
    "accept",
    "add_headers",
    "answer_with",
    "break_off",
    "do_later",
    "drip",
    "edit_answer",
    "lose_answer",
    "redirect",
    "refuse",
    "slow_down",
]

Lost = int | Literal["reset", "hang", "truncated", "garbage"]

GARBAGE = b"<html><body>It works!</body></html>"


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
    body: object,
    status: int = 200,
    *,
    work: bool = True,
    headers: Mapping[str, str] | None = None,
    delay_seconds: float = 0.0,
) -> Action:
    """Answer another body.

    Args:
        body: bytes as they stand, or anything else as JSON: `{}`, `[]`, a record without `_id`.
        status: the status that comes with it.
        work: whether the site does what was asked.
        headers: further headers; they win over the site's own, also over its `Date`.
        delay_seconds: how much later the answer comes.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    done: Work = "done" if work else "none"
    return Action(done, status, body=raw, headers=headers or {}, delay_seconds=delay_seconds)


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
    done: Work = "done" if work else "none"
    return Action(done, status, body=b"", headers={"Location": location})


def accept(later_seconds: float = 0.0, status: int = 202) -> Action:
    """Answer a create at once, without a body; the snapshot is made so many seconds later."""
    return Action("later", status, body=b"", later_seconds=later_seconds)


def drip(seconds_per_byte: float, *, headers: bool = False, work: Work = "done") -> Action:
    """Answer a byte at a time, with a pause after each; with `headers` from the first line on."""
    return Action(work, drip_seconds=seconds_per_byte, drip_headers=headers)


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


def _lost(
    work: Literal["done", "later"], how: Lost, message: str, delay: float, later: float
) -> Action:
    if isinstance(how, int):
        return Action(work, how, message, delay_seconds=delay, later_seconds=later)
    if how == "garbage":
        return Action(work, 200, body=GARBAGE, delay_seconds=delay, later_seconds=later)
    return Action(work, broken=how, delay_seconds=delay, later_seconds=later)
