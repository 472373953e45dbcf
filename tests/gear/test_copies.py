"""Copies by the whole gear: stores that break, jobs that are killed, places of no use."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer, SiteJob
from tests.support.gear import REPORT, GearFolder, GearRun, MakeGear, gear_maker, rows_of
from tests.support.object_store import (
    BUCKET,
    KEY_ID,
    SECRET,
    BreakingProxy,
    ObjectStoreServer,
    breaking_proxy,
    served_store,
)

pytestmark = pytest.mark.process

PROJECTS = int(os.environ.get("COPIES", "60"))
PATIENCE_SECONDS = 120
CONFIG = {
    "project filter": "ALL",
    "snapshot batch name": "Nightly",
    "copy to": f"s3://{BUCKET}/site",
}


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStoreServer]:
    with served_store() as server:
        yield server


@pytest.fixture
def gear(served: SimulatorServer, tmp_path: Path) -> MakeGear:
    return gear_maker(tmp_path, served)


# A batch whose job is killed twice, through a proxy that breaks connections


class Batch:
    """The batch, its store, and the last attempt of its job."""

    def __init__(self, folder: Path, store: ObjectStoreServer, proxy: BreakingProxy) -> None:
        self.proxy = proxy
        self.site = SimulatedSite(build_seconds=(0.2, 3.0), create_seconds=0.02)
        self.projects = [self.site.add_project(label=f"Study {n}") for n in range(PROJECTS)]
        self.copied: list[int] = []  # how many copies there were when a job was killed
        credentials = store.credentials_file(folder, proxy.endpoint)
        with SimulatorServer(self.site) as server:
            job = self.site.jobs.add(CONFIG)
            for _ in range(2):
                self._kill(self._lay_out(folder, server, job), credentials)
                job = self.site.jobs.restart(job.id)
            gear = self._lay_out(folder, server, job)
            self.last = gear.run(credentials=credentials, timeout_seconds=PATIENCE_SECONDS)
        self.objects = store.objects

    @staticmethod
    def _lay_out(folder: Path, server: SimulatorServer, job: SiteJob) -> GearFolder:
        return GearFolder(folder / job.id, server.api_key(job.key), CONFIG, job.id)

    def _kill(self, gear: GearFolder, credentials: Path) -> None:
        """Kill the job once it has sent a third more of the copies."""
        gear.prepare(credentials=credentials)
        enough = len(self.proxy.asked("PUT", ".json")) + PROJECTS // 3
        with (gear.path / "log").open("w") as log, gear.started(stdout=log) as process:
            end = time.monotonic() + PATIENCE_SECONDS
            while len(self.proxy.asked("PUT", ".json")) < enough:
                assert process.poll() is None, "it ended before it was killed"
                assert time.monotonic() < end
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=PATIENCE_SECONDS)
        self.copied.append(len(self.proxy.asked("PUT", ".json")))

    @property
    def copies(self) -> dict[str, bytes]:
        """The snapshots' copies, by key."""
        return {key: data for key, data in self.objects.items() if key.endswith(".db.gz")}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    with served_store() as store, breaking_proxy(store, every=10) as proxy:
        yield Batch(tmp_path_factory.mktemp("copies"), store, proxy)


def test_each_project_s_snapshot_is_there_once_with_the_right_checksum_and_nothing_else(
    batch: Batch,
) -> None:
    newest = {
        f"site/neuro/{project}/{snapshot.id}.db.gz"
        for project in batch.projects
        for snapshot in batch.site.snapshots(project)
    }
    rows = {row["copied_to"].removeprefix(f"s3://{BUCKET}/"): row for row in batch.last.rows}

    assert len(newest) == PROJECTS
    assert set(batch.copies) == newest == set(rows)
    for key, data in batch.copies.items():
        assert hashlib.sha256(data).hexdigest() == rows[key]["sha256"]
    others = set(batch.objects) - newest
    assert {key for key in others if not key.startswith("site/batches/")} == {
        key.replace(".db.gz", ".json") for key in newest
    }


def test_the_report_says_so_and_the_job_is_green(batch: Batch) -> None:
    assert batch.last.exit_status == 0, batch.last.log
    assert {row["status"] for row in batch.last.rows} == {"complete"}
    assert {row["error"] for row in batch.last.rows} == {""}
    qc = json.loads((batch.last.folder / "output" / ".metadata.json").read_text())
    assert f'"copied": {PROJECTS}' in json.dumps(qc)


def test_no_snapshot_is_made_or_sent_twice(batch: Batch) -> None:
    assert sum(map(batch.site.creates, batch.projects)) == PROJECTS
    assert PROJECTS // 3 <= batch.copied[0] < batch.copied[1]
    assert batch.proxy.broken > 10


def test_the_batch_leaves_its_report_its_page_and_checksums_that_hold(batch: Batch) -> None:
    found = {key: data for key, data in batch.objects.items() if "/batches/" in key}
    (folder,) = {key.rsplit("/", 1)[0] for key in found}

    assert folder.endswith("Z-Nightly")
    assert {key.rsplit("/", 1)[1] for key in found} == {
        "snapshot_report.csv",
        "snapshot_report.html",
        "SHA256SUMS",
    }
    assert found[f"{folder}/snapshot_report.csv"] == batch.last.report.read_bytes()
    objects = batch.objects
    lines = found[f"{folder}/SHA256SUMS"].decode().splitlines()
    assert len(lines) == PROJECTS + 2
    for sha256, name in (line.split("  ", 1) for line in lines):
        assert hashlib.sha256(objects[f"site/{name}"]).hexdigest() == sha256


# As they complete, and a retry


def test_a_snapshot_is_copied_while_another_is_still_being_built(
    store: ObjectStoreServer, tmp_path: Path
) -> None:
    site = SimulatedSite(build_seconds=(8.0, 8.0))
    there, slow = site.add_project(), site.add_project()
    site.add_snapshot(there, created=site.now())
    config = CONFIG | {"copy to": f"s3://{BUCKET}/early", "reuse within hours": 1}
    with SimulatorServer(site) as server:
        folder = gear_maker(tmp_path, server)(**config)
        folder.prepare(credentials=store.credentials_file(tmp_path))
        with folder.started() as process:
            while not any(there in key for key in store.keys):
                assert process.poll() is None
                time.sleep(0.05)
            assert site.snapshots(slow)[-1].status != "complete"
            process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0


def test_what_could_not_be_copied_is_not_complete_and_a_retry_copies_it_and_starts_nothing(
    served: SimulatorServer, gear: MakeGear, tmp_path: Path
) -> None:
    good, bad = served.site.add_project(), served.site.add_project()
    place = tmp_path / "mount"
    config = CONFIG | {"copy to": f"file://{place}"}
    (place / "neuro").mkdir(parents=True)
    (place / "neuro" / bad).write_text("in the way of the folder")

    first = gear(**config).run()
    (place / "neuro" / bad).unlink()
    retry = gear(**{"copy to": f"file://{place}"}).run(first.report)

    assert first.exit_status == 1
    assert first.row(bad)["status"] == "complete"
    assert first.row(bad)["error"].startswith("copy failed: ")
    assert first.lines("complete, not copied")
    assert first.row(good)["copied_to"]
    assert retry.exit_status == 0, retry.log
    assert retry.row(bad)["copied_to"].startswith(f"file://{place}/neuro/{bad}/")
    assert retry.row(good) == first.row(good)
    assert [served.site.creates(project) for project in (good, bad)] == [1, 1]


def test_a_job_that_is_told_to_end_leaves_no_upload_half(
    store: ObjectStoreServer, tmp_path: Path
) -> None:
    site = SimulatedSite()
    for _ in range(2):
        site.download_size(site.add_project(), 48 << 20)
    with breaking_proxy(store, bytes_per_second=4 << 20) as slow, SimulatorServer(site) as server:
        folder = gear_maker(tmp_path, server)(**CONFIG | {"copy to": f"s3://{BUCKET}/ended"})
        folder.prepare(credentials=store.credentials_file(tmp_path, slow.endpoint))
        with folder.started() as process:
            while not store.unfinished_uploads:
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    assert store.unfinished_uploads == []
    assert not [key for key in store.keys if key.startswith("ended/neuro")]


def test_a_job_is_told_to_end_while_the_store_does_not_take_its_report(
    store: ObjectStoreServer, tmp_path: Path
) -> None:
    site = SimulatedSite()
    site.add_project()
    with breaking_proxy(store) as silent, SimulatorServer(site) as server:
        silent.silent_at = "/batches/"
        folder = gear_maker(tmp_path, server)(**CONFIG | {"copy to": f"s3://{BUCKET}/silent"})
        folder.prepare(credentials=store.credentials_file(tmp_path, silent.endpoint))
        with folder.started() as process:
            while not any("/batches/" in request for request in silent.requests):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)  # the store's own time limit is a minute

    assert process.returncode == 128 + signal.SIGTERM
    (row,) = rows_of(folder.path / "output" / REPORT)
    assert row["copied_to"]


# Before anything starts

WRONG = {
    "unknown scheme": ("ftp://host/prefix", {}, "expected an address such as s3://"),
    "no scheme": ("bucket/prefix", {}, "expected an address such as s3://"),
    "a secret in it": (f"s3://{KEY_ID}:{SECRET[:8]}@bucket/x", {}, "nothing else in it"),
    "no bucket": ("s3://nobody/prefix", {}, "there is no such bucket"),
    "no route": (CONFIG["copy to"], {"endpoint": "http://127.0.0.1:9"}, "no connection"),
    "unknown name": (CONFIG["copy to"], {"acces_key": "x"}, "acces_key"),
    "no folder": ("file:///nowhere/at/all", None, "there is no folder /nowhere/at"),
}


@pytest.fixture(scope="module")
def refused(
    tmp_path_factory: pytest.TempPathFactory, store: ObjectStoreServer
) -> dict[str, tuple[GearRun, SimulatedSite]]:
    ended = {}
    site = SimulatedSite()
    site.add_project()
    with SimulatorServer(site) as server:
        make = gear_maker(tmp_path_factory.mktemp("refused"), server)
        for name, (url, changes, _) in WRONG.items():
            folder = tmp_path_factory.mktemp("credentials")
            file = None
            if changes is not None:
                file = folder / "credentials.json"
                file.write_text(json.dumps({**store.credentials(), **changes}))
            ended[name] = make(**CONFIG | {"copy to": url}).run(credentials=file), site
    return ended


@pytest.mark.parametrize("name", WRONG)
def test_a_place_that_can_t_be_used_is_told_in_one_line_before_anything_starts(
    refused: dict[str, tuple[GearRun, SimulatedSite]], name: str
) -> None:
    run, site = refused[name]

    assert run.exit_status == 2, run.log
    (line,) = run.errors
    assert "copy to" in line or "storage-credentials" in line
    assert WRONG[name][2] in line
    assert run.seconds < 30
    assert "Traceback" not in run.log
    assert all(request.kind != "create" for request in site.requests)
    assert not run.report.exists()


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1}', f'"{SECRET}"'])
def test_credentials_that_can_t_be_read_are_told_and_not_shown(
    gear: MakeGear, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(content)

    run = gear(**CONFIG).run(credentials=file)

    assert run.exit_status == 2
    (line,) = run.errors
    assert 'input "storage-credentials"' in line
    assert SECRET not in run.log


def test_with_debug_no_credential_is_in_any_output(
    served: SimulatorServer, gear: MakeGear, store: ObjectStoreServer, tmp_path: Path
) -> None:
    served.site.add_project()
    secret: dict[str, Any] = {"debug": True, "snapshot batch name": f"named {SECRET}"}

    run = gear(**CONFIG | secret).run(credentials=store.credentials_file(tmp_path))

    assert run.exit_status == 0, run.log
    assert SECRET not in run.log
    assert run.lines("WARNING", "storage-credentials", "can read them")
