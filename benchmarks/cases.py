"""The cases: how large the site is and how long it takes over what."""

from dataclasses import dataclass

IN_FLIGHT = 16  # what the limit assumes; the gear's own bound is its business


@dataclass(frozen=True)
class Case:
    """A site. All times are in seconds."""

    projects: int
    create_seconds: float
    build_seconds: tuple[float, float]
    status_seconds: float = 0.0
    list_seconds: float = 0.0
    build_slots: int | None = None
    timeout_minutes: float = 10.0

    @property
    def limit_seconds(self) -> float:
        """Ideal creates at sixteen in flight, and the slowest build after them.

        With slots, all builds one after another in each slot, if that is longer.
        """
        creates = self.projects * self.create_seconds / IN_FLIGHT
        slowest = self.build_seconds[1]
        if self.build_slots is None:
            return creates + slowest
        average = sum(self.build_seconds) / 2
        return max(creates + slowest, self.projects * average / self.build_slots)

    def __str__(self) -> str:
        shortest, longest = self.build_seconds
        slots = f", {self.build_slots} at a time" if self.build_slots else ""
        return (
            f"{self.projects} projects, creates {self.create_seconds:g} s, "
            f"polls {self.status_seconds:g} s, builds {shortest:g} to {longest:g} s{slots}"
        )


CASES = {
    "five": Case(5, 0.0, (1.0, 1.0)),
    "five-hundred": Case(500, 0.1, (5.0, 30.0), status_seconds=0.05, list_seconds=0.05),
    "five-thousand": Case(5_000, 0.03, (5.0, 20.0)),
    "twenty-thousand": Case(20_000, 0.03, (5.0, 20.0), build_slots=500),
}
