"""Shows the gear at work against a simulated site: a run in which some snapshots fail, and a retry.

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
from pathlib import Path

from flywheel_site_simulator import Job, SimulatedSite, SimulatorServer
from flywheel_site_simulator.example import add_projects

TOP = Path(__file__).resolve().parent
KEPT = Path("demo-output")
PROJECTS, GROUPS, FAILING = 30, 5, 4

Row = dict[str, str]


def say(*lines: str) -> None:
    """Print at once, so that nothing that a child prints can come before it."""
    print(*lines, sep="\n", flush=True)


def run_gear(folder: Path, api_key: str, config: Row, retry_failed: Path | None = None) -> int:
    """Lay out a job's folder as the platform does, run the gear in it, and show its log."""
    job = Job(folder, TOP, api_key, config)
    job.lay_out({} if retry_failed is None else {"retry failed": retry_failed})
    say(f"config: {json.dumps(config)}", f"input:  {retry_failed.name if retry_failed else '-'}")
    with job.started() as gear:
        for line in gear.stdout or ():
            say(f"  | {line.rstrip()}")
    outputs = sorted(path.name for path in job.output.iterdir())
    kept = KEPT / folder.name
    shutil.copytree(job.output, kept, dirs_exist_ok=True)
    say(f"exit status: {gear.returncode}", f"outputs, kept in {kept}: {', '.join(outputs)}")
    return gear.returncode


def show_report(report: Path) -> list[Row]:
    """Print the columns of a report that say how it went."""
    if not report.exists():
        raise SystemExit("The gear wrote no report.")
    with report.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["group_label", "project_label", "snapshot_id", "status", "error"]
    table = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    say("", f"{report.name}, five of its columns:")
    for line in table:
        cells = zip(line, widths, strict=True)
        say(f"  {'  '.join(cell.ljust(width) for cell, width in cells)}".rstrip())
    return rows


def demonstrate(folder: Path) -> bool:
    """Run the gear twice; return whether everything came as it should."""
    say(f"== A site: {PROJECTS} projects in {GROUPS} groups; {FAILING} will fail at first ==")
    site = SimulatedSite(build_seconds=(1.0, 4.0), create_seconds=0.1)
    add_projects(site, PROJECTS, GROUPS, FAILING)
    with SimulatorServer(site) as server:
        say("", "== First run: every project ==")
        config = {"project filter": "ALL", "snapshot batch name": "demo"}
        first_status = run_gear(folder / "first", server.api_key(), config)
        first_report = folder / "first" / "output" / "snapshot_report.csv"
        first = show_report(first_report)

        say("", "== Second run: that report as the input 'retry failed' ==")
        second_status = run_gear(folder / "second", server.api_key(), {}, first_report)
        second = show_report(folder / "second" / "output" / "snapshot_report.csv")
    counts = [len(site.snapshots(row["project_id"])) for row in second]

    failed = [row["status"] == "failed" for row in first]
    kept = all(row in second for row in first if row["status"] == "complete")
    expected = [2 if again else 1 for again in failed]
    say("", "== What came of it ==")
    checks = {
        f"first run: {failed.count(True)} of {len(first)} failed, exit status {first_status}": (
            (failed.count(True), len(first), first_status) == (FAILING, PROJECTS, 1)
        ),
        f"retry: all {len(second)} complete, exit status {second_status}": (
            {row["status"] for row in second} == {"complete"}
            and (len(second), second_status) == (PROJECTS, 0)
        ),
        "rows that were complete: carried over as they were": kept,
        f"snapshots that the site has made: {counts.count(1)} projects one, {counts.count(2)} two "
        "(those that had failed), none more": counts == expected,
    }
    for what, holds in checks.items():
        say(f"  {'ok    ' if holds else 'NOT OK'}  {what}")
    return all(checks.values())


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="sitewide-snapshot-demo-") as temporary:
        sys.exit(0 if demonstrate(Path(temporary)) else 1)
