"""Shows the gear at work against a simulated site: a run in which some snapshots fail, and a retry.

Runs the real ``run.py`` the way the platform does: as a process, in a folder with ``config.json``,
``input/`` and ``output/``. Those folders are temporary; what the runs put out is kept, to be looked
at. Exit status 0 only if, at the end, every project has a complete snapshot and the site has made
none too many.
"""

import csv
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent
KEPT = Path("demo-output")
PROJECTS, GROUPS, FAILING = 30, 5, 4
PATIENCE_SECONDS = 20

Row = dict[str, str]


def say(*lines: str) -> None:
    """Print at once, so that nothing that a child prints can come before it."""
    print(*lines, sep="\n", flush=True)


@contextmanager
def child(
    command: list[str],
    *,
    cwd: Path,
    stdout: int,
    stderr: int | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run one of the project's own programs; it ends with the block, whatever happens in there."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=cwd, stdout=stdout, stderr=stderr, env=env, encoding="utf-8"
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE_SECONDS)


@contextmanager
def simulated_site(folder: Path) -> Iterator[str]:
    """Serve a site; gives the API key for it."""
    key_file = folder / "key"
    command = ["-m", "flywheel_site_simulator", f"--projects={PROJECTS}", f"--groups={GROUPS}"]
    command += [f"--failing={FAILING}", "--build-seconds=1:4", f"--port-file={key_file}"]
    with child(command, cwd=TOP, stdout=subprocess.DEVNULL) as site:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not key_file.exists():
            if site.poll() is not None or time.monotonic() > give_up:
                raise SystemExit("The simulated site did not start.")
            time.sleep(0.05)
        yield key_file.read_text()


def run_gear(folder: Path, api_key: str, config: Row, retry_failed: Path | None = None) -> int:
    """Lay out a job's folder as the platform does, run the gear in it, and show its log."""
    inputs: dict[str, object] = {"api-key": {"base": "api-key", "key": api_key}}
    (folder / "output").mkdir(parents=True)
    shutil.copy(TOP / "manifest.json", folder)
    if retry_failed is not None:
        place = folder / "input" / "retry failed" / retry_failed.name
        place.parent.mkdir(parents=True)
        shutil.copy(retry_failed, place)
        location = {"name": place.name, "path": str(place)}
        inputs["retry failed"] = {"base": "file", "location": location, "object": {}}
    job = {"config": config, "inputs": inputs, "destination": {"type": "project", "id": "0" * 24}}
    (folder / "config.json").write_text(json.dumps(job), encoding="utf-8")

    say(f"config: {json.dumps(config)}", f"input:  {retry_failed.name if retry_failed else '-'}")
    # What the platform gives a gear, and no more. One pipe for both streams keeps their order.
    environment = json.loads((TOP / "manifest.json").read_text(encoding="utf-8"))["environment"]
    environment["PATH"] = os.environ.get("PATH", os.defpath)
    pipe, together = subprocess.PIPE, subprocess.STDOUT
    command = [str(TOP / "run.py")]
    with child(command, cwd=folder, stdout=pipe, stderr=together, env=environment) as gear:
        for line in gear.stdout or ():
            say(f"  | {line.rstrip()}")
    outputs = sorted(path.name for path in (folder / "output").iterdir())
    kept = KEPT / folder.name
    shutil.copytree(folder / "output", kept, dirs_exist_ok=True)
    say(f"exit status: {gear.returncode}", f"outputs, kept in {kept}: {', '.join(outputs)}")
    return int(gear.returncode)


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


def count_snapshots(api_key: str, rows: list[Row]) -> list[int]:
    """Ask the site itself how many snapshots each project has."""
    host, port, *_, secret = api_key.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    counts = []
    for row in rows:
        path = f"/snapshot/projects/{row['project_id']}/snapshots"
        connection.request("GET", path, headers={"Authorization": f"scitran-user {secret}"})
        counts.append(len(json.loads(connection.getresponse().read())))
    connection.close()
    return counts


def demonstrate(folder: Path) -> bool:
    """Run the gear twice; returns whether everything came as it should."""
    say(f"== A site: {PROJECTS} projects in {GROUPS} groups; {FAILING} will fail at first ==")
    with simulated_site(folder) as api_key:
        say("", "== First run: every project ==")
        config = {"project filter": "ALL", "snapshot batch name": "demo"}
        first_status = run_gear(folder / "first", api_key, config)
        first_report = folder / "first" / "output" / "snapshot_report.csv"
        first = show_report(first_report)

        say("", "== Second run: that report as the input 'retry failed' ==")
        second_status = run_gear(folder / "second", api_key, {}, first_report)
        second = show_report(folder / "second" / "output" / "snapshot_report.csv")
        counts = count_snapshots(api_key, second)

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
