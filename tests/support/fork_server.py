"""A process that has imported what the gear needs, and forks for each run: the run begins at once.

Most of a short run's time goes into imports. This script does them once. Its standard input is a
socket: what comes there is a run's arguments, folder and environment, and with them the file for
the run's output and a socket for what becomes of it. A run is a process as any other: it goes
through its script from the first line, has signals of its own, and ends as Python ends. What it
can't show is how the imports go, and what they make of the environment.
"""

import gc
import importlib
import json
import os
import runpy
import socket
import sys
from contextlib import suppress
from pathlib import Path

# What a run of the gear imports only once it needs it.
LATER = ("flywheel_gear_toolkit", "jinja2", "obstore", "pandas.io.formats.csvs")
GEAR = Path(__file__).parents[2]


def serve(requests: socket.socket) -> None:
    """Fork for each request; return in the processes of the runs, and in no other."""
    while True:
        request, files, _, _ = socket.recv_fds(requests, 1 << 16, 2)
        if not request:
            os._exit(0)
        if not os.fork():
            break
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    output, told = files
    if run := os.fork():
        os.close(output)
        os.write(told, str(run).encode())
        _, status = os.waitpid(run, 0)
        os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(file, standard)
    for file in (nothing, output, told):
        os.close(file)
    sys.argv, folder, environment = json.loads(request)
    sys.path[0] = str(Path(sys.argv[0]).parent)
    if sys.path[0] != str(GEAR):  # it finds nothing there of the gear's own
        for name in [name for name in sys.modules if name.startswith("fw_gear_")]:
            del sys.modules[name]
    coerced = {name: os.environ[name] for name in ("LC_CTYPE",) if name in os.environ}
    os.environ.clear()
    os.environ.update(environment | coerced)  # as a new Python sets it where there is no locale
    os.chdir(folder)


if __name__ == "__main__":
    sys.path[0] = str(GEAR)
    runpy.run_path(str(GEAR / "run.py"), run_name="imported")
    for name in LATER:
        importlib.import_module(name)
    gc.freeze()  # a run's first collection would copy what all of them share
    serve(socket.socket(fileno=os.dup(0)))
    runpy.run_path(sys.argv[0], run_name="__main__")
