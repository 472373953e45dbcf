"""How one call ended: a value, or an error, and what its response tells besides."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from ..errors import SiteError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CallResult(Generic[Value]):
    """How one call ended."""

    value: Value | SiteError  # what the site answered, or what went wrong
    date: datetime | None  # the site's time when it answered, if it says so
    is_service: bool  # whether the Snapshot service was called
    received: float  # monotonic time of the end
    seconds: float  # that the call took
    age: float = 0.0  # seconds that a cache has kept the answer; infinite where nobody knows
