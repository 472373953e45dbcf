"""Sees to it that every project of yours has a snapshot of this night. For cron.

``python nightly.py GROUP/PROJECT``, where that project keeps the reports, and no others. Needs
Python 3.11 or newer on Unix, flywheel-sdk 23, and your API key in the environment variable
``FW_API_KEY``. Exit status 0: every project that you are a member of has a complete snapshot, none
older than CONFIG says. With any other status, one line says what is wrong. The job compares the
batch with the last report there: its log, its page and its tags tell what is gone, no line does.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

try:
    import flywheel
except Exception as missing:  # noqa: BLE001 - also what its environment variables make of it
    sys.exit(f"nightly.py: {missing}: install flywheel-sdk for {sys.executable}")

CONFIG = {  # the gear's options, see README.md
    "project filter": "ALL",
    "snapshot batch name": "nightly",
    "reuse within hours": 20,
    "attempts per project": 3,
    "timeout minutes": 240,
}
HOURS = 6  # then the job is cancelled; longer than "timeout minutes", as it may be started again
SECONDS = 30  # between two looks at the job
SIGNALS = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOCK = Path.home() / ".nightly-snapshots.lock"  # held while this runs: never twice at a time


def main() -> str:
    """Run one job to its end; say what is wrong, or nothing."""
    if len(sys.argv) != 2:
        return "which project keeps the reports? Usage: nightly.py GROUP/PROJECT"
    if not os.environ.get("FW_API_KEY", "").strip():
        return "there is no API key in the environment variable FW_API_KEY"
    doing, client, job_id = f"lock {LOCK}", None, ""
    try:
        lock = LOCK.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for number in SIGNALS:
            signal.signal(number, stop)
        signal.setitimer(signal.ITIMER_REAL, HOURS * 3600)
        doing = "reach the site"
        client = flywheel.Client(os.environ["FW_API_KEY"])
        doing = "find the gear sitewide-snapshot"
        gear = client.lookup("gears/sitewide-snapshot")
        doing = f"find the project {sys.argv[1]}"
        project = client.lookup(sys.argv[1])
        last = [file for file in project.get_files() or [] if file.name == "snapshot_report.csv"]
        given = {"previous-report": last[0]} if last else {}
        doing = "start a job, or learn that it has started"
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # no job is to be left behind unseen
        job_id = gear.run(config=CONFIG, inputs=given, destination=project)
        doing = f"wait for job {job_id}"
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return wait(client, job_id)
    except BlockingIOError:
        return f"another run of this script is not finished: it holds {LOCK}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, cron sends one line
        return f"could not {doing}: {words(error)}{cancel(client, job_id) if job_id else ''}"


def stop(number: int, _: object) -> None:
    """End what is going on, because time is up or somebody said so."""
    name = signal.Signals(number).name
    sys.exit(f"not finished after {HOURS} hours" if name == "SIGALRM" else f"stopped by {name}")


def wait(client, job_id: str) -> str:
    """Wait until the job has ended; say what is wrong, or nothing."""
    looks = denied = 0
    while looks < 2:  # the site may be about to start a failed job again: look twice
        time.sleep(SECONDS)
        try:
            job, denied = newest(client, job_id), 0
            if job.state == "complete":
                return ""
            looks = looks + 1 if has_ended(job) else 0
        except Exception as error:  # the site may be away, and a balancer answer for it
            before, status = denied, getattr(error, "status", None)
            is_page = status in {403, 404} and not (error.body or "").lstrip().startswith("{")
            denied = status if status in {401, 403, 404} and not is_page else 0
            if denied and denied == before:  # the site says it twice
                raise
    return f"job {job.id} is {job.state}: see its log, and snapshot_report.csv in {sys.argv[1]}"


def newest(client, job_id: str):
    """Return the job; where the site has started it again, the job that follows on it."""
    job = client.get_job_detail(job_id)
    while job.retried and (copy := client.jobs.find_first(f"previous_job_id={job.id}")):
        if copy.previous_job_id != job.id:
            break  # not in the list yet
        job = client.get_job_detail(copy.id)
    return job


def has_ended(job) -> bool:
    """Tell whether nothing more comes of the job."""
    return job.state in {"complete", "failed", "cancelled"} and not job.retried


def cancel(client, job_id: str) -> str:
    """Cancel the job, in a minute at the most; say what became of it."""
    signal.alarm(60)
    try:
        if has_ended(job := newest(client, job_id)):
            return f"; the job is {job.state}"
        client.change_job_state(job.id, "cancelled")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is told
        return f"; the job may still run, as it could not be cancelled: {words(error)}"
    return f"; job {job.id} is cancelled"


def words(error: BaseException) -> str:
    """Put an error into one line, without the API key."""
    text = str(getattr(error, "reason", None) or error) or type(error).__name__
    key = os.environ["FW_API_KEY"].strip(":").rpartition(":")[2]
    return " ".join(text.replace(key, "...").split())


sys.exit(f"nightly.py: {wrong}" if (wrong := main()) else 0)
