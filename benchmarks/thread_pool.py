"""A pool of threads to compare with, which somebody would write who needed it fast.

All snapshots are started by a pool of sixteen; then, every ten seconds, the same pool asks for each
one that is not finished. Takes the API key, the report to write, and how many threads (16).
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import flywheel

from .sequential import DETAIL, FINAL, ROUND_SECONDS, SNAPSHOTS, State, caller, write


def main(api_key: str, report: str, threads: str = "16") -> None:
    """Snapshot every project of the site, and report the last status of each."""
    client = flywheel.Client(api_key)
    call = caller(client, int(threads))

    def create(project: str) -> State:
        return call("POST", SNAPSHOTS, project=project)

    def poll(project: str) -> State:
        return call("GET", DETAIL, project=project, snapshot=snapshots[project][0])

    with ThreadPoolExecutor(int(threads)) as pool:
        projects = [project.id for project in client.projects.iter_find()]
        snapshots = dict(zip(projects, pool.map(create, projects), strict=True))
        while left := [p for p, (_, status) in snapshots.items() if status not in FINAL]:
            time.sleep(ROUND_SECONDS)
            snapshots.update(zip(left, pool.map(poll, left), strict=True))
    write(report, snapshots)


if __name__ == "__main__":
    main(*sys.argv[1:])
