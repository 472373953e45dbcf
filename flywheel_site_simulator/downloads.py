"""How the site hands out a snapshot's file: whole, broken, huge, or from a second address.

Builds the answers to a download, and judges signed URLs. Whether the caller may download at all is
not decided here.
"""

import functools
import hashlib
import hmac
import random
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Literal, get_args

from .behaviour import Behaviour
from .content import TABLES, compress, snapshot_database, write_large_snapshot
from .population import Project
from .protocol import Request, Response, SiteError
from .snapshots import Snapshot

PlainBreakage = Literal[
    "truncated",
    "short gzip",
    "bad crc",
    "not sqlite",
    "corrupt sqlite",
    "missing table",
    "other project",
    "trailing garbage",
    "no project row",
    "500",
    "hang",
]
# What clients may see differently, and what, over HTTP, never ends.
OddBreakage = Literal["nul padding", "404", "endless html", "drip"]
Breakage = PlainBreakage | OddBreakage

BREAKAGES: tuple[PlainBreakage, ...] = get_args(PlainBreakage)
"""What a client can notice, and may ask for again."""

_DRIP_AFTER_BYTES = 16
_GZIP = {"Content-Type": "application/gzip"}
_HTML = {"Content-Type": "text/html"}
_PAGE = b"<html><body>\n" + b"<p>Please wait while you are signed in.</p>\n" * 100


class Downloads:
    """The files behind the site's snapshots."""

    def __init__(self, source: random.Random, behaviour: Behaviour) -> None:
        """Take the secret that signs URLs from a random source."""
        self._behaviour = behaviour
        self._secret = source.randbytes(32)
        self._broken: dict[str, Iterator[Breakage]] = {}
        self._large: dict[str, Path] = {}
        self._directory: Path | None = None
        self._spent: set[str] = set()
        self._issued = 0

    def break_for(self, project_id: str, how: Breakage, times: int | None) -> None:
        """Break a project's downloads from now on, or the next so many of them.

        Raises:
            ValueError: there is no such breakage.
        """
        known = (*BREAKAGES, *get_args(OddBreakage))
        if how not in known:
            raise ValueError(f"no breakage {how!r}: choose one of {', '.join(known)}")
        self._broken[project_id] = repeat(how) if times is None else repeat(how, times)

    def enlarge(self, project: Project, size: int, *, compressed: bool) -> Path:
        """Give a project's snapshots a file of a size; it is written to disk now.

        It is removed with the site, or at the end of the process.
        """
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="flywheel-site-simulator-"))
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        path = self._directory / f"{project.id}.gz"
        write_large_snapshot(project, size, path, compressed=compressed)
        self._large[project.id] = path
        return path

    def response(self, snapshot: Snapshot) -> Response:
        """Answer the file of a complete snapshot, broken if that was asked for."""
        how = next(self._broken.get(snapshot.project_id, iter(())), None)
        match how:
            case "500":
                raise SiteError(500, "The snapshot could not be read")
            case "404":
                raise SiteError(404, f"Snapshot {snapshot.id} not found")
            case "hang":
                return Response(200, _GZIP, broken="hang")
            case "endless html":
                return Response(200, _HTML, _PAGE, endless=True)
        return self._file_response(snapshot, how)

    def _file_response(self, snapshot: Snapshot, how: Breakage | None) -> Response:
        headers = {
            **_GZIP,
            "Content-Disposition": f'attachment; filename="{snapshot.id}.sqlite.gz"',
        }
        match how:
            case None:
                return Response(200, headers, self._file(snapshot))
            case "truncated":
                return Response(200, headers, self._file(snapshot), broken="truncated")
            case "drip":
                return Response(
                    200, headers, self._file(snapshot), endless=True,
                    drip_seconds=self._behaviour.drip_pause_seconds, drip_after=_DRIP_AFTER_BYTES,
                )  # fmt: skip
        return Response(200, headers, _broken_file(snapshot.project, how))

    def sign(self, snapshot: Snapshot, expires: float) -> str:
        """Make the path and query of a signed URL that holds until a time of the site's clock."""
        self._issued += 1
        path = f"/storage/{snapshot.project_id}/{snapshot.id}"
        until = f"{expires:.3f}"
        signature = self._signature(path, until, str(self._issued))
        return f"{path}?expires={until}&number={self._issued}&signature={signature}"

    def check_signature(self, request: Request, now: float) -> tuple[str, str]:
        """Judge a request to the storage's address at a time by the site's clock.

        Returns:
            The ids of the project and of the snapshot that the URL stands for.

        Raises:
            SiteError: the request bears a second authorization (400), or the signature is wrong,
                expired or spent (403).
        """
        if "authorization" in request.headers:
            raise SiteError(400, "Only one auth mechanism allowed: a signed URL needs no header")
        until = request.query.get("expires", "")
        number = request.query.get("number", "")
        signature = request.query.get("signature", "")
        right = self._signature(request.path, until, number)
        if not hmac.compare_digest(signature.encode(), right.encode()):
            raise SiteError(403, "The signature does not match")
        if now >= float(until):
            raise SiteError(403, "The signed URL has expired")
        if self._behaviour.signed_urls_once and signature in self._spent:
            raise SiteError(403, "The signed URL has been used")
        self._spent.add(signature)
        _, _, project_id, snapshot_id = request.path.split("/")
        return project_id, snapshot_id

    def _signature(self, path: str, until: str, number: str) -> str:
        text = f"{path}?{until}&{number}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    def _file(self, snapshot: Snapshot) -> bytes | Path:
        return self._large.get(snapshot.project_id) or _whole_file(snapshot.project)


@functools.lru_cache(maxsize=8)
def _whole_file(project: Project | None) -> bytes:
    return compress(snapshot_database(project))


def _broken_file(project: Project | None, how: Breakage) -> bytes:
    """Build a project's snapshot file with something wrong in the file itself."""
    data = compress(_broken_database(project, how))
    match how:
        case "short gzip":
            return data[: len(data) * 2 // 3]
        case "bad crc":
            return data[:-8] + bytes([data[-8] ^ 0xFF]) + data[-7:]
        case "trailing garbage":
            return data + b"\x00\x01 and then some"
        case "nul padding":
            return data + bytes(1024)
    return data


def _broken_database(project: Project | None, how: Breakage) -> bytes:
    match how:
        case "not sqlite":
            return b"This is no database, whatever the name says.\n" * 100
        case "corrupt sqlite":
            # Every page but the first, which holds the header and the schema.
            database = snapshot_database(project)
            page_bytes = int.from_bytes(database[16:18], "big")
            return database[:page_bytes] + b"\xa5" * (len(database) - page_bytes)
        case "missing table":
            tables = tuple(table for table in TABLES if table != "session")
            return snapshot_database(project, tables=tables)
        case "other project":
            row = {"_id": "0123456789abcdef01234567", "label": "Somebody else's", "group": "other"}
            return snapshot_database(project, project_rows=(row,))
        case "no project row":
            return snapshot_database(project, project_rows=())
    return snapshot_database(project)
