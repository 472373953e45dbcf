"""The cases: how large the site is, how long it takes over what, and what the gear is held to."""

from dataclasses import dataclass, replace

IN_FLIGHT = 16  # what the limit assumes, and what no run may exceed


@dataclass(frozen=True)
class Case:
    """A site, and what a run on it may take. All times are in seconds.

    Attributes:
        slows_down_at: With how many calls at a time the site gets most done; None: the more the
            better.
        sequential, pool: Whether these clients are measured beside the gear.
        in_process: Whether the site answers in injected time, without HTTP.
        most_seconds: How long the gear may take.
        most_of_limit: Likewise, as a multiple of the limit.
        most_of_site: Likewise, as a multiple of what the site itself needs.
        most_calls: How many calls a project it may make.
    """

    projects: int
    create_seconds: float
    build_seconds: tuple[float, float]
    status_seconds: float = 0.0
    build_slots: int | None = None
    slows_down_at: int | None = None
    timeout_minutes: float = 10.0
    sequential: bool = False
    pool: bool = False
    in_process: bool = False
    most_seconds: float | None = None
    most_of_limit: float | None = None
    most_of_site: float | None = None
    most_calls: float | None = None

    @property
    def limit_seconds(self) -> float:
        """Ideal creates at sixteen in flight, and the slowest build after them.

        With slots, all builds one after another in each slot, if that is longer; on a site that
        slows down, a create and a poll a project at the rate at which it gets most done.
        """
        slowest = self.build_seconds[1]
        if self.slows_down_at is not None:
            return 2 * self.projects / self.best_rate + slowest
        creates = self.projects * self.create_seconds / IN_FLIGHT
        average = sum(self.build_seconds) / 2
        return max(creates + slowest, self.projects * average / (self.build_slots or self.projects))

    @property
    def best_rate(self) -> float:
        """How many calls a second a site that slows down gets done at the most."""
        assert self.slows_down_at is not None
        return self.slows_down_at / (2 * self.create_seconds)

    def __str__(self) -> str:
        shortest, longest = self.build_seconds
        builds = f"{shortest:g}" if shortest == longest else f"{shortest:g}–{longest:g}"
        parts = [f"{self.projects:,} projects"]
        parts += [f"creates {1000 * self.create_seconds:g} ms"] if self.create_seconds else []
        parts += [f"polls {1000 * self.status_seconds:g} ms"] if self.status_seconds else []
        parts += [f"builds {builds} s"]
        parts += [f"{self.build_slots:,} at a time"] if self.build_slots else []
        parts += [f"slows down at {self.slows_down_at} calls"] if self.slows_down_at else []
        return ", ".join(parts + (["time injected"] if self.in_process else []))


# A create and a poll take as long on a site that slows down, so that a call is a call. The rows are
# how many projects, what a create takes, a build, and a poll.
CASES = {
    "five": Case(5, 0.0, (1.0, 1.0), sequential=True, pool=True, most_seconds=2.0),
    "five-hundred": replace(
        Case(500, 0.1, (5.0, 30.0), 0.05, sequential=True, pool=True),
        most_of_limit=1.05,
        most_calls=4.5,
    ),
    "five-thousand": Case(5_000, 0.03, (5.0, 20.0), pool=True, most_of_limit=1.25, most_calls=3.0),
    "twenty-thousand": Case(20_000, 0.03, (5.0, 20.0), build_slots=500, most_of_site=1.02),
    "slows-down": Case(600, 0.04, (1.0, 3.0), 0.04, slows_down_at=4, most_of_limit=1.15),
    "slows-down-much": replace(
        Case(300, 1.0, (5.0, 20.0), 1.0, slows_down_at=4, most_of_limit=1.15),
        timeout_minutes=60.0,
        in_process=True,
    ),
    "hundred-thousand": replace(
        Case(100_000, 0.03, (5.0, 20.0), 0.03, build_slots=2_500),
        timeout_minutes=60.0,
        in_process=True,
    ),
}
CONSTANTS = (1, 2, 4, 8, 16)  # calls in flight, of the pools beside the gear in "slows-down"
