"""A Flywheel site on loopback, for tests and to try things against; never shipped with the gear.

`SimulatedSite` is the site's contract in code, a state machine without I/O; `SimulatorServer`
serves one over HTTP to the real flywheel-sdk; `Fault` and the actions make things go wrong. Start
reading at `site.py`.
"""

from .behaviour import Behaviour
from .downloads import BREAKAGES, ODD_BREAKAGES, Breakage, StorageRequest
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
from .filters import FilterError, parse_filter
from .protocol import LoggedRequest, Request, Response
from .server import SimulatorServer
from .site import SimulatedSite
from .snapshots import SnapshotState
from .stage import DEFAULT_KEY, DEFAULT_USER

__all__ = [
    "BREAKAGES",
    "DEFAULT_KEY",
    "DEFAULT_USER",
    "ODD_BREAKAGES",
    "Action",
    "Behaviour",
    "Breakage",
    "Fault",
    "FilterError",
    "LoggedRequest",
    "Request",
    "Response",
    "SimulatedSite",
    "SimulatorServer",
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
    "parse_filter",
    "redirect",
    "refuse",
    "slow_down",
]
