"""A real server that speaks S3, a process of its own, and a way to it that breaks."""

import contextlib
import functools
import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3

SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
KEY_ID, SECRET = "AKIAEXAMPLEEXAMPLE12", "s3cr3t/with+signs=and~more-of-it"
BUCKET = "copies"


@dataclass
class ObjectStoreServer:
    """An S3 on loopback with one bucket, to which every key is good."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def credentials(self, endpoint: str = "", **more: str) -> dict[str, str]:
        """Return what the input ``storage-credentials`` holds."""
        return {
            "aws_access_key_id": KEY_ID,
            "aws_secret_access_key": SECRET,
            "region": "us-east-1",
            "endpoint": endpoint or self.endpoint,
            **more,
        }

    def credentials_file(self, folder: Path, endpoint: str = "") -> Path:
        path = folder / "credentials.json"
        path.write_text(json.dumps(self.credentials(endpoint)))
        return path

    @functools.cached_property
    def client(self) -> Any:
        """The store's own client."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    @property
    def keys(self) -> list[str]:
        """The keys of what is in the bucket."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        assert len(found) < 1000
        return [entry["Key"] for entry in found]

    @property
    def objects(self) -> dict[str, bytes]:
        """What is in the bucket, by key."""
        return {key: self.read(key) for key in self.keys}

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    @property
    def unfinished_uploads(self) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


@contextlib.contextmanager
def served_store(**environment: str) -> Iterator[ObjectStoreServer]:
    """Serve an S3 with a bucket until the block ends."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**bare, **environment},
    ) as process:
        assert process.stdout
        try:
            server = ObjectStoreServer(int(process.stdout.readline()))
            server.client.create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.kill()


class BreakingProxy:
    """Carries connections to a server, and breaks each n-th one off in the midst of it.

    The server is told to end a connection with its answer, so that each request has one of its own.
    """

    def __init__(self, port: int, every: int = 0, bytes_per_second: float = math.inf) -> None:
        self._server = port
        self._every = every
        self._bytes_per_second = bytes_per_second  # of each connection, to the server
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[str] = []  # the first words of each, such as "PUT /copies/a"
        self.broken = 0
        self.silent_at = ""  # what is asked for addresses with this in them is never answered
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str, ending: str = "") -> list[str]:
        """List the addresses of what was asked with a method."""
        split = [request.split(" ") for request in self.requests]
        paths = [path.split("?")[0] for sent, path in split if sent == method]
        return [path for path in paths if path.endswith(ending)]

    def close(self) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                number += 1
                is_broken = self._every > 0 and number % self._every == 0
                # In turn: before anything is passed on, or after the answer's first bytes.
                at = None if not is_broken else 0 if number % (2 * self._every) else 1
                threading.Thread(target=self._carry, args=(client, at), daemon=True).start()

    def _carry(self, client: socket.socket, break_at: int | None) -> None:
        with client, contextlib.suppress(OSError):
            head = client.recv(1 << 16)
            if not head:
                return None
            with self._lock:
                self.requests.append(" ".join(head.split(b"\r\n")[0].decode().split(" ")[:2]))
                self.broken += break_at is not None
            if self.silent_at and self.silent_at in head.split(b"\r\n")[0].decode():
                self._closed.wait()
            if break_at == 0:
                return self._reset(client)
            with socket.create_connection(("127.0.0.1", self._server)) as server:
                server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
                while answer := server.recv(1 << 16):
                    if break_at == 1:
                        client.sendall(answer[:10])
                        return self._reset(client)
                    client.sendall(answer)
        return None

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                time.sleep(len(data) / self._bytes_per_second)

    @staticmethod
    def _reset(client: socket.socket) -> None:
        """Break the connection off, also while the other thread reads from it."""
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RDWR)


class Server(Protocol):
    """What listens at a port of loopback."""

    port: int


@contextlib.contextmanager
def breaking_proxy(
    server: Server, every: int = 0, bytes_per_second: float = math.inf
) -> Iterator[BreakingProxy]:
    """Put a proxy before a store until the block ends; it breaks nothing by default."""
    proxy = BreakingProxy(server.port, every, bytes_per_second)
    try:
        yield proxy
    finally:
        proxy.close()
