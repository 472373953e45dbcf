"""Sees to it that every project of yours has a snapshot, with one job a group, a few at a time.

``python by_group.py GROUP/PROJECT [GROUP ...]``: the project that keeps the jobs' reports, and the
groups, if not all of your projects'. Needs Python 3.11 or newer on Unix, flywheel-sdk 23, and your
API key in ``FW_API_KEY``. docs/performance.md says when nightly.py's one job is not enough; some
lines are in both scripts, so that each can be copied alone. Before a job is started,
``by_group_report.csv`` in the current folder names every project; then it gets the jobs' reports.
The gear takes it as ``retry failed``. Exit status 0: every project of yours in these groups has a
complete snapshot, none older than CONFIG says; 1: some have none; 2: nothing was started.
"""

import csv
import fcntl
import io
import logging
import os
import re
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONFIG = {  # the gear's options, see README.md
    "reuse within hours": 20,  # so that what is started again makes no snapshot twice
    "attempts per project": 3,
    "timeout minutes": 240,
    "fail on incomplete": False,  # whether a failed job's report can be read is not verified
}
AT_ONCE = 4  # jobs
HOURS = 24  # then this is stopped by SIGALRM; jobs that run go on
SECONDS = 30  # between two looks at the jobs
SIGNALS = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOCK = Path.home() / ".by-group-snapshots.lock"  # held while this runs: never twice at a time
TOGETHER = Path("by_group_report.csv")


@dataclass
class Part:
    """A group: its projects' labels by their ids, its job, and the rows of that job's report."""

    group: str
    projects: dict[str, str]
    job_id: str = ""
    since: str = ""  # when its job was asked for, if there may be one
    has_ended: bool = False  # its job was seen to have
    is_done: bool = False  # nothing more is asked about it
    state: str = "no job was started"
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def all_rows(self) -> list[dict[str, str]]:
        """Return a row for each project: the report's, or one that a retry can begin with."""
        lacking = {
            project_id: {
                # Nothing that a spreadsheet runs. A retry asks the site for the names.
                "group_label": re.sub(r"\W", "_", self.group),
                "project_label": re.sub(r"\W", "_", label),
                "project_id": project_id,
                "snapshot_id": "",
                "timestamp": self.since,  # a retry looks for what was made since then
                "batch_label": "",
                "status": "pending" if self.since else "planned",
                "error": f"no report tells of this project: {self.state}",
            }
            for project_id, label in self.projects.items()
        }
        return list((lacking | self.rows).values())


class Run:
    """What starts the jobs and follows them."""

    def __init__(self, client, place: str) -> None:
        self.client = client
        self.gear = client.lookup("gears/sitewide-snapshot")
        self.project = client.lookup(place)
        self.batch = f"by group {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"

    def follow(self, parts: list[Part]) -> None:
        """Start a job for each group, and wait until all have ended."""
        while not all(part.is_done for part in parts):
            for part in parts:
                followed = [one for one in parts if one.since and not one.is_done]
                if not (part.since or part.is_done) and len(followed) < AT_ONCE:
                    self.attempt(self.start, part)
            write(parts)
            time.sleep(SECONDS)
            for part in [one for one in parts if one.since and not one.is_done]:
                self.attempt(self.check, part)

    def attempt(self, step, part: Part) -> None:
        """Do a step for one group: what goes wrong holds up no other."""
        before = part.state
        try:
            step(part)
        except Exception as error:  # noqa: BLE001 - the site may be away for a while
            job = f"job {part.job_id}" if part.job_id else "a job"
            doing = "read the report of" if part.has_ended else step.__name__
            part.state = f"could not {doing} {job}: {words(error)}"
            status = getattr(error, "status", None) or 0
            if status in {403, 404} and not (error.body or "").lstrip().startswith("{"):
                status = 503  # the page of a server in front of the site: ask again
            part.is_done = status in {401, 403, 404} and part.state == before  # said twice
            if step == self.start and 400 <= status < 500 and status not in {408, 421, 425, 429}:
                part.since, part.is_done = "", True  # it was refused
        if part.state != before:
            log.info("%s: %s", part.group, part.state)

    def start(self, part: Part) -> None:
        """Start the group's job."""
        # By this machine's clock, which may be ahead; a check sets it by the site's.
        part.since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # no job is to be left behind unseen
        try:
            part.job_id = self.gear.run(config=self.config(part), destination=self.project)
            part.state = f"job {part.job_id} was started"
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def config(self, part: Part) -> dict[str, object]:
        """Return the options of the group's job; no other job has the same."""
        # Not group=...: unquoted, 2024 is a number; quoted, some sites find nothing.
        pattern = re.escape(part.group).replace(",", r"\,")
        return CONFIG | {"project filter": f"group=~^{pattern}$", "snapshot batch name": self.batch}

    def check(self, part: Part) -> None:
        """Look at the group's job; if it has ended, read its report."""
        if not part.job_id:  # its start was not answered
            own = self.config(part).items()
            jobs = self.jobs(f"created>={part.since[:10]}")
            part.job_id = next((job.id for job in jobs if own <= job.config.config.items()), "")
            if not part.job_id:
                part.since = ""  # to be started again
                return
        job = self.client.get_job_detail(part.job_id)
        part.since = job.created.isoformat()
        while job.retried and (copy := self.client.jobs.find_first(f"previous_job_id={job.id}")):
            if copy.previous_job_id != job.id:
                break  # not in the list yet
            job = self.client.get_job_detail(copy.id)
        before, part.state = part.state, f"job {job.id} is {job.state}"
        ends = job.state in {"complete", "failed", "cancelled"} and not job.retried
        # The site may be about to start a failed job again, or not show its report: look twice.
        part.has_ended = ends and (part.has_ended or job.state != "failed" or part.state == before)
        if part.has_ended:
            part.rows = self.report(part, job)
            part.state += "" if part.rows else ", without a report"
            part.is_done = bool(part.rows) or part.state == before

    def report(self, part: Part, job) -> dict[str, dict[str, str]]:
        """Return the rows of the job's report by project; none where it has left none."""
        for file in (output.object for output in job.outputs or []):
            if file.name == "snapshot_report.csv":
                # All jobs put it into one project: each has a version of its own.
                version = {"version": file.version} if file.version else {}
                text = self.project.read_file(file.name, **version).decode("utf-8-sig", "replace")
                rows = {row.get("project_id"): row for row in csv.DictReader(io.StringIO(text, ""))}
                if rows.keys() & part.projects.keys():  # not those of another job
                    return rows
        return {}

    def jobs(self, wanted: str):
        """Return the jobs of the gear in the project, from wherever they were started."""
        jobs = self.client.jobs.iter_find(f"gear_id={self.gear.id},{wanted}")
        return (job for job in jobs if job.destination.id == self.project.id)


def main(place: str, *groups: str) -> int:
    """Run a job for each group; return the exit status."""
    parts: list[Part] = []
    try:
        lock = LOCK.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for number in SIGNALS:
            signal.signal(number, lambda n, _: sys.exit(f"stopped by {signal.Signals(n).name}"))
        signal.setitimer(signal.ITIMER_REAL, HOURS * 3600)
        import flywheel  # noqa: PLC0415 - where it is missing, that is told in one line

        run = Run(flywheel.Client(os.environ["FW_API_KEY"]), place)
        for job in (*run.jobs("state=pending"), *run.jobs("state=running")):
            sys.exit(f"job {job.id} is {job.state} in {place}: wait for it, or cancel it")
        write(parts := found(run.client, groups))
        run.follow(parts)
    except BlockingIOError:
        log.error("another run of this script is not finished: it holds %s", LOCK)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is told
        log.error("%s", words(error))
    return summed_up(parts)


def found(client, wanted: tuple[str, ...]) -> list[Part]:
    """Return the groups that have projects, or those that are named."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for project in client.projects.iter():
        groups[project.group][project.id] = project.label
    names = dict.fromkeys(wanted or sorted(groups))
    none = {"is_done": True, "state": "you are a member of no project in it"}
    return [Part(name, groups[name], **({} if groups[name] else none)) for name in names]


def write(parts: list[Part]) -> None:
    """Write what is known of all projects, in one step."""
    rows = [row for part in parts for row in part.all_rows()]
    new = TOGETHER.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        columns = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, list(columns), restval="", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    new.replace(TOGETHER)


def summed_up(parts: list[Part]) -> int:
    """Say what came of all groups; return the exit status."""
    if not any(part.since for part in parts):
        log.error("nothing was started")
        return 2
    write(parts)
    wrong = 0
    for part in parts:
        statuses = [row["status"] for row in part.all_rows()]
        complete = statuses.count("complete")
        if not 0 < complete == len(statuses):
            wrong += 1
            may_run = part.since and not part.has_ended
            state = f"may still run: {part.state}" if may_run else part.state
            log.error("%s: %s; %d of %d complete", part.group, state, complete, len(statuses))
    log.info("%d of %d groups complete: %s", len(parts) - wrong, len(parts), TOGETHER)
    if wrong:
        log.error('to retry: give that file to the gear as "retry failed", or run this again')
    return 1 if wrong else 0


def words(error: BaseException) -> str:
    """Put an error into one line, without the API key."""
    text = str(getattr(error, "reason", None) or error) or type(error).__name__
    key = os.environ["FW_API_KEY"].strip(":").rpartition(":")[2]
    return " ".join(text.replace(key, "...").split())


logging.basicConfig(format="%(asctime)s by_group.py: %(message)s", level=logging.INFO)
logging.getLogger("httpx2").setLevel(logging.WARNING)
log = logging.getLogger(__name__)
if len(sys.argv) < 2 or not os.environ.get("FW_API_KEY", "").strip():
    log.error("usage: FW_API_KEY=... by_group.py GROUP/PROJECT [GROUP ...]")
    sys.exit(2)
sys.exit(main(*sys.argv[1:]))
