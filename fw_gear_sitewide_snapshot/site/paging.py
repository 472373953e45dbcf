"""Reads the list of projects page by page, and fails rather than return a part of it."""

from collections.abc import Callable
from dataclasses import replace

from ..errors import OutcomeUnknownError
from ..models import Project
from ..text import counted
from .http import Request

PAGE = 250  # what the SDK's finder asks for
PAGE_BYTES = 1 << 25  # projects carry their custom information


def all_pages(first: Request, ask: Callable[[Request], tuple[list[Project], int]]) -> list[Project]:
    """Ask for page after page, until one is empty, and return each project once.

    ``ask`` returns a page's projects, and how many there are in all; 0 where it doesn't say.

    Raises:
        OutcomeUnknownError: A page comes twice, or fewer projects than the total of any page.
    """
    found: dict[str, Project] = {}
    ends: set[str] = set()
    projects, most = ask(first)  # pages may differ in their totals
    while projects:
        found |= {project.id: project for project in projects}
        last = projects[-1].id
        if last in ends:  # the SDK's finder would loop for ever
            raise OutcomeUnknownError("unexpected response: a page of projects came twice")
        ends.add(last)
        projects, total = ask(replace(first, query={**first.query, "after_id": last}))
        most = max(most, total)
    if len(found) < most:
        found_projects = counted(len(found), "project")
        raise OutcomeUnknownError(f"unexpected response: {found_projects}, but a total of {most:,}")
    return list(found.values())
