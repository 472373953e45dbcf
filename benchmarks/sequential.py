"""A plain client to compare with: creates, looks up and polls, one call at a time.

What one would write first: start every snapshot, look each project up, then ask for every snapshot
in turn, every ten seconds, until all are finished. Takes the API key and the report to write.
"""

import copy
import csv
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import flywheel

ROUND_SECONDS = 10
FINAL = {"complete", "failed"}
SNAPSHOTS = "/snapshot/projects/{project}/snapshots"
DETAIL = SNAPSHOTS + "/{snapshot}/detail"

State = tuple[str, str]  # a snapshot's id and its status


def main(api_key: str, report: str) -> None:
    """Snapshot every project of the site, and report the last status of each."""
    client = flywheel.Client(api_key)
    call = caller(client)
    snapshots = {}
    for project in client.projects.iter_find():
        snapshots[project.id] = call("POST", SNAPSHOTS, project=project.id)
        client.get_project(project.id)
    while any(status not in FINAL for _, status in snapshots.values()):
        time.sleep(ROUND_SECONDS)
        for project_id, (snapshot_id, status) in snapshots.items():
            if status not in FINAL:
                state = call("GET", DETAIL, project=project_id, snapshot=snapshot_id)
                snapshots[project_id] = state
    write(report, snapshots)


def caller(client: flywheel.Client, connections: int = 1) -> Callable[..., State]:
    """Return what calls the Snapshot service, which is beside ``/api``, so many times at once."""
    configuration = copy.copy(client.api_client.configuration)
    configuration.connection_pool_maxsize = connections  # else five for each core
    configuration.host = configuration.host.removesuffix("/api")
    root = flywheel.api_client.ApiClient(configuration)

    def call(method: str, path: str, **parameters: str) -> State:
        answer: dict[str, str] = root.call_api(
            path,
            method,
            path_params=parameters,
            auth_settings=["ApiKey"],
            response_type="object",
            _return_http_data_only=True,
        )
        return answer["_id"], answer["status"]

    return call


def write(report: str, snapshots: Mapping[str, State]) -> None:
    """Write what has become of each project."""
    with Path(report).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["project_id", "snapshot_id", "status"])
        rows.writerows([project, *state] for project, state in snapshots.items())


if __name__ == "__main__":
    main(*sys.argv[1:])
