"""Time that passes only when somebody sleeps, so that ten minutes pass at once."""

from datetime import UTC, datetime

START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """A Clock, and the unix time that a simulated site goes by.

    Attributes:
        seconds: how much time has passed.
        slept: every sleep so far, in seconds.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += max(0.0, seconds)

    def raise_if_terminated(self) -> None:
        """Go through sleep, which tests override to end a run."""
        self.sleep(0.0)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.unix(), UTC)

    def unix(self) -> float:
        return START.timestamp() + self.seconds
