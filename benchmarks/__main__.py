"""``python -m benchmarks [CASE ...]``: run the cases, and print each figure beside its limit.

Everything runs on this machine: the simulated site in this process, the gear in one of its own.
The machine is part of each figure, so compare within one run. The exit status is 1 if a figure is
beyond its limit.
"""

import argparse
import compileall
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import figures
from .cases import CASES, CONSTANTS, Case
from .figures import Figure
from .measure import ROOT, Measured, measure_client, measure_gear, measure_start_up
from .simulated import simulate

STARTS = 15
SMALLER = 20_000  # projects: what a project takes is the difference between two sizes


class Benchmark:
    """One run of the cases: prints what each has brought, and keeps what it is held to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0
        self.figures: list[Figure] = []
        self.notes: list[str] = []

    def run(self, name: str) -> None:
        """Run one case: the gear, and those beside it."""
        case = CASES[name]
        if case.in_process:
            self._simulate(name, case)
            return
        gear = measure_gear(case, self._next())
        self._show(case, "the gear", gear)
        self.figures += figures.of_run(name, case, gear)
        if case.sequential:
            self._client(case, "one call at a time", "sequential")
        if case.pool:
            self._client(case, "a pool of 16 threads", "thread_pool")
        if case.slows_down_at:
            constants = {
                number: self._client(case, f"a pool of {number}", "thread_pool", number)
                for number in CONSTANTS
            }
            self.figures.append(figures.of_rate(name, case, gear, constants))

    def start_up(self) -> None:
        """Compare the time until the gear's first request with that of importing the SDK."""
        gear, sdk = [], []
        for _ in range(STARTS):
            gear.append(measure_start_up(self._next()))
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import flywheel"], check=True)
            sdk.append(time.perf_counter() - began)
        ratios = sorted(one / other for one, other in zip(gear, sdk, strict=True))
        what = "to the first request / importing flywheel, median of pairs"
        self.figures.append(
            Figure("start-up", what, statistics.median(ratios), figures.MOST_START_UP)
        )
        self.notes.append(
            f"Start-up, {STARTS} times in turn: to the gear's first request "
            f"{statistics.median(gear):.2f} s, importing flywheel {statistics.median(sdk):.2f} s; "
            f"the ratios {ratios[0]:.2f} to {ratios[-1]:.2f}."
        )

    def _simulate(self, name: str, case: Case) -> None:
        run = simulate(case)
        gear = run.measured
        self._show(case, "the gear", gear)
        self.figures += figures.of_run(name, case, gear)
        if case.slows_down_at:
            self.figures.append(figures.of_rate(name, case, gear, {}))
            return
        smaller = replace(case, projects=SMALLER)
        small = simulate(smaller).measured
        self._show(smaller, "the gear", small)
        self.figures.append(figures.of_report(name, run))
        self.figures.append(figures.of_memory(name, small, gear))
        self.notes.append(
            f"{case.projects:,} projects: {run.saves} reports, {run.save_seconds:.1f} s each at "
            f"the most; the page is of {run.page_mib:.1f} MiB and took {run.page_seconds:.1f} s; "
            f"the run was simulated in {run.process_seconds:.0f} s."
        )

    def _client(self, case: Case, who: str, module: str, *arguments: object) -> Measured:
        measured = measure_client(case, self._next(), module, *arguments)
        self._show(case, who, measured, is_first=False)
        return measured

    def _show(self, case: Case, who: str, measured: Measured, *, is_first: bool = True) -> None:
        print(figures.run_row(case, who, measured, is_first=is_first), flush=True)

    def _next(self) -> Path:
        self._runs += 1
        return self._folder / str(self._runs)


def main() -> int:
    """Run the named cases, or all; the exit status says whether all limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="*", choices=[*CASES, "start-up", []])
    names = parser.parse_args().case or [*CASES, "start-up"]
    compileall.compile_dir(ROOT / "fw_gear_sitewide_snapshot", quiet=1)  # as in the image
    began = time.monotonic()
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {machine()}\n")
    print(figures.RUNS_HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(Path(folder))
        for name in names:
            if name == "start-up":
                benchmark.start_up()
            else:
                benchmark.run(name)
    print(f"\n{figures.FIGURES_HEAD}", *benchmark.figures, sep="\n")
    print("", *benchmark.notes, f"All took {(time.monotonic() - began) / 60:.0f} min.", sep="\n")
    beyond = sum(not figure.holds for figure in benchmark.figures)
    if beyond:
        print(f"\n{beyond} of {len(benchmark.figures)} figures are beyond their limits.")
    return 1 if beyond else 0


def machine() -> str:
    """Describe what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB"


if __name__ == "__main__":
    sys.exit(main())
