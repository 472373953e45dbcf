"""Decides which snapshot is fetched next, and when one that failed is tried again."""

import heapq
import logging
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..clock import Clock
from ..errors import StoreError
from ..models import SnapshotContent
from ..text import size_text
from ..workers import TaskQueue
from .disk_space import NoRoomError
from .fetch import Download, Outcome

log = logging.getLogger(__name__)
MAX_CONCURRENT_DOWNLOADS = 4
TICK_SECONDS = 1.0


@dataclass
class FetchQueue:
    """Decides what is fetched next.

    What lacked room comes next, and alone: there can't be more room than then. So whatever fits
    alone gets through, nothing is tried for ever, and no download waits for one that waits.
    """

    clock: Clock
    tasks: TaskQueue[tuple[Download, Outcome]]
    new: deque[Download] = field(default_factory=deque)
    again: list[tuple[float, str, Download]] = field(default_factory=list)  # a heap: due, id, what
    is_one_alone: bool = False

    @property
    def left(self) -> int:
        """How many are being fetched, or still to be."""
        return self.tasks.in_flight + len(self.new) + len(self.again)

    def results(self, until: float) -> Iterator[tuple[Download, Outcome]]:
        """Begin what can be begun; yield what ends by then, with its content or its last error."""
        self._submit()
        for download, outcome in self.tasks.results(until):
            if self._is_final(download, outcome):
                yield download, outcome
            self._submit()

    def pause(self) -> None:
        """Wait a while where nothing is in flight, and something is to be fetched again later."""
        if not self.tasks.in_flight and self.again:
            self.clock.sleep(min(TICK_SECONDS, self.again[0][0] - self.clock.monotonic()))

    @property
    def _held(self) -> int:
        """How many are fetched, and wait until the store can be asked again."""
        return sum(download.content is not None for _, _, download in self.again)

    def _submit(self) -> None:
        """Begin to fetch what can be fetched now; what only waits to be copied has its place."""
        while self.tasks.in_flight < MAX_CONCURRENT_DOWNLOADS and not self.is_one_alone:
            is_due = self.again and self.again[0][0] <= self.clock.monotonic()
            if not is_due and self.tasks.in_flight + self._held >= MAX_CONCURRENT_DOWNLOADS:
                break
            download = self.again[0][2] if is_due else self.new[0] if self.new else None
            if not download or (download.lacked and self.tasks.in_flight):
                break
            if is_due:
                heapq.heappop(self.again)
            else:
                self.new.popleft()
            self.is_one_alone = download.lacked is not None
            self.tasks.submit(download.attempt)

    def _is_final(self, download: Download, outcome: Outcome) -> bool:
        """Return whether a download is over; else decide when to fetch it again."""
        was_alone, self.is_one_alone = self.is_one_alone, False
        download.lacked = outcome if isinstance(outcome, NoRoomError) else None
        download.reservation.release()
        if isinstance(outcome, SnapshotContent):
            size = size_text(outcome.size_bytes)
            done = "copied before, and whole" if download.is_found else "fetched and checked"
            link = ": " if download.is_found else ", copied to "
            where = f"{link}{download.copied_to}" if download.copied_to else ""
            log.info("%s: %s, %s%s", download.title, done, size, where)
            if download.copies:
                download.copies.failures = 0
            return True
        if download.lacked and not was_alone:
            log.info("%s: %s; waiting for the others", download.title, outcome)
            due = -math.inf
        elif (backoff := download.backoff(outcome)) is not None:
            is_copied = download.content or isinstance(outcome, StoreError)
            again = "copying" if is_copied else "fetching"
            words = "%s: %s; %s it again in %.0f s"
            log.warning(words, download.title, outcome, again, backoff)
            due = self.clock.monotonic() + backoff
        else:
            return True
        heapq.heappush(self.again, (due, download.record.project.id, download))
        return False
