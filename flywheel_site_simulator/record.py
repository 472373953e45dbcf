"""What a test looks at afterwards: what a simulated site was asked, and what came of it.

Reads only.
"""

from .protocol import LoggedRequest
from .snapshots import SnapshotState
from .traffic import Traffic
from .trouble import TroubledSite


class RecordingSite(TroubledSite):
    """A simulated site that tells what happened; `SimulatedSite` also answers requests."""

    @property
    def traffic(self) -> Traffic:
        """The requests and their counts; the HTTP face counts there what is in flight."""
        return self._traffic

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request that came, oldest first; those to the storage's address are not here."""
        return self._traffic.requests

    @property
    def most_in_flight(self) -> int:
        """How many requests were unanswered at once, at most."""
        return self._traffic.most_in_flight

    def creates(self, project_id: str | None = None) -> int:
        """Count the snapshots that were made on request, of a project or (None) in all."""
        with self.lock:
            self._snapshots.advance(self.now())
            counts = self._snapshots.requested_by_project
            return counts.total() if project_id is None else counts[project_id]

    def snapshots(self, project_id: str) -> list[SnapshotState]:
        """List a project's snapshots as they stand, oldest first."""
        with self.lock:
            now = self.now()
            self._snapshots.advance(now)
            return [
                SnapshotState(
                    str(item.id), item.project_id, item.created, item.status(now),
                    item.requested, item.finishes,
                )
                for item in self._snapshots.of_project(project_id)
            ]  # fmt: skip

    def statistics(self) -> dict[str, object]:
        """Sum up what happened. Times are unix seconds by the site's clock, or None."""
        with self.lock:
            now = self.now()
            self._snapshots.advance(now)
            return {
                "projects": len(self._population),
                **self._traffic.statistics(),
                **self._snapshots.statistics(now),
            }
