"""A Flywheel site on loopback, for tests and to try things against; never shipped with the gear.

`SimulatedSite` is the site's contract in code, a state machine without I/O; `SimulatorServer`
serves one over HTTP to the real flywheel-sdk; `Engine` runs the jobs that are launched there, and
`Job` a single one; `Fault` and the actions make things go wrong. Start reading at `site.py`.
"""

from .behaviour import Behaviour
from .downloads import BREAKAGES, Breakage
from .engine import EndedJob, Engine
from .faults import (
    Action,
    Fault,
    accept,
    add_headers,
    answer_with,
    break_off,
    do_later,
    drip,
    edit_answer,
    lose_answer,
    redirect,
    refuse,
    slow_down,
)
from .files import ProjectFile
from .job import Job
from .jobs import SiteJob
from .population import DEFAULT_KEY, DEFAULT_USER
from .protocol import Request, Response
from .server import SimulatorServer
from .site import SimulatedSite
from .snapshots import SnapshotState
from .traffic import LoggedRequest, StorageRequest

__all__ = [
    "BREAKAGES",
    "DEFAULT_KEY",
    "DEFAULT_USER",
    "Action",
    "Behaviour",
    "Breakage",
    "EndedJob",
    "Engine",
    "Fault",
    "Job",
    "LoggedRequest",
    "ProjectFile",
    "Request",
    "Response",
    "SimulatedSite",
    "SimulatorServer",
    "SiteJob",
    "SnapshotState",
    "StorageRequest",
    "accept",
    "add_headers",
    "answer_with",
    "break_off",
    "do_later",
    "drip",
    "edit_answer",
    "lose_answer",
    "redirect",
    "refuse",
    "slow_down",
]
