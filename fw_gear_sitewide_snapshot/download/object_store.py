"""An object store, or a folder, that copies are put into. Alone in knowing obstore.

Nothing of the credentials gets into an error's text: what a store says is blanked and cut to the
part that a person can use.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from ..errors import ConfigError, StoreError
from ..text import blank_secrets, one_line
from .place import forget_other_secrets, secrets_of

_PART_BYTES = 5 << 20  # of an upload, at the least: what S3 allows
_MOST_PARTS = 9000  # S3 takes 10,000
_PARALLEL_PARTS = 1
_READ_BYTES = 1 << 22
# A machine's role is asked for at such addresses, when nothing else gives credentials.
_NO_CREDENTIALS = re.compile(
    r"169\.254\.|/latest/(api|meta-data)|computeMetadata|metadata/identity|token request|"
    r"Account must be|MissingAccount",
    re.I,
)
_NO_CONNECTION = re.compile(r"error sending request|body error|timed out|connection|dns", re.I)
_MAY_PASS = re.compile(r"5\d\d|408|429")  # statuses; without one it was the connection
# S3 says the first two behind a 200, too; the others are said of an upload's end that was sent
# again, as the answer was lost: the object may be there.
_PASSING = re.compile(r"(<Code>|code: )(InternalError|SlowDown|InvalidBlockList|NoSuchUpload)\b")
_STATUS = re.compile(r"status code: (\d+ [\w ]+)|request failed for key .*\(code: (\w+)\)", re.S)
_NOT_REMOVED = re.compile(r"request failed for key .*: ([^:]+) \(code: ", re.S)
_NO_PLACE = re.compile("NoSuch(Bucket)|(Container)NotFound|specified (bucket|container) does not")
_CLIENT = {"timeout": "60s", "connect_timeout": "10s", "pool_idle_timeout": "30s"}
_RETRIES = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}  # of one request


class ObjectStore:
    """A place for objects, each with a key such as ``group/project/snapshot.db.gz``.

    Args:
        url: ``s3://bucket/prefix``, ``gs://…``, ``az://container/prefix`` or ``file:///folder``.
        credentials: From the input ``storage-credentials``: the store's own names and values, or a
            Google service account's key as it is. Empty: those of the environment or the machine.

    Raises:
        ConfigError: The place or the credentials can't be used.
    """

    def __init__(self, url: str, credentials: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self.secrets = secrets_of(credentials)
        forget_other_secrets(credentials)
        self._is_folder = urlsplit(url).scheme == "file"
        try:
            self._store = _folder(url) if self._is_folder else _cloud(self.url, dict(credentials))
        except (BaseError, OSError, ValueError) as error:
            raise ConfigError(f"copy to {self.url}: {self._in_words(error)}") from None

    def address(self, key: str) -> str:
        """Return where an object is, for people and for the store's own tools."""
        return f"{self.url}/{key}"

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes; None where there is none."""
        try:
            return int(self._do(obstore.head, key)["size"])
        except FileNotFoundError:
            return None

    def read(self, key: str, most: int) -> bytes | None:
        """Return so many bytes of an object at the most; None where there is none."""
        size = self.size(key)
        return None if size is None else b"".join(self._ranges(key, min(size, most)))

    def sha256(self, key: str) -> str | None:
        """Read an object and return its checksum, 64 hex digits; None where there is none."""
        size = self.size(key)
        if size is None:
            return None
        digest = hashlib.sha256()
        for part in self._ranges(key, size):
            digest.update(part)
        return digest.hexdigest()

    def put_new(self, key: str, content: bytes) -> bool:
        """Store a small object; return False where there is one already, which stays as it is."""
        try:
            self._do(obstore.put, key, content, mode="create")
        except FileExistsError:
            return False
        return True

    def put_parts(self, key: str, parts: Iterable[bytes], size: int) -> None:
        """Store a large object; what the parts raise breaks the upload off, and is raised."""
        part = max(_PART_BYTES, size // _MOST_PARTS)
        self._do(obstore.put, key, iter(parts), chunk_size=part, max_concurrency=_PARALLEL_PARTS)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there: an attempt whose answer was lost may have done so."""
        with contextlib.suppress(FileNotFoundError):
            self._do(obstore.delete, key)

    def _ranges(self, key: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, _READ_BYTES):
            end = min(size, start + _READ_BYTES)
            yield bytes(self._do(obstore.get_range, key, start=start, end=end))

    def _do(self, call: Any, key: str, *values: Any, **options: Any) -> Any:
        """Do one call; a missing object is a FileNotFoundError, one too many a FileExistsError."""
        try:
            return call(self._store, key, *values, **options)
        except AlreadyExistsError as error:
            raise FileExistsError(self._in_words(error)) from None
        except FileNotFoundError as error:
            if call in {obstore.head, obstore.delete} and not _NO_PLACE.search(str(error)):
                raise
            raise self._store_error(error) from None
        except BaseException as error:
            # What obstore panics of is no Exception, and has no class that can be imported.
            if not isinstance(error, BaseError) and type(error).__name__ != "PanicException":
                raise
            raise self._store_error(error) from None

    def _store_error(self, error: BaseException) -> StoreError:
        said = str(error)
        status = _status(said)
        passes = _MAY_PASS.match(status) if status else _NO_CONNECTION.search(said)
        may_pass = bool(passes or _PASSING.search(said)) and not self._is_folder
        return StoreError(self._in_words(error), may_pass=may_pass)

    def _in_words(self, error: BaseException) -> str:
        """Return what a person can use of an error."""
        said = getattr(error, "strerror", None) or str(error).split("\n\nDebug source")[0]
        said = re.sub(r"^Generic \w+ error: ", "", said)
        code, message = (re.search(f"<{tag}>(.*?)</{tag}>", said) for tag in ("Code", "Message"))
        message = message or _NOT_REMOVED.search(said)
        status = _status(said)
        if self._is_folder:
            words = said  # it holds names of files, in which any word may be
        elif place := _NO_PLACE.search(said):
            words = f"there is no such {place[place.lastindex or 0].lower()}"
        elif code or (status and not _NO_CREDENTIALS.search(said)):
            told = [status, *(found[1] for found in (code, message) if found)]
            words = f"the store says {': '.join(filter(None, told))}"
        elif "configured region" in said:
            words = 'the bucket is in another region: give "region" in storage-credentials'
        elif _NO_CREDENTIALS.search(said):
            words = (
                "no credentials were found: neither in the environment, nor a role of the machine, "
                'nor an input "storage-credentials"'
            )
        elif _NO_CONNECTION.search(said):
            words = "no connection to the store, or it broke"
        else:
            words = said
        return one_line(blank_secrets(words, self.secrets))


def _status(said: str) -> str:
    """Return a store's status with its words, or its code; empty where it has given none."""
    found = _STATUS.search(said)
    return str(found[found.lastindex or 0]) if found else ""


def _folder(url: str) -> Any:
    """Return the folder of a ``file://`` address; it is made if the folder that it is in exists."""
    folder = Path(unquote(urlsplit(url).path))
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {folder.parent}")
    folder.mkdir(exist_ok=True)
    return LocalStore(folder)


def _cloud(url: str, credentials: dict[str, Any]) -> Any:
    if credentials.get("type") == "service_account":
        credentials = {"service_account_key": json.dumps(credentials)}
    endpoints = [text for name, text in credentials.items() if "endpoint" in name.lower()]
    endpoints += [os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")]
    is_plain = any(endpoint.startswith("http://") for endpoint in endpoints)
    scheme, _, place = url.partition("://")
    bucket, slash, prefix = place.partition("/")
    url = f"{scheme}://{bucket}{slash}{quote(prefix)}"  # a % in it is one, as for the store's tools
    client = {**_CLIENT, "allow_http": is_plain}
    return from_url(url, config=credentials, client_options=client, retry_config=_RETRIES)  # type: ignore[call-overload]
