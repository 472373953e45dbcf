"""Asks again while the site can't answer, and says how long to wait: sole importer of tenacity.

``patiently`` is for reading. Whether a create or a download may be sent again is for ``snapshot``
and ``fetch`` to know, which take only the pauses and their bounds from here.
"""

import logging
import math
import random
from collections.abc import Callable
from typing import TypeVar

import tenacity

from .clock import Clock
from .errors import OutcomeUnknownError, ServiceUnavailableError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

ATTEMPTS = 6  # with the pauses below: about a minute, an outage of half a minute survived
PATIENCE_SECONDS = 60.0
LONGEST_WISH_SECONDS = 120.0
"""A site may ask for so long a pause (``Retry-After``); a minute is what limits are counted by."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 20.0


class Patience:
    """How often, and until when, one thing is asked again.

    Args:
        clock: The time that it is measured by.
        seconds: No attempt is begun after so long, unless the site itself asks for a later one.
        until: Monotonic time after which none is begun, whatever the site asks for.
    """

    def __init__(
        self, clock: Clock, seconds: float = PATIENCE_SECONDS, until: float = math.inf
    ) -> None:
        self._clock = clock
        self._attempts = 0
        self._until = until
        self._give_up = min(clock.monotonic() + seconds, until)

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return self._clock.monotonic() > self._give_up

    def pause(self, error: BaseException | None) -> float:
        """Seconds to wait after an attempt that raised this; infinite: it was the last one."""
        self._attempts += 1
        wish = _wish(error)
        seconds = pause_seconds(self._attempts, error)
        give_up = self._give_up if wish is None else self._until
        is_last = (
            self._attempts >= ATTEMPTS
            or (wish or 0.0) > LONGEST_WISH_SECONDS
            or self._clock.monotonic() + seconds > give_up
        )
        return math.inf if is_last else seconds


def patiently(ask: Callable[[], Value], clock: Clock, patience: Patience | None = None) -> Value:
    """Ask again, with growing pauses, while the site can't answer.

    Args:
        ask: Asks once.
        clock: The time that pauses are measured by.
        patience: How often and how long; None: about a minute.

    Raises:
        SiteError: What the last attempt raised; at once where the site refuses.
    """
    patience = patience or Patience(clock)
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((ServiceUnavailableError, OutcomeUnknownError)),
        wait=lambda state: patience.pause(_raised(state)),
        stop=lambda state: math.isinf(state.upcoming_sleep),
        sleep=clock.sleep,
        before_sleep=_log_pause,
        reraise=True,
    )
    return again(ask)


def pause_seconds(attempt: int, error: BaseException | None = None) -> float:
    """How long to wait after an attempt before the next: what the site asks for, else ever longer.

    Args:
        attempt: The attempt that failed, from 1.
        error: What it raised.
    """
    if (wish := _wish(error)) is not None:
        return wish + _between(0.0, 1.0)
    return _between(0.8, 1.0) * min(_FIRST_PAUSE_SECONDS * 2.0**attempt, _LONGEST_PAUSE_SECONDS)


def _wish(error: BaseException | None) -> float | None:
    """Seconds that the site asks for; None where it doesn't."""
    return error.retry_after if isinstance(error, ServiceUnavailableError) else None


def _between(low: float, high: float) -> float:
    """Chance, so that workers that failed together don't come back together."""
    return random.uniform(low, high)  # noqa: S311  no secret


def _raised(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_pause(state: tenacity.RetryCallState) -> None:
    log.warning("%s; asking again in %.0f s", _raised(state), state.upcoming_sleep)
