"""What an object store's errors mean, as the store's own library tells of them."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.errors import StoreError
from tests.support.object_store import BUCKET, KEY_ID, SECRET

CREATED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
ERROR = b"<Error><Key>key</Key><Code>%s</Code><Message>Try again</Message></Error>"
LARGE = bytes(6 << 20)  # of two parts


def upload(store: ObjectStore) -> None:
    store.put_parts("key", [LARGE], len(LARGE))


def delete(store: ObjectStore) -> None:
    store.delete("key")


def read(store: ObjectStore) -> None:
    store.sha256("key")


@pytest.mark.parametrize(
    ("call", "said", "words"),
    [
        (upload, ERROR % b"InternalError", "the store says InternalError: Try again"),
        (delete, b"<DeleteResult>%s</DeleteResult>" % ERROR % b"SlowDown", "SlowDown"),
        (read, b"", "no connection to the store, or it broke"),
    ],
    ids=["upload", "delete", "read"],
)
def test_what_goes_wrong_behind_a_200_may_pass(
    call: Callable[[ObjectStore], None], said: bytes, words: str
) -> None:
    class Failing(BaseHTTPRequestHandler):
        """An S3 whose uploads' ends and deletions fail, and whose objects break off."""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            query = urlsplit(self.path).query
            is_read = self.command in {"HEAD", "GET"}
            body = b"" if is_read else CREATED if query.startswith("uploads") else said
            self.send_response(206 if self.command == "GET" else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 12:00:00 GMT")
            self.send_header("Content-Length", str(9 if is_read else len(body)))
            self.send_header("Content-Range", "bytes 0-8/9")
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
        store = ObjectStore(f"s3://{BUCKET}", {**keys, "region": "x", "endpoint": endpoint})
        with pytest.raises(StoreError) as caught:
            call(store)
        server.shutdown()

    assert words in str(caught.value)
    assert caught.value.may_pass
