"""A forked run is a process as any other: what tests see of it is what a new Python would show."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.forked import IMPORTED_WITH, ForkedProcess, start_script

LOOK = """
import atexit, os, signal, sys, threading
atexit.register(print, "the end")
print(sys.argv[1:], os.getcwd(), dict(os.environ), sys.path[0], __name__)
print(sys.stdin.read(), sorted(name for name in sys.modules if name.startswith("fw_gear_")))
print([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)])
print(threading.active_count(), len(os.listdir("/proc/self/fd")))
print("to stderr", file=sys.stderr, flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "script.py"


def executed(script: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        cwd=script.parent,
        env=IMPORTED_WITH,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("status", [0, 7])
def test_it_finds_what_a_new_python_would_find_and_ends_as_that_does(
    script: Path, status: int
) -> None:
    script.write_text(LOOK)
    with executed(script, str(status)) as process:
        text, _ = process.communicate(timeout=60)

    forked = ForkedProcess([str(script), str(status)], script.parent, IMPORTED_WITH)

    said, _ = forked.communicate(timeout=60)
    assert said.splitlines() == text.splitlines()
    assert said.endswith("to stderr\nthe end\n")
    assert forked.poll() == forked.returncode == process.returncode == status


def test_what_is_wrong_with_a_script_is_a_traceback_and_status_1(script: Path) -> None:
    script.write_text("1 / 0")

    process = start_script(script, environment=IMPORTED_WITH)

    text, _ = process.communicate(timeout=60)
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_number_is_its_own_and_a_signal_ends_it(script: Path, number: signal.Signals) -> None:
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    with (script.parent / "log").open("w") as log:
        process = ForkedProcess([str(script)], script.parent, IMPORTED_WITH, log)
    until = time.monotonic() + 30
    while not (script.parent / "log").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)

    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)
    os.kill(process.pid, number)

    assert process.wait(timeout=30) == -number
    assert (script.parent / "log").read_text() == f"{process.pid}\n"


def test_two_run_at_a_time(script: Path) -> None:
    script.write_text(
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while not pathlib.Path(sys.argv[2]).exists():\n"
        "    time.sleep(0.01)\n"
    )
    both = [
        ForkedProcess([str(script), *names], script.parent, IMPORTED_WITH)
        for names in (("one", "other"), ("other", "one"))
    ]

    assert [process.wait(timeout=60) for process in both] == [0, 0]
