"""What passes through the site: the log of requests, their counts, and the limit on their rate.

Counts and forgets nothing; decides nothing but whether a request is one too many. No HTTP.
"""

import math
from collections import Counter

from .protocol import LoggedRequest


class RateLimit:
    """A token bucket that holds one second's worth of requests."""

    def __init__(self, requests_per_second: float | None) -> None:
        """Start with a full bucket; None lets everything through."""
        self._rate = requests_per_second
        self._tokens = max(1.0, requests_per_second or 0.0)
        self._last: float | None = None

    def seconds_to_wait(self, now: float) -> int:
        """Take a token.

        Returns:
            0 where there was one; else whole seconds (at least one) until there will be one.
        """
        if self._rate is None:
            return 0
        if self._last is not None:
            gained = max(0.0, now - self._last) * self._rate
            self._tokens = min(max(1.0, self._rate), self._tokens + gained)
        self._last = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0
        return max(1, math.ceil((1.0 - self._tokens) / self._rate))


class Traffic:
    """The requests that came, and how many were in flight at once."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.requests: list[LoggedRequest] = []
        self.by_kind: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0

    def record(self, entry: LoggedRequest) -> None:
        """Remember a request."""
        self.requests.append(entry)
        self.by_kind[entry.kind] += 1
        self.by_status[entry.status] += 1

    def begin(self) -> None:
        """Count a request that has come and is not answered yet."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        """Count a request as answered, or given up."""
        self.in_flight -= 1

    def statistics(self) -> dict[str, object]:
        """Sum up; times by the test's clock."""
        details = Counter(int(entry.time) for entry in self.requests if entry.kind == "detail")
        return {
            "first_request": self.requests[0].time if self.requests else None,
            "most_status_calls_per_second": max(details.values(), default=0),
            "requests": len(self.requests),
            "by_kind": dict(self.by_kind),
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "most_in_flight": self.most_in_flight,
        }
