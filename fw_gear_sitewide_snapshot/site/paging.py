"""Reads the list of projects page by page, and never takes a part of it for the whole."""

from collections.abc import Callable
from dataclasses import replace

from ..errors import OutcomeUnknownError
from ..models import Project
from .http import Request
from .parse import parse_projects, parse_total

PAGE = 250  # what the SDK's finder asks for
PAGE_BYTES = 1 << 25  # projects carry their custom information


def parse_page(data: object) -> tuple[list[Project], int]:
    """Return a page's projects, and how many there are in all; 0 where it doesn't say."""
    return parse_projects(data), parse_total(data)


def all_pages(first: Request, ask: Callable[[Request], tuple[list[Project], int]]) -> list[Project]:
    """Ask for page after page, until one is empty; each project once.

    Raises:
        OutcomeUnknownError: A page comes again, or there are fewer projects than a page has said.
    """
    found: dict[str, Project] = {}
    ends: set[str] = set()
    projects, most = ask(first)
    while projects:
        found |= {project.id: project for project in projects}
        last = projects[-1].id
        if last in ends:  # the SDK's finder would go round for ever
            raise OutcomeUnknownError("unexpected response: it repeats a page of projects")
        ends.add(last)
        projects, total = ask(replace(first, query={**first.query, "after_id": last}))
        most = max(most, total)
    if len(found) < most:
        said = f"the {most:,} projects that it says there are"
        raise OutcomeUnknownError(f"the site gives {len(found):,} of {said}")
    return list(found.values())
