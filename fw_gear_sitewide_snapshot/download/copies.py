"""Copies of snapshots in an object store: their names there, and when one counts as made.

``<group>/<project id>/<snapshot id>.db.gz``: ids, so that a project that is renamed keeps its
folder, and another run finds what is there. Beside it a small ``<snapshot id>.json`` says what it
is. An object that is there is never replaced; and a copy counts only once the store, read again,
gives back what was sent.
"""

import hashlib
import json
import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..clock import Clock
from ..errors import ConfigError, StoreError
from ..models import SnapshotContent, SnapshotRecord
from ..text import is_id
from .archive import SUMS_NAME
from .archive_names import safe_name

if TYPE_CHECKING:
    from .object_store import ObjectStore

log = logging.getLogger(__name__)
_CONTENT_NAMES = [field.name for field in fields(SnapshotContent)]
_CHUNK_BYTES = 1 << 20
_LONGEST_NOTE_BYTES = 1 << 16
_TRIAL_KEY = ".sitewide-snapshot-trial"
MOST_FAILURES = 40  # in a row: then the store is taken for down, and hardly asked any more
_PROBE_SECONDS = 60.0  # between two that ask it all the same
_MOST_FOLDERS = 100  # of batches that began in the same second and have the same name


class Copies:
    """The copies in one place; ``site`` is the address of the site that they are of.

    A store that is silent costs a minute an attempt. So where ``MOST_FAILURES`` have failed in a
    row, an attempt fails at once, save one a minute, which finds out whether the store is back.

    Attributes:
        failures: How many attempts have failed since one went well; who makes them counts.
    """

    def __init__(self, store: "ObjectStore", site: str, clock: Clock) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self.failures = 0
        self._probe = "", -math.inf  # the key of the last one that was tried all the same, and when
        self._probing = threading.Lock()
        self._uploads = 0  # that are under way, in other threads
        self._uploading = threading.Condition()

    @property
    def url(self) -> str:
        """Where they are."""
        return self._store.url

    def try_out(self) -> None:
        """Do all that copies need with a small object; raise a ConfigError where that fails."""
        key = f"{_TRIAL_KEY}-{self._clock.now():%Y%m%dT%H%M%S%f}"
        try:
            self._store.put_new(key, b"Written and removed to see whether copies can be made.\n")
            self._store.read(key, _LONGEST_NOTE_BYTES)
            self._store.delete(key)
            self._store.size(key)  # of what is not there: a store may refuse to say that
        except (StoreError, OSError) as error:
            raise ConfigError(f"copy to {self.url}: {error}") from None

    def address(self, record: SnapshotRecord) -> str:
        """Return where a snapshot's copy is, or is to be."""
        return self._store.address(_key(record))

    def find(self, record: SnapshotRecord) -> SnapshotContent | None:
        """Return the content of a copy that an earlier run has made, if it is whole."""
        self._raise_if_down(record)
        try:
            note = json.loads(self._store.read(_note_key(record), _LONGEST_NOTE_BYTES) or b"")
            found = {name: note[name] for name in _CONTENT_NAMES}
            if not all(type(v) is int or name == "sha256" for name, v in found.items()):
                return None
            content = SnapshotContent(**found)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return content if self._is_there(record, content) else None

    def copy(self, path: Path, record: SnapshotRecord, content: SnapshotContent) -> str:
        """Copy a snapshot's file, unless it is there; return the address of the copy.

        Raises:
            StoreError: It can't be copied, or there is something else in its place.
            TerminatedError: The run is to end; the upload is broken off.
        """
        self._raise_if_down(record)
        key = _key(record)
        if not self._is_there(record, content):
            with self._uploading:
                self._uploads += 1
            try:
                self._store.put_parts(key, self._parts(path), content.size_bytes)
            finally:
                with self._uploading:
                    self._uploads -= 1
                    self._uploading.notify_all()
            if self._store.sha256(key) != content.sha256:
                self._store.delete(key)
                raise StoreError("what the store gives back is not what was sent", may_pass=True)
        self._store.put_new(_note_key(record), self._note(record, content))
        return self.address(record)

    def wait_for_uploads(self, seconds: float) -> None:
        """Wait until those under way have ended: told to end, they are aborted by the next part."""
        with self._uploading:
            self._uploading.wait_for(lambda: not self._uploads, seconds)

    def put_batch(
        self, files: Iterable[Path], records: Sequence[SnapshotRecord], began: datetime
    ) -> str:
        """Store a batch's files, and the checksums of these and of its copies; return where.

        The checksums' names are relative to the place itself: ``sha256sum -c`` is run there.

        Raises:
            StoreError: They can't be stored.
        """
        labels = sorted({record.batch_label for record in records} - {""})
        times = f"{began.astimezone(UTC):%Y-%m-%dT%H%M%SZ}"
        name = "-".join([times, *map(safe_name, labels[:1])])  # a retry may have several
        prefix = f"{self.url}/"
        sums = {
            record.copied_to.removeprefix(prefix): record.content.sha256
            for record in records
            if record.content and record.copied_to.startswith(prefix)
        }
        contents = {file.name: file.read_bytes() for file in files}
        for folder in _folders(f"batches/{name}"):
            known = {f"{folder}/{n}": hashlib.sha256(c).hexdigest() for n, c in contents.items()}
            lines = [f"{sha256}  {key}\n" for key, sha256 in sorted((sums | known).items())]
            sums_key = f"{folder}/{SUMS_NAME}"
            if self._put_or_find(sums_key, "".join(lines).encode()):
                for name, content in contents.items():
                    self._store.put_new(f"{folder}/{name}", content)
                return self._store.address(folder)
        raise StoreError(f"there are {_MOST_FOLDERS} batches of that name already")

    def _raise_if_down(self, record: SnapshotRecord) -> None:
        """Raise a StoreError where the store is taken for down, and this is not to try it."""
        with self._probing:
            (probed, when), key = self._probe, _key(record)
            if self.failures <= MOST_FAILURES or key == probed:
                return
            now = self._clock.monotonic()
            if now < when + _PROBE_SECONDS:
                raise StoreError(f"not tried, since {MOST_FAILURES} attempts in a row had failed")
            self._probe = key, now

    def _put_or_find(self, key: str, content: bytes) -> bool:
        """Store a small object; say whether it is there now, and not another in its place.

        A store may have taken it although the connection broke before it could say so.
        """
        is_new = self._store.put_new(key, content)
        return is_new or self._store.read(key, len(content) + 1) == content

    def _is_there(self, record: SnapshotRecord, content: SnapshotContent) -> bool:
        """Say whether the copy is there; raise a StoreError where something else is."""
        key = _key(record)
        found = self._store.sha256(key)
        if found not in {None, content.sha256}:
            raise StoreError(f"there is another file already: {self._store.address(key)}")
        return found is not None

    def _parts(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while part := file.read(_CHUNK_BYTES):
                self._clock.raise_if_terminated()
                yield part

    def _note(self, record: SnapshotRecord, content: SnapshotContent) -> bytes:
        times = {"created": record.timestamp, "finished_at": record.finished_at}
        note = {
            "site": self._site,
            "group": record.project.group,
            "project_label": record.project.label,
            "project_id": record.project.id,
            "snapshot_id": record.snapshot_id,
            "batch_label": record.batch_label,
            **{name: when.isoformat() if when else None for name, when in times.items()},
            "copied_at": self._clock.now().isoformat(timespec="seconds"),
            **asdict(content),
            "gear": f"sitewide-snapshot {__version__}",
        }
        return json.dumps(note, indent=2, ensure_ascii=False).encode() + b"\n"


def _key(record: SnapshotRecord) -> str:
    ids = record.project.id, record.snapshot_id
    assert all(map(is_id, ids))  # noqa: S101  as the report and the site's answers are read
    return f"{safe_name(record.project.group)}/{'/'.join(ids)}.db.gz"


def _note_key(record: SnapshotRecord) -> str:
    return _key(record).removesuffix(".db.gz") + ".json"


def _folders(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, _MOST_FOLDERS + 1))
