"""Schedules: whole runs under random faults and kills, then retries to the end.

Each schedule is a site with a few projects, faults that hit some of its calls, and runs that are
killed at some call; then retries follow, with what the killed run left on disk, until nothing is
left to do. Time is injected and there are no sockets; everything else is the gear's own.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st

from flywheel_site_simulator import (
    Action,
    Fault,
    SimulatedSite,
    accept,
    add_headers,
    answer_with,
    break_off,
    do_later,
    edit_answer,
    lose_answer,
    redirect,
    refuse,
    slow_down,
)
from fw_gear_sitewide_snapshot import main
from fw_gear_sitewide_snapshot.errors import GearError, SiteError, TerminatedError
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.site import http
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.config import gear_config
from tests.support.direct import DirectTransport, InTurn
from tests.support.time import FakeClock

# In all: half of them without a kill, half with some. ``make soak`` runs a hundred thousand.
SCHEDULES = int(os.environ.get("SCHEDULES", "2000"))
MEMORY_DISK = Path("/dev/shm")  # a schedule writes a dozen reports, each synced to its disk
LONGEST_BESIDES = 180.0  # seconds of a run: the first calls, the creates, the last look
MOST_RETRIES = 24  # four faults of four hits each, and three snapshots that fail

LOST = st.sampled_from([500, 502, 504, 408, 499, 507, "reset", "hang", "truncated", "garbage"])
RETRY_AFTER = st.sampled_from([None, 0.0, 1.0, 3.0, 30.0, 600.0])
NOT_THE_SITE_S = refuse(404, body=b"default backend - 404", headers={"Content-Type": "text/plain"})


def without(field: str) -> Callable[[Any], Any]:
    """Edit records so that they lack a field; of one record in a list, or of a single one."""

    def edit(document: Any) -> Any:
        records = document.get("results", [document]) if isinstance(document, dict) else document
        for record in records[-1:]:
            record.pop(field, None)
        return document

    return edit


EDITS = st.sampled_from(["created", "status", "_id"]).map(without).map(edit_answer)
CACHED = st.sampled_from(
    [
        {"Age": "7200", "Date": "Sun, 22 Nov 2026 10:00:00 GMT"},
        {"Age": "60"},
        {"Date": "nonsense"},
    ]
).map(add_headers)
LATE_SECONDS = 25.0  # the gear looks for half a minute before it asks again
LATE_SECONDS_WHEN_KILLED = 7.0  # and a run that goes on for another, for ten seconds
CREATE_FAULTS = st.one_of(
    st.builds(lose_answer, LOST),
    st.builds(redirect, status=st.sampled_from([301, 302, 303, 307]), work=st.booleans()),
    st.builds(slow_down, st.floats(0.0, 40.0)),
    st.just(NOT_THE_SITE_S),
    EDITS,
    st.builds(answer_with, st.sampled_from([{}, [], {"status": "x"}, {"_id": 7, "status": "x"}])),
    st.builds(refuse, st.sampled_from([429, 503]), retry_after_seconds=RETRY_AFTER),
    st.builds(refuse, st.sampled_from([429, 500, 502, 503, 504, 403, 404, 409, 421, 425, 422])),
    st.just(break_off("reset")),
)
# No fault answers an empty list: a false "there is none" can't be told from a true one.
READ_FAULTS = st.one_of(
    st.builds(refuse, st.sampled_from([401, 403, 404])),
    st.builds(
        refuse, st.sampled_from([408, 429, 500, 502, 503, 504]), retry_after_seconds=RETRY_AFTER
    ),
    st.builds(break_off, st.sampled_from(["reset", "hang"])),
    st.builds(slow_down, st.floats(0.0, 15.0)),
    st.just(NOT_THE_SITE_S),
    EDITS,
    CACHED,
    st.builds(answer_with, st.sampled_from([{}, [3], None, {"status": 3}])),
)
STATES = ["pending", "in_progress", "failed", "complete"]
SEEN = st.sampled_from(["no", "yes", "later"])
AWAY = st.sampled_from(
    [refuse(502), refuse(503), NOT_THE_SITE_S, break_off("reset"), break_off("hang")]
)
OUTAGES = AWAY | st.just(refuse(404))


class Killed(BaseException):
    """The process is gone: nothing that it would still do counts."""


@dataclass
class Kill:
    """Ends a run at one of its calls, before the site has seen it, after it, or while it works."""

    at: int
    seen_by_site: Literal["no", "yes", "later"]
    gently: bool  # SIGTERM rather than SIGKILL: what the gear does then counts
    dry_run_after: bool  # somebody tries what a retry would do
    is_restarted: bool  # by the platform, as another attempt of the same job


@dataclass
class Schedule:
    projects: int
    attempts: int
    build_seconds: float
    timeout_seconds: float
    offset: float
    shape: str
    whole_seconds: bool
    per_second: float | None
    most_builds: int | None
    list_lag_seconds: float
    detail_lag_seconds: float
    gap_seconds: float
    old_snapshots: list[int]
    failing: dict[int, int]
    deleted: list[int]
    faults: list[Callable[[list[str], float], Fault]] = field(repr=False)
    kills: list[Kill]


def late_creates(seconds: float) -> st.SearchStrategy[Action]:
    """Draw creates that are done so much later than they are answered, at the most."""
    return st.builds(do_later, st.floats(0.0, seconds), LOST) | st.builds(
        accept, st.floats(0.0, seconds)
    )


@st.composite
def faults(
    draw: st.DrawFn, projects: int, late_seconds: float
) -> Callable[[list[str], float], Fault]:
    kind = draw(
        st.sampled_from(
            ["create", "create", "create", "list", "list", "detail", "project", "project"]
        )
    )
    late = late_creates(late_seconds)
    action = draw(CREATE_FAULTS | late if kind == "create" else READ_FAULTS)
    number = draw(st.none() | st.integers(0, projects - 1))
    times, after = draw(st.integers(1, 4)), draw(st.just(0) | st.integers(0, 4))
    note(f"fault: {kind} of {number}, {times} times after {after}: {action}")
    return lambda ids, _: Fault(
        kind, None if number is None else ids[number], times, after=after, action=action
    )


@st.composite
def outages(draw: st.DrawFn) -> Callable[[list[str], float], Fault]:
    begin, length = draw(st.floats(0, 60)), draw(st.floats(1, 30) | st.just(4 * 3600.0))
    kinds = draw(
        st.sampled_from([None, {"detail"}, {"create"}, {"list", "create"}, {"list"}, {"job"}])
    )
    # A job that the site refuses to tell of is a first attempt, by contract.
    actions = AWAY if kinds == {"job"} else OUTAGES | EDITS if kinds == {"list"} else OUTAGES
    action = draw(actions)
    note(f"outage: {kinds} from {begin} for {length} s: {action}")
    return lambda _, now: Fault(kinds, begin=now + begin, end=now + begin + length, action=action)


@st.composite
def schedules(draw: st.DrawFn, *, are_killed: bool) -> Schedule:
    projects = draw(st.integers(1, 4))
    which = st.lists(st.integers(0, projects - 1), max_size=2)
    kill = st.builds(
        Kill,
        st.integers(2, 8) | st.integers(0, 25),
        SEEN,
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
    kills = draw(st.lists(kill, min_size=1, max_size=3)) if are_killed else []
    late_seconds = LATE_SECONDS_WHEN_KILLED if kills else LATE_SECONDS
    return Schedule(
        projects=projects,
        attempts=draw(st.integers(1, 3)),
        build_seconds=draw(st.sampled_from([0.0, 3.0, 20.0, 70.0])),
        timeout_seconds=draw(st.sampled_from([20.0, 60.0])),
        offset=draw(st.sampled_from([0.0, -333.3, 250.7])),
        shape=draw(st.sampled_from(["bare", "results"])),
        whole_seconds=draw(st.booleans()),
        per_second=draw(st.sampled_from([None, None, 20.0, 2.0])),
        most_builds=draw(st.sampled_from([None, None, 1, 2])),
        list_lag_seconds=draw(st.sampled_from([0.0, 0.0, 4.0])),
        detail_lag_seconds=draw(st.sampled_from([0.0, 0.0, 25.0])),
        gap_seconds=draw(st.sampled_from([0.0, 0.7, 5.0])),
        old_snapshots=draw(which),
        failing=draw(st.dictionaries(st.integers(0, projects - 1), st.integers(1, 3), max_size=2)),
        deleted=draw(which),
        faults=draw(st.lists(faults(projects, late_seconds) | outages(), max_size=4)),
        kills=kills,
    )


class KillableTransport:
    """A transport under which the process may go away."""

    def __init__(self, life: "Life", kill: Kill | None, keep: Callable[[], None]) -> None:
        self._inner = DirectTransport(life.simulated, life.clock)
        self._site, self._kill, self._keep = life.simulated, kill, keep
        self._calls = 0

    def stream(self, request: http.Request) -> http.Stream:
        return self._inner.stream(request)

    def send(self, request: http.Request) -> http.Response:
        self._calls += 1
        now = self._kill is not None and self._calls > self._kill.at
        if self._kill is None or not now:
            return self._inner.send(request)
        if self._kill.seen_by_site == "later" and request.method == "POST":
            self._site.fault(Fault("create", times=1, action=do_later(3.0)))
        if self._kill.seen_by_site != "no":
            with suppress(SiteError):
                self._inner.send(request)
        self._keep()
        raise TerminatedError if self._kill.gently else Killed


class Life:
    """A site, and the gear's runs on it."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self.schedule = schedule
        self.report = folder / csv_report.REPORT_NAME
        self.clock = FakeClock()
        self.simulated = SimulatedSite(
            self.clock.unix,
            build_seconds=(schedule.build_seconds / 2, schedule.build_seconds),
            list_shape=schedule.shape,
            whole_seconds=schedule.whole_seconds,
            clock_offset_seconds=schedule.offset,
            requests_per_second=schedule.per_second,
            most_builds=schedule.most_builds,
            list_lag_seconds=schedule.list_lag_seconds,
            detail_lag_seconds=schedule.detail_lag_seconds,
        )
        self.wanted = [
            self.simulated.add_project(group="wanted", label=f"Project {number}")
            for number in range(schedule.projects)
        ]
        self.others = [self.simulated.add_project(group="others") for _ in range(2)]
        self.old = {
            self.simulated.add_snapshot(self.wanted[number], created=self.simulated.now() - 2.5)
            for number in schedule.old_snapshots
        }
        for number, times in schedule.failing.items():
            self.simulated.outcome(self.wanted[number], *["failed"] * times)
        self.is_restarted = False  # whether the last run was another attempt of its job
        self.job_id = ""  # of the last run that was not a dry one
        self.given = folder / "given.csv"  # the report that it was given, if it was given one
        self.complete: dict[str, SnapshotRecord] = {}
        self.states: dict[str, int] = {}  # by snapshot

    def arm(self) -> None:
        for make in self.schedule.faults:
            self.simulated.fault(make(self.wanted, self.simulated.now()))

    def run(self, kill: Kill | None, *, dry_run: bool = False, is_restarted: bool = False) -> None:
        """Run the gear: at first by its filter, later by what is on disk.

        A run that the platform starts again is given what the last one was given, and finds nothing
        of what that has put out. Where it left no report, nothing but another start will do.
        """
        kept: list[bytes] = []
        self.is_restarted = is_restarted or (self.is_restarted and not self.report.exists())
        if self.is_restarted:
            self.job_id = self.simulated.jobs.restart(self.job_id).id
            self.report.unlink(missing_ok=True)
            self.states = {}
            known = csv_report.read(self.given) if self.given.exists() else []
            self.complete = {row.project.id: row for row in known if row.is_complete}
        elif not dry_run:
            self.job_id = self.simulated.jobs.add().id
            self.given.unlink(missing_ok=True)
            if self.report.exists():
                self.given.write_bytes(self.report.read_bytes())

        def keep() -> None:
            if self.report.exists():
                kept.append(self.report.read_bytes())

        given = self.report if dry_run else self.given
        config = gear_config(
            project_filter="group=wanted",
            retry_report=given if given.exists() else None,
            batch_label="batch",
            attempts=self.schedule.attempts,
            timeout_seconds=self.schedule.timeout_seconds,
            dry_run=dry_run,
        )
        began = self.clock.seconds
        try:
            main.run(
                config,
                site=Site(KillableTransport(self, kill, keep), self.clock),
                workers=InTurn(self.clock),
                clock=self.clock,
                output=self.report.parent,
                work=self.report.parent,
                job_id=self.job_id,
            )
        except Killed:
            self.report.unlink(missing_ok=True)
            for content in kept[:1]:
                self.report.write_bytes(content)
        except (TerminatedError, GearError) as error:
            note(f"the run ended: {error!r}")
        lasted = self.clock.seconds - began
        assert lasted < self.schedule.timeout_seconds + LONGEST_BESIDES, "it does not end"
        self.check_report()

    def check_report(self) -> None:
        if not self.report.exists():
            assert self.is_restarted or sum(map(self.simulated.creates, self.wanted)) == 0
            return
        rows = csv_report.read(self.report)
        assert sorted(row.project.id for row in rows) == sorted(self.wanted)
        assert {row.batch_label for row in rows} == {"batch"}
        for row in rows:
            before = self.complete.get(row.project.id)
            seen = replace(row, finished_at=before.finished_at) if before else row
            assert before is None or before == seen, "a complete row has changed"
            if row.is_complete:
                self.complete[row.project.id] = row
            if row.snapshot_id:
                state = STATES.index(row.status)
                assert state >= self.states.get(row.snapshot_id, 0), "a state has gone backwards"
                self.states[row.snapshot_id] = state

    def live(self, project: str) -> list[str]:
        """List the snapshots that the gear had made of a project and that have not failed."""
        return [
            snapshot.id
            for snapshot in self.simulated.snapshots(project)
            if snapshot.id not in self.old and snapshot.status != "failed"
        ]


half_of_them = settings(
    max_examples=SCHEDULES // 2, deadline=None, suppress_health_check=list(HealthCheck)
)


def check(schedule: Schedule) -> None:
    """Assert that every project has exactly one complete snapshot in the end."""
    where = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        life = Life(schedule, Path(folder))
        life.arm()
        is_restarted = False
        for kill in schedule.kills:
            life.run(kill, is_restarted=is_restarted)
            life.clock.sleep(schedule.gap_seconds)
            is_restarted = kill.is_restarted
            if is_restarted:
                continue
            if kill.dry_run_after and life.report.exists():
                life.run(None, dry_run=True)
            for number in schedule.deleted:
                if life.report.exists():  # somebody deletes a running snapshot between the runs
                    for running in life.live(life.wanted[number])[:1]:
                        if life.wanted[number] not in life.complete:
                            life.simulated.delete_snapshot(life.wanted[number], running)
        for retry in range(MOST_RETRIES):
            if len(life.complete) == len(life.wanted):
                break
            life.clock.sleep(min(60.0 * 2**retry, 3600.0))
            life.run(None, is_restarted=is_restarted and retry == 0)

        assert sorted(life.complete) == sorted(life.wanted), life.report.read_text()
        for project, row in life.complete.items():
            assert life.live(project) == [row.snapshot_id], "twice, or lost"
        assert [life.simulated.creates(project) for project in life.others] == [0, 0]
