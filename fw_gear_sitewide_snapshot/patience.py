"""Asks again while the site can't answer, and says how long to wait: sole importer of tenacity.

For reading. Whether a create may be sent again is for ``snapshot`` to know, which takes only the
pauses from here.
"""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

import tenacity

from .clock import Clock
from .errors import BusyError, UnclearError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_ATTEMPTS = 6  # with the pauses below: about a minute, an outage of half a minute survived
_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 20.0


def patiently(
    ask: Callable[[], Value], clock: Clock, patience_seconds: float = _PATIENCE_SECONDS
) -> Value:
    """Ask again, with growing pauses, while the site can't answer.

    Args:
        ask: Asks once.
        clock: The time that pauses are measured by.
        patience_seconds: No attempt is begun after so long.

    Raises:
        SiteError: What the last attempt raised; at once where the site refuses.
    """
    give_up = clock.monotonic() + patience_seconds
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((BusyError, UnclearError)),
        stop=lambda state: (
            state.attempt_number >= _ATTEMPTS or clock.monotonic() + state.upcoming_sleep > give_up
        ),
        wait=lambda state: pause_seconds(state.attempt_number, _raised(state)),
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
    if isinstance(error, BusyError) and error.retry_after is not None:
        return error.retry_after + _between(0.0, 1.0)
    return _between(0.8, 1.0) * min(_FIRST_PAUSE_SECONDS * 2.0**attempt, _LONGEST_PAUSE_SECONDS)


def _between(low: float, high: float) -> float:
    """Chance, so that workers that failed together don't come back together."""
    return random.uniform(low, high)  # noqa: S311  no secret


def _raised(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_pause(state: tenacity.RetryCallState) -> None:
    log.warning("%s; asking again in %.0f s", _raised(state), state.upcoming_sleep)
