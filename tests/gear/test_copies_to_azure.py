"""Copies by the whole gear to Azure Blob Storage, as Microsoft's own emulator has it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.errors import StoreError
from tests.support.azure import (
    ACCOUNT,
    CONTAINER,
    KEY,
    AzureServer,
    served_azure,
    with_azurite,
)
from tests.support.gear import GearRun, gear_maker
from tests.support.object_store import breaking_proxy

pytestmark = with_azurite

PROJECTS = 5
LARGE_BYTES = 12 << 20  # several blocks
PLACE = f"az://{CONTAINER}/a site"
CONFIG = {"project filter": "ALL", "snapshot batch name": "Nightly", "copy to": PLACE}
MEBIBYTE = b"x" * (1 << 20)


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    with served_azure(tmp_path_factory.mktemp("azurite")) as server:
        yield server


# A batch, and the same once more


class Batch:
    """A run that copies, then another that finds all of it, and what each has left in the store."""

    def __init__(self, folder: Path, azure: AzureServer) -> None:
        self.site = SimulatedSite(build_seconds=(0.1, 0.3))
        self.projects = [self.site.add_project(label=f"Study {n}") for n in range(PROJECTS)]
        self.site.download_size(self.projects[0], LARGE_BYTES)
        credentials = azure.credentials_file(folder)
        with SimulatorServer(self.site) as server:
            make = gear_maker(folder, server)
            self.first = make(**CONFIG).run(credentials=credentials)
            self.objects, self.tags = azure.objects, azure.tags
            again = {**CONFIG, "reuse within hours": 1, "debug": True}
            self.second = make(**again).run(credentials=credentials)
            self.tags_afterwards = azure.tags

    @property
    def batch_folder(self) -> str:
        """Where the first run's report is."""
        (sums,) = [key for key in self.objects if key.endswith("SHA256SUMS")]
        return sums.rsplit("/", 1)[0]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, azure: AzureServer) -> Batch:
    return Batch(tmp_path_factory.mktemp("batch"), azure)


def test_each_snapshot_is_there_as_it_came_beside_what_says_what_it_is(batch: Batch) -> None:
    assert batch.first.exit_status == 0, batch.first.log
    assert len(batch.first.rows) == PROJECTS
    for row in batch.first.rows:
        key = row["copied_to"].removeprefix(f"az://{CONTAINER}/")
        assert key == f"a site/neuro/{row['project_id']}/{row['snapshot_id']}.db.gz"
        copy = batch.objects[key]
        note = json.loads(batch.objects[key.replace(".db.gz", ".json")])
        assert hashlib.sha256(copy).hexdigest() == row["sha256"] == note["sha256"]
        assert len(copy) == int(row["size_bytes"]) == note["size_bytes"]
    assert len(batch.objects) == 2 * PROJECTS + 3


def test_the_batch_leaves_its_report_its_page_and_checksums_that_hold(batch: Batch) -> None:
    folder, objects = batch.batch_folder, batch.objects

    assert folder.startswith("a site/batches/")
    assert folder.endswith("Z-Nightly")
    assert objects[f"{folder}/snapshot_report.csv"] == batch.first.report.read_bytes()
    assert f"{folder}/snapshot_report.html" in objects
    lines = objects[f"{folder}/SHA256SUMS"].decode().splitlines()
    assert len(lines) == PROJECTS + 2
    for sha256, name in (line.split("  ", 1) for line in lines):
        assert hashlib.sha256(objects[f"a site/{name}"]).hexdigest() == sha256


def test_a_second_run_finds_the_copies_and_writes_none_again(batch: Batch) -> None:
    assert batch.second.exit_status == 0, batch.second.log
    assert [row["copied_to"] for row in batch.second.rows] == [
        row["copied_to"] for row in batch.first.rows
    ]
    assert len(batch.second.lines("copied before, and whole")) == PROJECTS
    assert {key: batch.tags_afterwards[key] for key in batch.tags} == batch.tags
    assert all("/batches/" in key for key in batch.tags_afterwards.keys() - batch.tags.keys())


def test_no_log_shows_the_key(batch: Batch) -> None:
    assert KEY not in batch.first.log + batch.second.log


def test_connections_that_break_cost_no_copy(azure: AzureServer, tmp_path: Path) -> None:
    site = SimulatedSite(build_seconds=(0.1, 0.3))
    for _ in range(12):
        site.add_project()
    config = {**CONFIG, "copy to": f"az://{CONTAINER}/broken"}
    with breaking_proxy(azure, every=2) as proxy, SimulatorServer(site) as server:
        endpoint = azure.endpoint.replace(str(azure.port), str(proxy.port))
        credentials = azure.credentials_file(tmp_path, endpoint=endpoint)
        run = gear_maker(tmp_path, server)(**config).run(credentials=credentials)

    assert run.exit_status == 0, run.log
    assert proxy.broken > 12
    objects = azure.objects
    for row in run.rows:
        copy = objects[row["copied_to"].removeprefix(f"az://{CONTAINER}/")]
        assert hashlib.sha256(copy).hexdigest() == row["sha256"]
    found = [key for key in objects if key.startswith("broken/")]
    assert len(found) == 2 * 12 + 3


# Before anything starts

WRONG = {
    "a wrong key": (PLACE, {"account_key": "bXkga2V5"}, "the store says 403"),
    "no such container": ("az://nobody/prefix", {}, "there is no such container"),
    "no such account": (PLACE, {"account_name": "other"}, "the store says 403"),
    "no route": (PLACE, {"endpoint": "http://127.0.0.1:9/x"}, "no connection to the store"),
    "an unknown name": (PLACE, {"acount": "x"}, "acount"),
}


@pytest.fixture(scope="module")
def refused(
    tmp_path_factory: pytest.TempPathFactory, azure: AzureServer
) -> dict[str, tuple[GearRun, SimulatedSite]]:
    site, ended = SimulatedSite(), {}
    site.add_project()
    folder = tmp_path_factory.mktemp("refused")
    with SimulatorServer(site) as server:
        make = gear_maker(folder, server)
        for name, (url, changes, _) in WRONG.items():
            credentials = azure.credentials_file(folder / name, **changes)
            ended[name] = make(**{**CONFIG, "copy to": url}).run(credentials=credentials), site
    return ended


@pytest.mark.parametrize("name", WRONG)
def test_a_place_that_can_t_be_used_is_told_in_one_line_before_anything_starts(
    refused: dict[str, tuple[GearRun, SimulatedSite]], name: str
) -> None:
    run, site = refused[name]

    assert run.exit_status == 2, run.log
    (line,) = run.errors
    assert f"copy to {WRONG[name][0]}: " in line
    assert WRONG[name][2] in line
    assert "Traceback" not in run.log
    assert all(request.kind != "create" for request in site.requests)
    assert not run.report.exists()


# What the gear asks of a store


def test_a_shared_access_signature_needs_to_read_create_write_and_delete(
    azure: AzureServer,
) -> None:
    def place(rights: str) -> ObjectStore:
        return ObjectStore(f"az://{CONTAINER}/{rights}", azure.signature(rights))

    enough = place("rcwd")
    enough.put_parts("large", [MEBIBYTE] * 12, 12 << 20)
    assert enough.put_new("small", b"")
    assert not enough.put_new("small", b"another")
    assert enough.size("large") == 12 << 20
    enough.delete("small")
    enough.delete("small")  # as after an answer that was lost
    assert enough.size("small") is None

    missing = place("rcw")
    missing.put_new("connection", b"")
    with pytest.raises(StoreError, match=r"^the store says 403: This request is not") as caught:
        missing.delete("connection")
    assert not caught.value.may_pass  # whatever the object is called


def test_the_account_and_its_key_can_come_from_the_environment(
    azure: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)

    store = ObjectStore(f"az://{CONTAINER}/environment", {"endpoint": azure.endpoint})

    assert store.put_new("small", b"")
    assert KEY in store.secrets


def test_an_upload_that_is_broken_off_leaves_nothing_in_the_way_of_the_next(
    azure: AzureServer,
) -> None:
    store = ObjectStore(f"az://{CONTAINER}/broken off", azure.credentials())

    def ended() -> Iterator[bytes]:
        yield from [MEBIBYTE] * 12
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        store.put_parts("large", ended(), 20 << 20)

    assert store.size("large") is None
    assert "broken off/large" in azure.unfinished  # Azure removes it after a week
    store.put_parts("large", [MEBIBYTE] * 20, 20 << 20)
    assert store.size("large") == 20 << 20
