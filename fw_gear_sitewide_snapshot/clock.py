"""Time as an argument: what the parts may know of it, and the real one."""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from typing_extensions import override

from .errors import TerminatedError


class Clock(Protocol):
    """The time that a run lives by; tests bring one in which ten minutes pass at once."""

    def monotonic(self) -> float:
        """Return the seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or raise TerminatedError as soon as the run is to end."""

    def raise_if_terminated(self) -> None:
        """Raise TerminatedError if the run is to end."""

    def now(self) -> datetime:
        """Return this machine's time in UTC. It may differ from the site's by minutes."""


class SystemClock(Clock):
    """The machine's clock, whose sleep ends early once ``stop`` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    def sleep(self, seconds: float) -> None:
        if self._stop.wait(min(max(0.0, seconds), threading.TIMEOUT_MAX)):
            raise TerminatedError

    @override
    def raise_if_terminated(self) -> None:
        self.sleep(0.0)

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)
