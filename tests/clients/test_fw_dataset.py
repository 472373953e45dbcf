"""fw-dataset: makes a snapshot, waits for it, loads it; and loads what the gear has archived."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

from fw_dataset.admin.dataset_builder import DatasetBuilder
from fw_dataset.dataset_client import FWDatasetClient

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from tests.clients.gear_run import run_gear

# Of each kind, what is neither deleted nor an old version.
COUNTS = {
    "subjects": "SELECT count(*) FROM subjects WHERE NOT deleted",
    "sessions": "SELECT count(*) FROM sessions WHERE NOT deleted",
    "acquisitions": "SELECT count(*) FROM acquisitions WHERE NOT deleted",
    "files": "SELECT count(DISTINCT file_id) FROM files WHERE NOT deleted AND NOT replaced",
}


def counted(connection: Any) -> dict[str, str]:
    """Count what the dataset's tables hold, in words such as the gear's report has."""
    return {name: str(connection.execute(query).fetchone()[0]) for name, query in COUNTS.items()}


def test_it_makes_a_snapshot_waits_for_it_and_queries_it(
    site: SimulatedSite, server: SimulatorServer, tmp_path: Path
) -> None:
    """It asks every ten seconds: the first time while the snapshot is being built."""
    project = site.add_project("neuro", "Ageing", subjects=3, sessions_per_subject=2)
    site.behaviour.build_seconds = (12.0, 12.0)
    builder = DatasetBuilder(
        api_key=server.api_key(), project_path="neuro/Ageing", root_path=tmp_path
    )

    dataset = builder.render_dataset(force_new=True)

    [snapshot] = site.snapshots(project)
    assert (dataset.version, snapshot.status) == (snapshot.id, "complete")
    assert [request.kind for request in site.requests].count("list") == 3
    found = counted(dataset.connect())
    assert (found["subjects"], found["sessions"], found["acquisitions"]) == ("3", "6", "6")
    labels = dataset.execute("SELECT label FROM subjects WHERE NOT deleted ORDER BY 1").fetchall()
    assert labels == [("sub-001",), ("sub-002",), ("sub-003",)]
    versions = dataset.execute("SELECT count(*), count(DISTINCT file_id) FROM files").fetchone()
    assert versions[0] > versions[1] >= int(found["files"])

    again = FWDatasetClient.get_dataset_from_filesystem(
        "fs", str(tmp_path), dataset.dataset_info.get("prefix"), {"root_path": str(tmp_path)}
    )
    assert counted(again.connect()) == found
    assert builder.project.reload().info["dataset"]["bucket"] == str(tmp_path)


def test_of_several_snapshots_it_takes_the_newest(
    site: SimulatedSite, server: SimulatorServer, tmp_path: Path
) -> None:
    project = site.add_project()
    for _ in range(2):
        site.add_snapshot(project, created=site.now() - 3600)
    newest = site.add_snapshot(project)
    builder = DatasetBuilder(api_key=server.api_key(), project_id=project, root_path=tmp_path)
    assert builder.render_dataset().version == newest
    assert site.creates() == 0


def test_it_loads_every_snapshot_of_the_gear_s_archive(
    site: SimulatedSite, server: SimulatorServer, tmp_path: Path
) -> None:
    for number, (group, label) in enumerate(
        [("neuro", "Ageing"), ("cardio", "Herz, Lunge"), ("cardio", "NA")], start=1
    ):
        site.add_project(group, label, subjects=number, sessions_per_subject=number)
    run = run_gear(site, tmp_path / "job", **{"project filter": "ALL", "download snapshots": True})
    assert run.exit_status == 0, run.log

    loaded = {}
    with zipfile.ZipFile(run.folder / "output/snapshots.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".db.gz"):
                snapshot = Path(name).name.removesuffix(".db.gz")
                database = tmp_path / f"{snapshot}.db"
                database.write_bytes(gzip.decompress(archive.read(name)))
                loaded[snapshot] = database

    assert sorted(loaded) == sorted(row["snapshot_id"] for row in run.rows)
    assert len(loaded) == 3
    for row in run.rows:
        builder = DatasetBuilder(
            api_key=server.api_key(), project_id=row["project_id"], root_path=tmp_path / "datasets"
        )
        dataset = builder.dataset
        dataset.version = dataset.version_label = row["snapshot_id"]
        dataset.created = row["timestamp"].replace("+00:00", ".000+00:00")  # the form that it reads
        dataset.setup_paths(version=dataset.version)
        builder.render_default_fw_dataset(loaded[row["snapshot_id"]])
        dataset.save()
        assert counted(dataset.connect(version=dataset.version)) == {n: row[n] for n in COUNTS}
