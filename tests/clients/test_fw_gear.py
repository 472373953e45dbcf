"""fw-gear: the manifest, a job's folder, and what the gear tells of its outputs."""

import json
from pathlib import Path

import pytest
from fw_gear import GearContext
from fw_gear.invocation_schema import validate_invocation
from fw_gear.manifest import Manifest, ManifestValidationError

from flywheel_site_simulator import DEFAULT_USER, SimulatedSite, SimulatorServer
from flywheel_site_simulator.job import DESTINATION_ID
from tests.clients.gear_run import run_gear
from tests.support.gear import REPORT, GearFolder, GearRun
from tests.support.repository import ROOT, read_manifest

MANIFEST = ROOT / "manifest.json"


@pytest.fixture
def run(site: SimulatedSite, tmp_path: Path) -> GearRun:
    site.add_project("admin", "Reports", project_id=DESTINATION_ID)
    ended = run_gear(
        site, tmp_path / "job", **{"project filter": "ALL", "download snapshots": True}
    )
    assert ended.exit_status == 0, ended.log
    return ended


def open_folder(folder: Path, server: SimulatorServer) -> GearContext:
    """Open a job's folder, with a key for the server that speaks HTTPS."""
    config = folder / "config.json"
    document = json.loads(config.read_text(encoding="utf-8"))
    document["inputs"]["api-key"]["key"] = server.api_key()
    config.write_text(json.dumps(document), encoding="utf-8")
    return GearContext(str(folder), str(folder / "manifest.json"), str(config))


def test_the_manifest_passes_its_strict_check() -> None:
    manifest = Manifest(MANIFEST)
    manifest.validate(validate_classification=True)
    assert manifest.name == "sitewide-snapshot"


def test_that_check_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = read_manifest() | {"version": ""}
    wrong["custom"]["gear-builder"]["image"] = "flywheel/sitewide-snapshot:0"
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(ManifestValidationError):
        Manifest(path).validate(validate_classification=True)


def test_a_job_with_the_manifest_s_defaults_is_a_valid_one(run: GearRun) -> None:
    manifest = read_manifest()
    job = json.loads((run.folder / "config.json").read_text(encoding="utf-8"))
    options = manifest["config"].items()
    defaults = {name: option["default"] for name, option in options if "default" in option}
    validate_invocation(manifest, {**job, "config": {**defaults, **job["config"]}})


def test_it_opens_the_folder_of_a_run_and_finds_all_in_it(
    run: GearRun, site: SimulatedSite, server: SimulatorServer, tmp_path: Path
) -> None:
    site.add_project("neuro", "Ageing")
    retry = GearFolder(tmp_path / "retry", server.api_key(), {"debug": True})
    retry.prepare(retry_failed=run.report, previous=run.report)

    context = open_folder(retry.path, server)

    assert context.config.opts == {"debug": True}
    for name in ("retry failed", "previous-report"):
        assert context.config.get_input_filename(name) == REPORT
        given = context.config.get_input_path(name)
        assert given is not None
        assert Path(given).read_bytes() == run.report.read_bytes()
    assert context.client.get_current_user().id == DEFAULT_USER
    assert context.config.get_destination_container().label == "Reports"
    assert context.output_dir == retry.output


def test_it_accepts_and_would_write_the_same_metadata(
    run: GearRun, server: SimulatorServer
) -> None:
    written = run.folder / "output/.metadata.json"
    told = json.loads(written.read_text(encoding="utf-8"))
    written.unlink()

    with open_folder(run.folder, server) as context:
        for file in told["project"]["files"]:
            about = {name: value for name, value in file.items() if name != "name"}
            context.metadata.update_file_metadata(file["name"], container_type="project", **about)

    assert REPORT in [file["name"] for file in told["project"]["files"]]
    assert json.loads(written.read_text(encoding="utf-8")) == told
