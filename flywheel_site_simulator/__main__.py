"""`python -m flywheel_site_simulator`: a site to try things against, in the foreground.

Reads the command line, fills a site with projects, serves it until SIGTERM or SIGINT, and prints
what a client needs. Nothing else.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path

from .faults import Fault, slow_down
from .server import HOST, serve
from .site import SimulatedSite
from .stage import DEFAULT_KEY

GROUPS = ("neuro", "cardio", "onco", "pedia", "radio")
LABELS = (
    "Ageing-2024-accepted",
    "Tumour atlas",
    "Herz, Lunge",
    "Frühgeborene",
    "Stroke-accepted",
    "001",
    "NA",
    "Twin study",
)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the process with a message where it makes no sense."""
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
    add("--list-shape", choices=("bare", "results"), default="bare", help="how a list comes")
    add("--requests-per-second", type=float, help="answer 429 to what comes faster (no limit)")
    add("--clock-offset", type=float, default=0.0, help="how far the site's clock is ahead (0)")
    add("--failing", type=int, default=0, metavar="N", help="N projects' first snapshots fail")
    add("--slow", type=int, default=0, metavar="N", help="N projects' creates take 5 s more")
    add("--seed", type=int, default=0, help="decides ids, build times and chances (0)")
    add("--port", type=int, default=0, help="the port (a free one)")
    add("--port-file", type=Path, metavar="PATH", help="write the SDK's API key here when ready")
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
        list_shape=options.list_shape,
        requests_per_second=options.requests_per_second,
        clock_offset_seconds=options.clock_offset,
    )
    projects = [
        site.add_project(group_name(number % options.groups), project_label(number))
        for number in range(options.projects)
    ]
    for project_id in projects[: options.failing]:
        site.outcome(project_id, "failed")
    for project_id in projects[len(projects) - options.slow :] if options.slow else ():
        site.fault(Fault("create", project_id, action=slow_down(5.0)))
    return site


def group_name(number: int) -> str:
    """Name a group: the first ones as on a site, those after by their number."""
    return GROUPS[number] if number < len(GROUPS) else f"group-{number + 1:03d}"


def project_label(number: int) -> str:
    """Name a project: the first ones with what is awkward in labels, those after by number."""
    if number < len(LABELS):
        return LABELS[number]
    return f"Study {number + 1:05d}" + ("-accepted" if number % 3 == 0 else "")


def announcement(key: str, site: SimulatedSite) -> str:
    """Say how to reach the site."""
    config = {
        "config": {"project filter": "label=~-accepted$", "timeout minutes": 10},
        "inputs": {"api-key": {"base": "api-key", "key": key}},
        "destination": {"type": "project", "id": _first_project(site)},
    }
    return "\n".join(
        (
            f"A simulated Flywheel site with {site.statistics()['projects']} projects.",
            f"API key: {key}",
            "A config.json to run a gear with:",
            json.dumps(config, indent=2),
        )
    )


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal says to stop."""
    site = make_site(options)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner, port = await serve(site.handle, site, options.port)
    key = f"{HOST}:{port}:__force_insecure:{DEFAULT_KEY}"
    print(announcement(key, site), flush=True)
    if options.port_file is not None:
        _write_at_once(options.port_file, key)
    await stop.wait()
    await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status."""
    options = parse_arguments(arguments)
    try:
        asyncio.run(run(options))
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


def _first_project(site: SimulatedSite) -> str:
    return next(iter(site.project_ids()), "")


def _write_at_once(path: Path, text: str) -> None:
    """Write a file that nobody ever sees half written."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
