"""Pages of a list: the query parameters `filter sort limit skip page after_id` of every list call.

Knows no projects and no snapshots, only how a list is narrowed, ordered and cut.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
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
        sort: the keys to sort by, first one first, each with whether it falls.
        limit: how many entries at most; None: all.
        skip: how many to leave out first.
        after_id: only entries whose id comes after this one.
    """

    matches: Predicate | None
    sort: tuple[tuple[str, bool], ...]
    limit: int | None
    skip: int
    after_id: str

    def cut(self, items: Iterable[Item], fields: Callable[[Item], Mapping[str, Any]]) -> list[Item]:
        """Choose the page's entries.

        Args:
            items: the entries by id, those up to `after_id` already left out.
            fields: an entry's document with the types that filters compare.
        """
        matches = self.matches
        if matches is not None:
            items = (item for item in items if matches(fields(item)))
        if self.sort:
            ordered = list(items)
            for key, falling in reversed(self.sort):
                keyed = partial(_sorted_by, fields, key)
                ordered.sort(key=keyed, reverse=falling)
            items = ordered
        return self.slice(items)

    def slice(self, items: Iterable[Item]) -> list[Item]:
        """Choose the page's entries by their place alone."""
        stop = None if self.limit is None else self.skip + self.limit
        return list(islice(items, self.skip, stop))

    def whole(self) -> "Page":
        """Give the list that this is a page of: the same filter and order, from its beginning."""
        return replace(self, limit=None, skip=0, after_id="")


def parse_page(query: Mapping[str, str]) -> Page:
    """Read the parameters of a list call.

    Raises:
        SiteError: a parameter makes no sense (400); the message says which and why.
    """
    matches: Predicate | None = None
    if "filter" in query:
        try:
            matches = parse_filter(query["filter"])
        except FilterError as problem:
            raise SiteError(400, str(problem)) from problem
    limit = _whole_number(query, "limit", DEFAULT_LIMIT)
    skip = _whole_number(query, "skip", 0)
    page = _whole_number(query, "page", 1)
    after_id = query.get("after_id", "")
    if after_id and any(name in query for name in ("sort", "skip", "page")):
        raise SiteError(400, "Invalid paging: after_id goes with neither sort, skip nor page")
    if "page" in query:
        skip += limit * max(0, page - 1)
    return Page(matches, _parse_sort(query.get("sort", "")), limit or None, skip, after_id)


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()):
        raise SiteError(400, f"Invalid paging: {name} must be a whole number, not {text!r}")
    return int(text)


def _parse_sort(text: str) -> tuple[tuple[str, bool], ...]:
    keys = []
    for part in filter(None, text.split(",")):
        key, _, direction = part.partition(":")
        if direction not in ("", "asc", "desc", "1", "-1"):
            raise SiteError(400, f"Invalid sort: {direction!r} is neither asc nor desc")
        keys.append(("_id" if key == "id" else key, direction in ("desc", "-1")))
    return tuple(keys)


def _sorted_by(
    fields: Callable[[Item], Mapping[str, Any]], key: str, item: Item
) -> tuple[bool, str]:
    value: Any = fields(item)
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return (value is not None, str(value))
