"""What was measured beside what it is held to, and the tables that say so."""

from collections.abc import Mapping
from dataclasses import dataclass

from .cases import IN_FLIGHT, Case
from .measure import Measured
from .simulated import Simulated

MOST_KIB = 2.0  # of memory a project
LEAST_OF_BEST = 0.85  # of what the best constant number of calls in flight gets done
MOST_START_UP = 1.1  # times as long as ``import flywheel``

RUNS_HEAD = (
    "| case | who | wall | site's own time | limit | wall / limit | calls a project "
    "| most in flight | busiest second | time-outs | peak memory | reports |\n" + "|---" * 12 + "|"
)
FIGURES_HEAD = "| case | figure | measured | limit | holds |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Figure:
    """One figure, and its limit."""

    case: str
    what: str
    measured: float
    limit: float
    unit: str = ""
    is_least: bool = False  # whether the limit is the least that will do

    @property
    def holds(self) -> bool:
        """Whether the figure is within its limit."""
        if self.is_least:
            return self.measured >= self.limit
        return self.measured <= self.limit

    def __str__(self) -> str:
        relation = "≥" if self.is_least else "≤"
        said = "yes" if self.holds else "**no**"
        measured, limit = (
            f"{value:{',.4g' if value < 10_000 else ',.0f'}}{self.unit}"
            for value in (self.measured, self.limit)
        )
        return f"| {self.case} | {self.what} | {measured} | {relation} {limit} | {said} |"


def run_row(case: Case, who: str, measured: Measured, *, is_first: bool) -> str:
    """Write a run's row; the first one of a case describes it."""
    share = "–" if measured.saving_share is None else f"{measured.saving_share:.1%}"
    cells = (
        str(case) if is_first else "",
        who,
        f"{measured.wall_seconds:.1f} s",
        f"{measured.site_seconds:.1f} s",
        f"{case.limit_seconds:.1f} s",
        f"{measured.wall_seconds / case.limit_seconds:.2f}",
        f"{measured.calls:.1f}",
        str(measured.most_in_flight),
        f"{measured.most_calls_per_second:,} calls",
        str(measured.timeouts),
        f"{measured.peak_mib:.0f} MiB",
        share,
    )
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def of_run(name: str, case: Case, measured: Measured) -> list[Figure]:
    """Hold a run of the gear against what holds in its case."""
    wall, limit, site = measured.wall_seconds, case.limit_seconds, measured.site_seconds
    held = [
        ("wall", wall, case.most_seconds, " s"),
        ("wall / limit", wall / limit, case.most_of_limit, ""),
        ("wall / what the site needs", wall / site, case.most_of_site, ""),
        ("calls a project", measured.calls, case.most_calls, ""),
        ("calls in flight", measured.most_in_flight, IN_FLIGHT, ""),
        ("time-outs", measured.timeouts, 0, ""),
    ]
    figures = [
        Figure(name, what, m, most, unit) for what, m, most, unit in held if most is not None
    ]
    complete = Figure(name, "complete", measured.complete, case.projects, is_least=True)
    return [complete, *figures]


def of_rate(name: str, case: Case, gear: Measured, constants: Mapping[int, Measured]) -> Figure:
    """Hold what the gear gets done on a site that slows down against the best constant number.

    Where none were measured, that is what the site can do.
    """
    best, most = case.best_rate, case.slows_down_at
    if constants:
        best, most = max((other.rate, number) for number, other in constants.items())
    what = f"calls a second, where {most} at a time, the best constant number, get {best:.1f} done"
    return Figure(name, what, gear.rate, LEAST_OF_BEST * best, is_least=True)


def of_report(name: str, run: Simulated) -> Figure:
    """Hold how far the report on disk was behind the run against what was promised."""
    what = "the report on disk behind the run"
    return Figure(name, what, run.lag_seconds, run.allowed_lag_seconds, " s")


def of_memory(name: str, small: Measured, large: Measured) -> Figure:
    """Hold against its limit how much memory each project more takes."""
    kib = 1024 * (large.peak_mib - small.peak_mib) / (large.projects - small.projects)
    what = f"memory a project, {small.projects:,} to {large.projects:,}"
    return Figure(name, what, kib, MOST_KIB, " KiB")
