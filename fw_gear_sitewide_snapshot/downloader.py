"""Fetches complete snapshots into one archive. How one is fetched is in ``fetch.py``.

What goes wrong with one is the error of its row, whose status stays the site's: the snapshot is
complete all the same, and a retry fetches it again.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .archive import ARCHIVE_NAME, Archive
from .clock import Clock
from .errors import OutputError
from .fetch import Fetch, in_words
from .models import SnapshotContent, SnapshotRecord
from .room import FreeBytes, NoRoomError, free_bytes
from .site import Site
from .wording import counted, size_text
from .workers import Workers

log = logging.getLogger(__name__)


def fetch_all(
    records: Sequence[SnapshotRecord],
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
    work: Path,
    output: Path,
    free: FreeBytes = free_bytes,
) -> list[SnapshotRecord]:
    """Fetch each complete snapshot that no run has fetched yet, and archive them all.

    Args:
        records: The batch. What is not complete, or has its content, is left as it is.
        site: The site to fetch them from.
        workers: Of which up to four fetch at a time.
        clock: The time that pauses are measured by; tells when the run is to end.
        work: An existing folder to work in; nothing is left in it.
        output: The folder that the archive goes into, if anything was fetched.
        free: Tells how many bytes can be written where a folder is.

    Returns:
        The batch in the same order: what is in the archive with its content, what could not be
        fetched with its error.

    Raises:
        TerminatedError: The run is to end; there is no archive.
    """
    wanted = [record for record in records if record.is_complete and record.content is None]
    if not wanted:
        return list(records)
    log.info(
        "Fetching %s of a batch of %s",
        counted(len(wanted), "snapshot"),
        counted(len(records), "project"),
    )
    contents: dict[str, SnapshotContent] = {}
    problems: dict[str, str] = {}
    size = 0
    try:
        with (
            tempfile.TemporaryDirectory(
                prefix="snapshots-",
                dir=work,
                ignore_cleanup_errors=True,  # a worker may still hang in there
            ) as name,
            Archive(
                Path(name) / ARCHIVE_NAME, output, rows=len(records), clock=clock, free=free
            ) as archive,
        ):
            fetch = Fetch(wanted, archive, site=site, clock=clock, folder=Path(name), free=free)
            for record, came in workers.each(fetch, wanted):
                if isinstance(came, SnapshotContent):
                    contents[record.project.id] = came
                else:
                    problems[record.project.id] = came
            if contents:
                size = archive.finish(_replaced(records, contents, problems))
                archive.place()
    except (OSError, OutputError, NoRoomError) as error:
        problem = f"download failed: the archive can't be written: {in_words(error)}"
        log.error("%s", problem)
        problems = {record.project.id: problem for record in wanted} | problems
        contents = {}
    log.info(
        "Fetched %s (%s)%s; %s could not be fetched",
        counted(len(contents), "snapshot"),
        size_text(sum(content.size_bytes for content in contents.values())),
        f" into {ARCHIVE_NAME} ({size_text(size)})" if contents else "",
        f"{len(problems):,}",
    )
    return _replaced(records, contents, problems)


def _replaced(
    records: Sequence[SnapshotRecord],
    contents: Mapping[str, SnapshotContent],
    problems: Mapping[str, str],
) -> list[SnapshotRecord]:
    """The batch with what came of it."""
    after = []
    for record in records:
        content, problem = contents.get(record.project.id), problems.get(record.project.id)
        if content is not None:
            after.append(replace(record, content=content, error=""))
        else:
            after.append(record if problem is None else replace(record, error=problem))
    return after
