"""``python -m benchmarks [CASE ...]``: run the cases and print a table; nothing is asserted.

Everything runs on this machine: the simulated site in this process, the gear in one of its own.
The machine is part of each figure, so compare within one run.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from .cases import CASES, Case
from .measure import Measured, measure_gear, measure_sequential, measure_start_up

SLOWEST_FOR_SEQUENTIAL = 500  # projects: with 20,000, one call at a time takes thirteen minutes
STARTS = 9


def main() -> None:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="*", choices=[*CASES, "start-up", []])
    names = parser.parse_args().case or [*CASES, "start-up"]
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            if name == "start-up":
                start_up(Path(folder))
            else:
                run(name, CASES[name], Path(folder) / str(number))


def machine() -> str:
    """Describe what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB"


def run(name: str, case: Case, folder: Path) -> None:
    """Run one case, the gear and (where it is small enough) the sequential client in turn."""
    print(f"{name}: {case}")
    show("the gear", case, measure_gear(case, folder / "gear"))
    if case.projects <= SLOWEST_FOR_SEQUENTIAL:
        show("one call at a time", case, measure_sequential(case, folder / "sequential"))
    print()


def show(who: str, case: Case, measured: Measured) -> None:
    """Print one run's figures."""
    limit = case.limit_seconds
    calls = ", ".join(
        f"{kind} {count / case.projects:.2f}" for kind, count in sorted(measured.calls.items())
    )
    total = sum(measured.calls.values()) / case.projects
    print(
        f"  {who:18}  {measured.complete}/{case.projects} complete, exit {measured.exit_status}\n"
        f"    wall {measured.wall_seconds:.1f} s; "
        f"the site's own time {measured.site_seconds:.1f} s, "
        f"the limit {limit:.1f} s; wall / limit {measured.wall_seconds / limit:.2f}\n"
        f"    {total:.2f} calls a project ({calls}); {measured.most_in_flight} in flight at most; "
        f"{measured.most_calls_per_second} calls in the busiest second of the wait\n"
        f"    peak memory {measured.peak_mib:.0f} MiB; cpu {measured.cpu_seconds:.1f} s"
        + (f"; reports {measured.saving_share:.1%} of the time" if measured.saving_share else ""),
        flush=True,
    )


def start_up(folder: Path) -> None:
    """Compare the time until the gear's first request with that of importing the SDK, in turn."""
    gear, sdk = [], []
    for number in range(STARTS):
        gear.append(measure_start_up(folder / f"start{number}"))
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import flywheel"], check=True)
        sdk.append(time.perf_counter() - began)
    ratios = sorted(one / other for one, other in zip(gear, sdk, strict=True))
    print(
        f"start-up: {STARTS} times in turn, medians\n"
        f"  to the gear's first request {statistics.median(gear):.2f} s; "
        f'python -c "import flywheel" {statistics.median(sdk):.2f} s; '
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})\n"
    )


if __name__ == "__main__":
    main()
