"""Azurite, Microsoft's own emulator of Azure Blob Storage, as a process of its own."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.repository import ROOT

_NAME = "azurite-blob"
AZURITE = os.environ.get("AZURITE") or shutil.which(
    _NAME, path=os.pathsep.join([str(ROOT / "node_modules" / ".bin"), os.environ.get("PATH", "")])
)
with_azurite = [
    pytest.mark.process,
    pytest.mark.skipif(
        AZURITE is None, reason="no Azurite: npm install --no-save --no-package-lock azurite"
    ),
]

CONTAINER = "copies"
ACCOUNT = "devstoreaccount1"  # the emulator's, and its key: both are in its documentation
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-12-02"


@dataclass
class AzureServer:
    """An Azure Blob Storage on loopback with one container."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def credentials(self, **changes: str) -> dict[str, str]:
        """Return what the input ``storage-credentials`` holds."""
        given = {"account_name": ACCOUNT, "account_key": KEY, "endpoint": self.endpoint}
        return {**given, **changes}

    def credentials_file(self, folder: Path, **changes: str) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / "credentials.json"
        path.write_text(json.dumps(self.credentials(**changes)))
        return path

    def signature(self, rights: str) -> dict[str, str]:
        """Return credentials that have some rights on the container, as letters, for an hour."""
        end = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        place = f"/blob/{ACCOUNT}/{CONTAINER}"
        signed = _sign([rights, "", end, place, "", "", "", _VERSION, "c", *[""] * 7])
        token = {"sp": rights, "se": end, "sv": _VERSION, "sr": "c", "sig": signed}
        return {
            "account_name": ACCOUNT,
            "sas_token": urllib.parse.urlencode(token),
            "endpoint": self.endpoint,
        }

    @property
    def keys(self) -> list[str]:
        """The names of the blobs."""
        found = self._call("GET", "", {"restype": "container", "comp": "list"})
        return [name.text or "" for name in ElementTree.fromstring(found).iter("Name")]

    @property
    def objects(self) -> dict[str, bytes]:
        """What is in the container, by name."""
        return {key: self._call("GET", key) for key in self.keys}

    @property
    def tags(self) -> dict[str, str]:
        """The tag of each blob, another whenever it is written."""
        found = self._call("GET", "", {"restype": "container", "comp": "list"})
        blobs = ElementTree.fromstring(found).iter("Blob")
        return {blob.findtext("Name", ""): blob.findtext("Properties/Etag", "") for blob in blobs}

    @property
    def unfinished(self) -> set[str]:
        """The names of which there are blocks, but no blob."""
        query = {"restype": "container", "comp": "list", "include": "uncommittedblobs"}
        found = ElementTree.fromstring(self._call("GET", "", query))
        return {name.text or "" for name in found.iter("Name")} - {*self.keys}

    def make_container(self) -> None:
        self._call("PUT", "", {"restype": "container"})

    def _call(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None = None,
    ) -> bytes:
        """Do one request, signed with the account's key."""
        query = query or {}
        path = f"/{ACCOUNT}/{CONTAINER}" + (f"/{urllib.parse.quote(key)}" if key else "")
        kind = "application/octet-stream"  # signed too; urllib would send one of its own
        sent = {
            "x-ms-date": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}",
            "x-ms-version": _VERSION,
        }
        lines = [method, "", "", "", "", kind, "", "", "", "", "", ""]
        lines += [f"{name}:{value}" for name, value in sorted(sent.items())]
        lines += [f"/{ACCOUNT}{path}"]
        lines += [f"{name}:{value}" for name, value in sorted(query.items())]
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{_sign(lines)}"
        sent["Content-Type"] = kind
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        data = b"" if method == "PUT" else None
        request = urllib.request.Request(url, data, sent, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())


def _sign(lines: list[str]) -> str:
    digest = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


@contextlib.contextmanager
def served_azure(folder: Path) -> Iterator[AzureServer]:
    """Serve an Azure Blob Storage, which keeps its files in the folder, until the block ends."""
    assert AZURITE
    place = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder)]
    # Its own telemetry is off; and it takes what is newer than itself.
    how = ["--disableTelemetry", "--skipApiVersionCheck", "--loose"]
    with subprocess.Popen(
        [AZURITE, *place, *how],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        try:
            said = ""
            while not (found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", said)):
                line = process.stdout.readline()
                assert line, f"Azurite did not start: {said}"
                said += line
            server = AzureServer(int(found[1]))
            server.make_container()
            yield server
        finally:
            process.kill()
