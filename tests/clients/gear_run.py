"""A run of the gear, with the gear's own Python and libraries, on the site that clients look at."""

import os
from pathlib import Path
from typing import Any

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.support.gear import GearFolder, GearRun
from tests.support.repository import ROOT

PYTHON = os.environ.get("GEAR_PYTHON", str(ROOT / ".venv/bin/python"))


def run_gear(site: SimulatedSite, folder: Path, **config: Any) -> GearRun:
    """Run the gear to its end, over plain HTTP."""
    with SimulatorServer(site) as server:
        job = GearFolder(folder, server.api_key(), config)
        job.python = PYTHON
        return job.run()
