"""Pages of a list: the parameters `filter sort limit skip page after_id` of every list call.

Knows no projects and no snapshots, only how a list is narrowed, ordered, cut and written down.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .behaviour import Behaviour
from .filters import FilterError, Predicate, parse_filter
from .protocol import Request, Response, SiteError, json_body

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
        skip: how many entries are left out first.
        after_id: only entries whose id comes after this one.
    """

    matches: Predicate | None
    sort_key: str
    falling: bool
    limit: int | None
    skip: int
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
        end = None if self.limit is None else self.skip + self.limit
        return list(islice(items, self.skip, end))


def parse_page(query: Mapping[str, str], behaviour: Behaviour) -> Page:
    """Read the parameters of a list call.

    Raises:
        SiteError: a parameter is not valid (400, or for a filter what the site answers to such);
            the message says which and why.
    """
    matches: Predicate | None = None
    text = query.get("filter")
    if text or (text is not None and not behaviour.empty_filter_is_none):
        try:
            matches = parse_filter(text, quoted_parents_match=behaviour.quoted_parents_match)
        except FilterError as problem:
            raise SiteError(behaviour.bad_filter_status, str(problem)) from problem
    limit = _number(query, "limit", DEFAULT_LIMIT)
    skip, page = _number(query, "skip", 0), _number(query, "page", 1)
    key, _, direction = query.get("sort", "").partition(":")
    if direction not in ("", "asc", "desc"):
        raise SiteError(400, f"Invalid sort: {direction!r} is neither asc nor desc")
    after_id = query.get("after_id", "")
    if after_id and (key or "skip" in query or "page" in query):
        raise SiteError(400, "Invalid paging: after_id does not go with sort, skip or page")
    skip += max(page - 1, 0) * limit
    sort_key = "_id" if key == "id" else key
    return Page(matches, sort_key, direction == "desc", limit or None, skip, after_id)


def asks_for_counts(request: Request) -> bool:
    """Tell whether the caller wants `{count, total, results}` instead of a bare list."""
    features = request.headers.get("x-accept-feature", "").lower().split(",")
    return "pagination" in (feature.strip() for feature in features)


def list_response(documents: Iterable[bytes], total: int | None = None) -> Response:
    """Answer a list of documents that are written down; with a total, together with counts."""
    chosen = list(documents)
    array = b"[" + b",".join(chosen) + b"]"
    if total is None:
        return json_body(array)
    counts = f'{{"count": {len(chosen)}, "total": {total}, "results": '
    return json_body(counts.encode() + array + b"}")


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise SiteError(400, f"Invalid paging: {name} must be a whole number, not {text!r}")
    return int(text)


def _sorted_by(
    fields: Callable[[Item], Mapping[str, Any]], key: str, item: Item
) -> tuple[bool, str]:
    value: Any = fields(item)
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return (value is not None, str(value))
