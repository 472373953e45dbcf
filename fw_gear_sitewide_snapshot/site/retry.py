"""Retries calls while the site can't answer: the only module that imports tenacity.

``call_with_retries`` is for reading. Whether a create or a download may be sent again is decided in
``snapshot`` and ``fetch``; here it is only asked how long to wait before that.
"""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

import tenacity

from ..clock import Clock
from ..errors import OutcomeUnknownError, ServiceUnavailableError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

RETRY_SECONDS = 60.0
"""The last retry begins no earlier than this: an outage that ends before does no harm."""

MAX_RETRY_AFTER_SECONDS = 120.0
"""The longest ``Retry-After`` that is waited for; rate limits count by the minute."""

_FIRST_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 1.0, 15.0


def backoff_seconds(failures: int, error: BaseException | None = None) -> float:
    """Return how long to wait after so many ``failures`` in a row, the last one with ``error``.

    It is the longer of what the site asks for and a growing pause of our own.
    """
    # Random, so that calls that failed together are not sent again together.
    ours = min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 9), _MAX_BACKOFF_SECONDS)
    ours *= random.uniform(0.8, 1.0)  # noqa: S311  not for security
    return max(ours, _retry_after(error))


def call_with_retries(
    call: Callable[[], Value], clock: Clock, seconds: float = RETRY_SECONDS
) -> Value:
    """Call, and call again with growing pauses while the site can't answer.

    The last call begins ``seconds`` after the first at the earliest, or later by the pause that the
    site itself has asked for.

    Raises:
        SiteError: What the last call raised; at once where the site refuses, or asks for a pause
            of more than MAX_RETRY_AFTER_SECONDS.
    """
    began = last_began = clock.monotonic()

    def once() -> Value:
        nonlocal last_began
        last_began = clock.monotonic()
        return call()

    def is_last(state: tenacity.RetryCallState) -> bool:
        asked = _retry_after(_error(state))
        return asked > MAX_RETRY_AFTER_SECONDS or last_began >= began + seconds + asked

    def pause(state: tenacity.RetryCallState) -> float:
        asked = _retry_after(_error(state))
        left = began + seconds - clock.monotonic()  # the last call need not begin later
        ours = min(backoff_seconds(state.attempt_number), max(left, _FIRST_BACKOFF_SECONDS))
        return max(asked, ours)

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((ServiceUnavailableError, OutcomeUnknownError)),
        wait=pause,
        stop=is_last,
        sleep=clock.sleep,
        before_sleep=_log_pause,
        reraise=True,
    )
    return again(once)


def _retry_after(error: BaseException | None) -> float:
    """Return the seconds that a site asks for; 0 where it doesn't."""
    return (isinstance(error, ServiceUnavailableError) and error.retry_after) or 0.0


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_pause(state: tenacity.RetryCallState) -> None:
    log.warning("%s; asking again in %.0f s", _error(state), state.upcoming_sleep)
