"""Runs a served site's jobs of the gear in the test's own process, by the fake clock.

For tests of many jobs whose processes are not the point: a process takes two seconds of the
machine's time, most of it for imports.
"""

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from flywheel_site_simulator import ProjectFile, SimulatedSite, SiteJob
from fw_gear_sitewide_snapshot import main
from fw_gear_sitewide_snapshot.parser import parse_config
from fw_gear_sitewide_snapshot.site.client import Site

from .direct import DirectTransport, InTurn
from .gear import REPORT
from .repository import read_manifest
from .time import FakeClock


class JobsInProcess:
    """Runs the jobs while a ``with`` block runs: so many together, once so many are there.

    So their number has to be a multiple of that.

    Attributes:
        most: how many there were at a time that had not ended.
    """

    def __init__(
        self,
        site: SimulatedSite,
        clock: FakeClock,
        folder: Path,
        *,
        together: int,
        lost: Collection[str] = (),
    ) -> None:
        """Prepare to run jobs; those with a filter that is in `lost` fail, and leave nothing."""
        self.most = 0
        self._site = site
        self._clock = clock
        self._folder = folder
        self._together = together
        self._lost = lost
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        site.jobs.manifest = read_manifest()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def run(self, config: dict[str, Any], report: Path | None = None) -> Path:
        """Run the gear, as a job's or a retry of a report; return its output folder."""
        inputs = {"retry failed": {"location": {"path": str(report)}}} if report else {}
        output = self._folder / str(len(list(self._folder.iterdir())))
        output.mkdir()
        main.run(
            parse_config({"config": config, "inputs": inputs}, read_manifest()),
            site=Site(DirectTransport(self._site, self._clock), self._clock),
            workers=InTurn(self._clock),
            clock=self._clock,
            output=output,
            work=output,
        )
        return output

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            if len(self._open()) >= self._together:
                self._stopping.wait(0.1)  # whether there will be more of them
                self.most = max(self.most, len(self._open()))
                taken = [self._site.jobs.take() for _ in range(self._together)]
                for job in filter(None, taken):
                    output = self.run(dict(job.config))
                    if job.config["project filter"] in self._lost:
                        self._site.jobs.end(job.id, "failed")
                    else:
                        files = [ProjectFile(REPORT, output / REPORT)]
                        self._site.jobs.end(job.id, "complete", files)

    def _open(self) -> list[SiteJob]:
        return [job for job in self._site.jobs.all() if not job.is_final]
