r"""The finder's filter grammar: from the text of a filter to a test on a document.

Clauses joined by commas must all hold; `\,` is a comma inside a value. A clause is key, operator,
value. Nothing here knows what a project is.
"""

import functools
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .identifiers import Identifier, is_identifier

Document = Mapping[str, Any]
Predicate = Callable[[Document], bool]

OPERATORS = ("<=", ">=", "!=", "=~", "<", "=", ">")

_CLAUSE = re.compile(r"(?P<key>.*?)(?P<operator><=|>=|!=|=~|<|=|>)(?P<value>.*)", re.DOTALL)
_SEPARATOR = re.compile(r"(?<!\\),")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")
_ALIASES = {"id": "_id", "group._id": "group"}
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class FilterError(ValueError):
    """A filter that the site does not take; the message says why."""


@functools.lru_cache(maxsize=256)
def parse_filter(text: str, *, quoted_parents_match: bool = True) -> Predicate:
    """Turn a filter into a test on documents.

    Args:
        text: the filter as it was sent.
        quoted_parents_match: whether a quoted value of `group` or `parents.…` is found.

    Returns:
        A function that says whether a document matches. In the document, ids are `Identifier`s
        and times are aware `datetime`s.

    Raises:
        FilterError: the filter is empty, a clause has no key or no operator, or a regular
            expression does not compile.

    >>> parse_filter("group=neuro,label=~-accepted$")({"group": "neuro", "label": "A-accepted"})
    True
    """
    if not text:
        raise FilterError("Invalid filter: the filter is empty")
    clauses = [clause.replace("\\,", ",") for clause in _SEPARATOR.split(text)]
    tests = [_parse_clause(clause, quoted_parents_match) for clause in clauses]
    if len(tests) == 1:
        return tests[0]
    return lambda document: all(test(document) for test in tests)


def parse_value(text: str) -> Any:
    """Give the value of a clause the type that the site gives it.

    >>> parse_value('"2024"'), parse_value("2024"), parse_value("null"), parse_value("A 1")
    ('2024', 2024, None, 'A 1')
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    if is_identifier(text):
        return Identifier(text.lower())
    if _DATE.fullmatch(text):
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            return text
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    return text


def _parse_clause(clause: str, quoted_parents_match: bool) -> Predicate:  # noqa: FBT001 - a knob
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise FilterError(
            f"Invalid filter: {clause!r} has no operator (one of {' '.join(OPERATORS)})"
        )
    key, sign, value = match["key"], match["operator"], match["value"]
    if not key:
        raise FilterError(f"Invalid filter: {clause!r} has no key before {sign!r}")
    path = tuple(_ALIASES.get(key, key).split("."))
    holds = _pattern_test(value) if sign == "=~" else _comparison(sign, parse_value(value))
    if path[0] in ("group", "parents") and value.startswith('"') and not quoted_parents_match:
        holds = _nothing

    def test(document: Document) -> bool:
        found = _look_up(document, path)
        items = found if isinstance(found, list | tuple) else (found,)
        return any(map(holds, items)) != (sign == "!=")

    return test


def _pattern_test(pattern: str) -> Callable[[Any], bool]:
    try:
        search = re.compile(pattern).search
    except re.error as problem:
        raise FilterError(
            f"Invalid filter: {pattern!r} is no regular expression: {problem}"
        ) from problem
    return lambda item: type(item) is str and search(item) is not None


def _comparison(sign: str, wanted: Any) -> Callable[[Any], bool]:
    """Compare values of one kind only: others are neither equal nor ordered."""
    compare: Callable[[Any, Any], bool] = _ORDERS.get(sign, operator.eq)
    if wanted is None and sign in _ORDERS:
        return _nothing
    return lambda item: _kind(item) == _kind(wanted) and compare(item, wanted)


def _nothing(_: Any) -> bool:
    return False


def _look_up(document: Document, path: tuple[str, ...]) -> Any:
    """Find a value; what is missing is null."""
    value: Any = document
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)
