"""Pages of a list: the query parameters `filter sort limit after_id` of every list call.

Knows no projects and no snapshots, only how a list is narrowed, ordered and cut.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .filters import FilterError, Predicate, parse_filter
from .protocol import SiteError

DEFAULT_LIMIT = 250
"""How many entries a call without `limit` gets. Not verified on a real site."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """Which entries of a list a caller asks for.

    Attributes:
        matches: the test of the filter, or None without one.
        sort_key: the key to sort by, or `""`.
        falling: whether the largest comes first.
        limit: how many entries at most; None: all.
        after_id: only entries whose id comes after this one.
    """

    matches: Predicate | None
    sort_key: str
    falling: bool
    limit: int | None
    after_id: str

    def matching(
        self, items: Iterable[Item], fields: Callable[[Item], Mapping[str, Any]]
    ) -> Iterable[Item]:
        """Choose and order the entries of the whole list that this is a page of.

        Args:
            items: the entries by id.
            fields: an entry's document with the types that filters compare.
        """
        matches = self.matches
        if matches is not None:
            items = (item for item in items if matches(fields(item)))
        if self.sort_key:
            by_key = partial(_sorted_by, fields, self.sort_key)
            items = sorted(items, key=by_key, reverse=self.falling)
        return items

    def cut(self, items: Iterable[Item]) -> list[Item]:
        """Choose the page's entries of those that match, up to `after_id` already left out."""
        return list(islice(items, self.limit))


def parse_page(query: Mapping[str, str]) -> Page:
    """Read the parameters of a list call.

    Raises:
        SiteError: a parameter is not valid (400); the message says which and why.
    """
    matches: Predicate | None = None
    if "filter" in query:
        try:
            matches = parse_filter(query["filter"])
        except FilterError as problem:
            raise SiteError(400, str(problem)) from problem
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdecimal()):
        raise SiteError(400, f"Invalid paging: limit must be a whole number, not {limit!r}")
    key, _, direction = query.get("sort", "").partition(":")
    if direction not in ("", "asc", "desc"):
        raise SiteError(400, f"Invalid sort: {direction!r} is neither asc nor desc")
    after_id = query.get("after_id", "")
    if after_id and key:
        raise SiteError(400, "Invalid paging: after_id does not go with sort")
    sort_key = "_id" if key == "id" else key
    return Page(matches, sort_key, direction == "desc", int(limit) or None, after_id)


def _sorted_by(
    fields: Callable[[Item], Mapping[str, Any]], key: str, item: Item
) -> tuple[bool, str]:
    value: Any = fields(item)
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return (value is not None, str(value))
