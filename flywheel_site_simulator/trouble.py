"""What a test lets go wrong on a simulated site: outcomes, faults, broken and huge downloads.

Says what shall happen; `faults.py`, `snapshots.py` and `downloads.py` know how.
"""

from .downloads import Breakage
from .faults import Fault
from .stage import Stage


class TroubledSite(Stage):
    """A simulated site on which things go wrong; `SimulatedSite` also answers requests."""

    def outcome(self, project_id: str, *statuses: str) -> None:
        """Say what the project's next snapshots end as, in order; those after: `complete`.

        Any word will do: one that nobody knows is where the snapshot then stays.
        """
        with self.lock:
            self._snapshots.plan_outcomes(project_id, statuses)

    def failure_reason(self, project_id: str, reason: str, field: str = "error") -> None:
        """Say why the project's failed snapshots failed: in their records, in a field of that name.

        Called again with another field, it adds that one.
        """
        with self.lock:
            self._snapshots.give_reason(project_id, field, reason)

    def fault(self, fault: Fault) -> Fault:
        """Put a fault in force, after those before: the first one that hits a request wins."""
        with self.lock:
            self._faults.append(fault)
            return fault

    def clear_faults(self) -> None:
        """Lift all faults."""
        with self.lock:
            self._faults.clear()

    def break_download(self, project_id: str, how: Breakage, times: int | None = None) -> None:
        """Break the project's downloads: the next so many, or (None) all.

        Raises:
            ValueError: there is no such breakage.
        """
        with self.lock:
            self._downloads.break_for(project_id, how, times)

    def download_size(self, project_id: str, size: int, *, compressed: bool = False) -> None:
        """Give the project's snapshots a file that unpacks to about this many bytes.

        The file is valid, and is written to a temporary directory now. With `compressed` it is
        about a thousandth of that on its way; else of about the same size.

        Raises:
            KeyError: there is no such project.
        """
        with self.lock:
            project = self._population.project(project_id)
        if project is None:
            raise KeyError(project_id)
        self._downloads.enlarge(project, size, compressed=compressed)
