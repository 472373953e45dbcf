"""Runs in processes that are forked from one that has imported all they need (``fork_server``)."""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

from typing_extensions import override

from flywheel_site_simulator import Job
from flywheel_site_simulator.job import PLATFORM_PATH

from .repository import ROOT, read_manifest

EXECUTED = bool(os.environ.get("EXECUTED"))  # none is forked: each is a new Python, which imports
IMPORTED_WITH: dict[str, str] = {"PATH": PLATFORM_PATH, **read_manifest()["environment"]}


class ForkedProcess(subprocess.Popen[str]):
    """A forked run of a script; it offers what is written here, signals, and no more of Popen."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: int | IO[str] = subprocess.PIPE,
    ) -> None:
        """Begin a run in a folder; its output goes to the file, or is for `communicate`."""
        self.args = arguments
        self.returncode = None
        self.stdin = self.stdout = self.stderr = None
        self._text = ""
        request = json.dumps([arguments, str(folder), dict(environment)]).encode()
        mine, output = os.pipe()
        self._told, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with told:
            given = output if isinstance(stdout, int) else stdout.fileno()
            socket.send_fds(_server(), [request], [given, told.fileno()])
        os.close(output)
        self._reader = threading.Thread(target=self._read, args=(mine,), daemon=True)
        self._reader.start()
        self.pid = int(self._told.recv(64))

    def _read(self, output: int) -> None:
        with os.fdopen(output, encoding="utf-8") as file:
            self._text = file.read()

    @override
    def poll(self) -> int | None:
        """Return the exit status, or None while the run lasts."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    @override
    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raise TimeoutExpired where it takes longer."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._told.close()
        return self.returncode

    @override
    def communicate(
        self,
        input: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for the end of the output and of the run; return what it has said, and None."""
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(timeout)
        return self._text, None


class ForkedJob(Job):
    """A job whose gear is forked, unless what it runs with is out of the ordinary."""

    is_executed = EXECUTED

    @override
    def start(self, stdout: int | IO[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        is_usual = environment == IMPORTED_WITH and (self.gear, self.python) == (
            ROOT,
            sys.executable,
        )
        if self.is_executed or not is_usual:
            return super().start(stdout, environment)
        return ForkedProcess([str(self.gear / "run.py")], self.path, environment, stdout)


def start_script(
    script: Path, *arguments: str, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a Python script in the folder that it is in; what it says is one text."""
    command = [str(script), *arguments]
    if not EXECUTED:
        return ForkedProcess(command, script.parent, environment)
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=script.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


_starting = threading.Lock()


def _server() -> socket.socket:
    with _starting:
        return _start_server()


@cache
def _start_server() -> socket.socket:
    """Start what forks; it ends with this process."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            stdin=its.fileno(),
            env=IMPORTED_WITH,
        )

    def end() -> None:
        mine.close()
        server.wait()

    atexit.register(end)
    return mine
