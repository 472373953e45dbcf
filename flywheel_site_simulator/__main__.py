"""`python -m flywheel_site_simulator`: a site to try things against, in the foreground.

Reads the command line, fills a site with projects, serves it until SIGTERM or SIGINT, and prints
what a client needs. Nothing else.
"""

import argparse
import json
import signal
from collections.abc import Sequence

from .example import add_projects
from .faults import Fault, slow_down
from .job import config_document
from .server import HOST, SimulatorServer
from .site import SimulatedSite

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the process with a message where it is not valid."""
    parser = argparse.ArgumentParser(
        prog="python -m flywheel_site_simulator",
        description="Serve a simulated Flywheel site on 127.0.0.1. All times are in seconds.",
    )
    add = parser.add_argument
    add("--projects", type=int, default=40, help="how many projects there are (40)")
    add("--groups", type=int, default=5, help="how many groups they are in (5)")
    add("--build-seconds", type=_span, default=(1.0, 4.0), metavar="MIN:MAX",
        help="how long a snapshot takes (1:4)")  # fmt: skip
    add("--build-slots", type=int, help="how many are built at a time (all)")
    add("--create-seconds", type=float, default=0.1, help="how long a create takes (0.1)")
    add("--status-seconds", type=float, default=0.05, help="how long a status call takes (0.05)")
    add("--list-seconds", type=float, default=0.05, help="how long a list of snapshots takes")
    add("--page-seconds", type=float, default=0.05, help="how long a page of projects takes")
    add("--slows-down-at", type=float, metavar="N",
        help="answer slower the more calls are under way; most is done with N (never)")  # fmt: skip
    add("--list-shape", choices=("bare", "results"), default="bare", help="how a list comes")
    add("--requests-per-second", type=float, help="answer 429 to what comes faster (no limit)")
    add("--clock-offset", type=float, default=0.0, help="how far the site's clock is ahead (0)")
    add("--failing", type=int, default=0, metavar="N", help="N projects' first snapshots fail")
    add("--slow", type=int, default=0, metavar="N", help="N projects' creates take 5 s more")
    add("--seed", type=int, default=0, help="decides ids and build times (0)")
    add("--port", type=int, default=0, help="the port (a free one)")
    options = parser.parse_args(arguments)
    if options.projects < 0 or options.groups < 1:
        parser.error("there must be at least one group, and no fewer than no projects")
    return options


def make_site(options: argparse.Namespace) -> SimulatedSite:
    """Make the site that the command line describes."""
    site = SimulatedSite(
        seed=options.seed,
        build_seconds=options.build_seconds,
        build_slots=options.build_slots,
        create_seconds=options.create_seconds,
        status_seconds=options.status_seconds,
        list_seconds=options.list_seconds,
        page_seconds=options.page_seconds,
        slows_down_at=options.slows_down_at,
        list_shape=options.list_shape,
        requests_per_second=options.requests_per_second,
        clock_offset_seconds=options.clock_offset,
    )
    ids = add_projects(site, options.projects, options.groups, options.failing)
    for project_id in ids[len(ids) - options.slow :] if options.slow else ():
        site.fault(Fault("create", project_id, action=slow_down(5.0)))
    return site


def announcement(api_key: str, projects: int) -> str:
    """Say how to reach the site."""
    config = {"project filter": "label=~-accepted$", "timeout minutes": 10}
    return "\n".join(
        (
            f"A simulated Flywheel site with {projects} projects.",
            f"API key: {api_key}",
            "A config.json to run a gear with:",
            json.dumps(config_document(config, api_key), indent=2),
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal says to stop; gives the exit status."""
    options = parse_arguments(arguments)
    site = make_site(options)
    # Blocked before the server's thread begins, which inherits it: only `sigwait` gets the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        with SimulatorServer(site, port=options.port) as server:
            print(announcement(server.api_key(), options.projects), flush=True)
            signal.sigwait(_STOP_SIGNALS)
    except OSError as problem:
        print(f"Cannot serve on {HOST}:{options.port}: {problem.strerror}")
        return 1
    return 0


def _span(text: str) -> tuple[float, float]:
    shortest, _, longest = text.partition(":")
    try:
        span = float(shortest), float(longest or shortest)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN:MAX") from None
    if not 0 <= span[0] <= span[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN:MAX with 0 <= MIN <= MAX")
    return span


if __name__ == "__main__":
    raise SystemExit(main())
