"""One snapshot that is waited for: what its answers have told so far. Asks for nothing."""

import math
from dataclasses import dataclass
from datetime import datetime

from .errors import NotFoundError, ServiceUnavailableError, SiteError
from .models import Snapshot, SnapshotRecord
from .patience import LONGEST_WISH_SECONDS

GONE_AFTER = 5  # answers "404" in a row, each a turn apart: a balancer may give one or two
GONE_SECONDS = 40.0  # and for so long: an outage of half a minute may look like that
_HANGS_SECONDS = 5.0  # a call that fails after so long


@dataclass(slots=True)
class Waited:
    """A snapshot that is waited for. All times are monotonic.

    Attributes:
        record: The project's row.
        since: When the waiting for it began.
        asked: When it was last asked for.
        is_asked: Whether that answer is still to come.
        not_before: Until when the site asks to be left alone.
        hangs: Whether the last call took long, and told nothing.
        problem: Why the last call told nothing.
    """

    record: SnapshotRecord
    since: float
    asked: float = -math.inf
    is_asked: bool = False
    not_before: float = -math.inf
    hangs: bool = False
    problem: str = ""
    _gone: int = 0  # answers "404" in a row
    _gone_since: float = math.inf

    def answered(self, snapshot: Snapshot) -> SnapshotRecord:
        """The row after the site said where the snapshot stands."""
        self.hangs, self.problem, self._gone = False, "", 0
        return self.record.at(snapshot)

    def not_answered(
        self, error: SiteError, seconds: float, now: float, site_now: datetime
    ) -> SnapshotRecord:
        """The row after a call that failed, which changes nothing, save 404 again and again.

        Args:
            error: What the call raised.
            seconds: How long it took.
            now: The time.
            site_now: The time by the site's clock.
        """
        self.problem = str(error)
        self.hangs = seconds > _HANGS_SECONDS
        if isinstance(error, ServiceUnavailableError):
            self.not_before = now + min(error.retry_after or 0.0, LONGEST_WISH_SECONDS)
        if not isinstance(error, NotFoundError):
            self._gone = 0
            return self.record
        if not self._gone:
            self._gone_since = now
        self._gone += 1
        if self._gone < GONE_AFTER or now < self._gone_since + GONE_SECONDS:
            return self.record
        reason = f"the snapshot is gone, deleted on the site: {error}"
        return self.record.failed(reason, site_now, snapshot_id=self.record.snapshot_id)
