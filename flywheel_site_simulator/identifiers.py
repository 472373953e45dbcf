"""Ids as the site's database makes them: 24 hex digits that grow with time.

The same seed and the same course of events make the same ids. No clock and no global random.
"""

import random
import re

_IDENTIFIER = re.compile(r"[0-9a-fA-F]{24}")


class Identifier(str):
    """An id inside a document: text to look at, but a type of its own to a filter."""

    __slots__ = ()


def is_identifier(text: str) -> bool:
    """Tell whether a text is 24 hex digits.

    >>> is_identifier("65b8f0c2a1b2c3d4e5f60718"), is_identifier("../groups")
    (True, False)
    """
    return _IDENTIFIER.fullmatch(text) is not None


class IdentifierFactory:
    """Makes ids that are unique, and larger than every one of an earlier second."""

    def __init__(self, source: random.Random) -> None:
        """Take the site's part of the ids, and where they begin to count, from a random source."""
        self._machine = f"{source.getrandbits(40):010x}"
        self._count = source.getrandbits(20)

    def make(self, unix_seconds: float) -> Identifier:
        """Make the next id; its first eight digits are the given time's whole seconds."""
        self._count = (self._count + 1) % 2**24
        seconds = min(max(int(unix_seconds), 0), 2**32 - 1)
        return Identifier(f"{seconds:08x}{self._machine}{self._count:06x}")
