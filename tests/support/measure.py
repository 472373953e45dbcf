"""What coverage looks at."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing() -> Iterator[None]:
    """Have coverage look away from many examples, or from large ones: it would double their time.

    What they reach is reached, and measured, in other tests too.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
