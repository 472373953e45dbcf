"""Shows the gear at work against a simulated site: a run, its retry, and a job that is killed.

Some snapshots of the first run fail, and the second run retries them. The third job is killed
(SIGKILL) and started again, as the platform does where a job's machine dies.

Runs the real ``run.py`` the way the platform does: as a process, in a folder with ``config.json``,
``input/`` and ``output/``. Those folders are temporary; what the runs put out is kept, to be looked
at. Exit status 0 only if, at the end, every project has a complete snapshot and the site has made
none too many.
"""

import csv
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from flywheel_site_simulator import Fault, Job, SimulatedSite, SimulatorServer, SiteJob, break_off
from flywheel_site_simulator.example import add_projects

TOP = Path(__file__).resolve().parent
KEPT = Path("demo-output")
PROJECTS, GROUPS, FAILING = 30, 5, 4
MADE_BEFORE_DEATH = 20  # snapshots, by the job that is killed

Row = dict[str, str]


def say(*lines: str) -> None:
    """Print at once, so that nothing that a child prints can come before it."""
    print(*lines, sep="\n", flush=True)


class Demo:
    """A simulated site, and the gear's jobs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # temporary
        self.site = SimulatedSite(build_seconds=(1.0, 2.5), create_seconds=0.1)
        self.projects = add_projects(self.site, PROJECTS, GROUPS, FAILING)
        self.server = SimulatorServer(self.site)

    def run(self, name: str, job: SiteJob, retry_failed: Path | None = None) -> int:
        """Run a job to its end, showing its log; return its exit status."""
        laid_out = self._lay_out(name, job, retry_failed)
        with laid_out.started() as gear:
            for line in gear.stdout or ():
                say(f"  | {line.rstrip()}")
        self.site.jobs.end(job.id, "failed" if gear.returncode else "complete")
        outputs = sorted(path.name for path in laid_out.output.iterdir())
        kept = KEPT / name
        shutil.copytree(laid_out.output, kept, dirs_exist_ok=True)
        say(f"exit status: {gear.returncode}", f"outputs, kept in {kept}: {', '.join(outputs)}")
        return gear.returncode

    def kill(self, name: str, job: SiteJob) -> SiteJob:
        """Run a job, kill it while it starts snapshots, and return the job that follows on it."""
        laid_out, made = self._lay_out(name, job), self.made().total()
        # More than these the site doesn't make, so that the demo shows the same on any machine.
        self.site.fault(Fault(after=MADE_BEFORE_DEATH, action=break_off("hang")))
        with laid_out.started() as gear:
            while self.made().total() < made + MADE_BEFORE_DEATH and gear.poll() is None:
                time.sleep(0.01)
            gear.kill()
            for line in gear.stdout or ():
                say(f"  | {line.rstrip()}")
        self.site.clear_faults()
        say(f"killed when {self.made().total() - made} snapshots were made; its report is lost")
        return self.site.jobs.restart(job.id)

    def _lay_out(self, name: str, job: SiteJob, retry_failed: Path | None = None) -> Job:
        """Make a job's folder as the platform does."""
        key = self.server.api_key(job.key)
        laid_out = Job(self.folder / name, TOP, key, job.config, job.id)
        laid_out.lay_out({} if retry_failed is None else {"retry failed": retry_failed})
        given = retry_failed.name if retry_failed else "-"
        say(f"config: {json.dumps(job.config)}", f"input:  {given}")
        return laid_out

    def report(self, name: str) -> Path:
        """Return the path of a run's report."""
        path = self.folder / name / "output" / "snapshot_report.csv"
        if not path.exists():
            raise SystemExit("The gear wrote no report.")
        return path

    def made(self) -> Counter[str]:
        """Count the snapshots that the site has made, by project."""
        return Counter({project: self.site.creates(project) for project in self.projects})


def show_report(report: Path) -> list[Row]:
    """Print the columns of a report that say how it went."""
    rows = read_report(report)
    names = ["group_label", "project_label", "snapshot_id", "status", "error"]
    table = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    say("", f"{report.name}, five of its columns:")
    for line in table:
        cells = zip(line, widths, strict=True)
        say(f"  {'  '.join(cell.ljust(width) for cell, width in cells)}".rstrip())
    return rows


def read_report(report: Path) -> list[Row]:
    """Read a report as any program may."""
    with report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def demonstrate(demo: Demo) -> bool:
    """Run the gear twice, kill it and run it again; return whether everything came as it should."""
    say("", "== First run: every project ==")
    config = {"project filter": "ALL", "snapshot batch name": "demo"}
    first_status = demo.run("first", demo.site.jobs.add(config))
    first = show_report(demo.report("first"))

    say("", "== Second run: that report as the input 'retry failed' ==")
    second_status = demo.run("second", demo.site.jobs.add({}), demo.report("first"))
    second = show_report(demo.report("second"))
    made = demo.made()

    say("", "== Third run: every project anew; the job is killed (SIGKILL) ==")
    config = {"project filter": "ALL", "snapshot batch name": "killed"}
    following = demo.kill("killed", demo.site.jobs.add(config))
    before_death = demo.made() - made

    say("", "== The platform starts that job again ==")
    again_status = demo.run("started-again", following)
    again = read_report(demo.report("started-again"))
    in_all = demo.made() - made

    failed = {row["project_id"] for row in first if row["status"] == "failed"}
    say("", "== What came of it ==")
    checks = {
        f"first run: {len(failed)} of {len(first)} failed, exit status {first_status}": (
            (len(failed), len(first), first_status) == (FAILING, PROJECTS, 1)
        ),
        f"retry: all {len(second)} complete, exit status {second_status}": (
            {row["status"] for row in second} == {"complete"}
            and (len(second), second_status) == (PROJECTS, 0)
        ),
        "rows that were complete: carried over as they were": all(
            row in second for row in first if row["status"] == "complete"
        ),
        f"snapshots that these two have made: {len(made) - len(failed)} projects one, "
        f"{len(failed)} two (those that had failed), none more": (
            made == Counter(demo.projects) + Counter(failed)
        ),
        f"killed job, started again: all {len(again)} complete, exit status {again_status}": (
            {row["status"] for row in again} == {"complete"}
            and (len(again), again_status) == (PROJECTS, 0)
        ),
        f"snapshots that its two attempts have made: {before_death.total()} and "
        f"{(in_all - before_death).total()}; {in_all.total()} in all for {len(in_all)} projects, "
        "no project has two": in_all == Counter(demo.projects),
    }
    for what, holds in checks.items():
        say(f"  {'ok    ' if holds else 'NOT OK'}  {what}")
    return all(checks.values())


def main(folder: Path) -> int:
    """Show everything in a folder that is temporary; return the exit status."""
    say(f"== A site: {PROJECTS} projects in {GROUPS} groups; {FAILING} will fail at first ==")
    demo = Demo(folder)
    with demo.server:
        return 0 if demonstrate(demo) else 1


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="sitewide-snapshot-demo-") as temporary:
        sys.exit(main(Path(temporary)))
