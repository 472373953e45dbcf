"""A batch to fetch, by default."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.downloads import Fetching, Impatient, served
from tests.support.time import FakeClock


@pytest.fixture
def fetching(tmp_path: Path, clock: FakeClock) -> Fetching:
    return Fetching(tmp_path, clock)


@pytest.fixture(params=["", "storage", "unpacked"])
def over_http(
    tmp_path: Path, clock: FakeClock, request: pytest.FixtureRequest
) -> Iterator[Fetching]:
    """A site over HTTP; its downloads come from itself, from a storage, or unpacked on the way."""
    fetching = Fetching(tmp_path, clock)
    fetching.simulated.behaviour.content_encoding = request.param == "unpacked"
    with served(fetching, storage=request.param == "storage"):
        fetching.transport = Impatient(fetching.transport)
        yield fetching
