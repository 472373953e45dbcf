"""Reports of version 0.0.4, as the tests of reading have them, whole or edited."""

from datetime import UTC, datetime
from pathlib import Path

from fw_gear_sitewide_snapshot.models import Project, SnapshotRecord, SnapshotStatus

IDS = ["000000000000000000000123", "5e0000000000000000000012", "1111111111111111111e1111"]
OLD_HEADER = "group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status"
OLD_ROW = f"neuro,Study,{IDS[0]},{IDS[1]},2023-11-29 14:05,batch,SnapshotState.failed"
OLD_RECORD = SnapshotRecord(
    Project(IDS[0], "Study", "neuro"),
    IDS[1],
    datetime(2023, 11, 29, 14, 5, tzinfo=UTC),
    "batch",
    SnapshotStatus.FAILED,
    origin="started",
)


def saved(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "edited.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def old(*rows: str, header: str = OLD_HEADER) -> str:
    """A report of version 0.0.4."""
    return "".join(f"{line}\n" for line in [header, *rows])


def row(**cells: str) -> str:
    """The row of OLD_ROW with some cells replaced, as they stand in the file."""
    columns = OLD_HEADER.split(",")
    return ",".join((dict(zip(columns, OLD_ROW.split(","), strict=True)) | cells).values())
