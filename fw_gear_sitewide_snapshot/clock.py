"""Time as an argument: what the parts may know of it, and the real one."""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from .errors import TerminatedError


class Clock(Protocol):
    """The time that a run lives by; tests bring one in which ten minutes pass at once."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or raise TerminatedError as soon as the run is to end."""

    def now(self) -> datetime:
        """This machine's idea of the time, in UTC. It may differ from the site's by minutes."""


class SystemClock:
    """The machine's clock, whose sleep ends early once ``stop`` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        if self._stop.wait(min(max(0.0, seconds), threading.TIMEOUT_MAX)):
            raise TerminatedError

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)
