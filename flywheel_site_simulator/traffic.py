"""What passes through the site: the log of requests, the limit on their rate, and the load.

Decides nothing but whether a request is one too many, and how late its answer is. No HTTP.
"""

import asyncio
import heapq
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from .behaviour import Behaviour


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What the site remembers of a request.

    Attributes:
        time: when it came, by the test's clock (not the site's), in unix seconds.
        kind: what was asked: `auth users/self version config`, `projects project info copy
            container group lookup resolve`, `create list detail download delete`,
            `job jobs jobs/add jobs/change jobs/retry`, or `other`.
        path: its path, still percent-encoded.
        query: its decoded query.
        project_id: the project that the path names, as it was sent (decoded), or `""`.
        snapshot_id: the snapshot that it names, or, for a create, the one that it made.
        status: the HTTP status that was answered; 0 if nothing was.
    """

    time: float
    kind: str
    method: str
    path: str
    query: Mapping[str, str]
    project_id: str
    snapshot_id: str
    status: int


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """What the storage's address remembers of a request.

    Attributes:
        authorization: whether an `Authorization` header reached it (it must not).
        status: the HTTP status that was answered; 0 if nothing was.
    """

    authorization: bool
    status: int


class RateLimit:
    """A token bucket that holds one second's worth of requests, at least one."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Start with a full bucket."""
        self._behaviour = behaviour
        self._tokens = math.inf
        self._last = 0.0

    def seconds_to_wait(self, now: float) -> int:
        """Take a token.

        Returns:
            0 where there was one; else whole seconds (at least one) until there will be one.
        """
        rate = self._behaviour.requests_per_second
        if rate is None:
            return 0
        gained = max(0.0, now - self._last) * rate
        self._tokens = min(max(1.0, rate), self._tokens + gained)
        self._last = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0
        return max(1, math.ceil((1.0 - self._tokens) / rate))


class Load:
    """The requests that are under way, by the clock: what a site slows down by."""

    def __init__(self, behaviour: Behaviour) -> None:
        """Start idle."""
        self._behaviour = behaviour
        self._ends: list[float] = []

    def delay_seconds(self, kind: str, extra_seconds: float, now: float) -> float:
        """Take a request of a kind on; gives how long its answer takes, the extra time included."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        seconds = self._behaviour.delay_seconds(kind)
        if self._behaviour.slows_down_at is not None:
            seconds *= 1.0 + ((len(self._ends) + 1) / self._behaviour.slows_down_at) ** 2
        heapq.heappush(self._ends, now + extra_seconds + seconds)
        return extra_seconds + seconds


@dataclass
class Traffic:
    """The requests that came, oldest first, and how many are and were unanswered at once.

    Attributes:
        given_up: how many requests their client has left before they were answered.
    """

    requests: list[LoggedRequest] = field(default_factory=list)
    storage_requests: list[StorageRequest] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    given_up: int = 0

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count a request as in flight while the block runs."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.in_flight -= 1
