"""Copies while the object store does not answer, for a while or for good."""

import errno
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from typing_extensions import override

from fw_gear_sitewide_snapshot.clock import Clock
from fw_gear_sitewide_snapshot.download.copies import MOST_FAILURES
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.errors import StoreError
from tests.support.copying import Copying
from tests.support.downloads import Fetching

NOT_TRIED = "copy failed: not tried, since 40 attempts in a row had failed"


@pytest.fixture
def copying(fetching: Fetching, tmp_path: Path) -> Copying:
    return Copying(fetching, f"file://{tmp_path}/p", {})


class FailingStore(ObjectStore):
    """A folder that answers with an error for so many seconds, each time after a while."""

    error: Exception = StoreError("the store says 503 Slow Down", may_pass=True)

    def __init__(
        self, clock: Clock, folder: Path, *, seconds: float = math.inf, answer_seconds: float = 0
    ) -> None:
        super().__init__(f"file://{folder}", {})
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._answer_seconds = answer_seconds
        self.failed = 0

    @override
    def size(self, key: str) -> int | None:
        self._fail()
        return super().size(key)

    @override
    def put_parts(self, key: str, parts: Iterable[bytes], size: int) -> None:
        self._fail()
        super().put_parts(key, parts, size)

    def _fail(self) -> None:
        if self._clock.monotonic() < self._until:
            self.failed += 1
            self._clock.sleep(self._answer_seconds)
            raise self.error


def test_a_file_that_is_archived_is_kept_whatever_becomes_of_its_copy(
    copying: Copying, tmp_path: Path
) -> None:
    project = copying.fetching.add()
    store = copying.use(FailingStore(copying.fetching.clock, tmp_path / "p"))
    store.error = OSError(errno.EIO, "Input/output error")

    after = copying.run(is_archived=True)[project]

    assert after.error == "copy failed: Input/output error"
    assert after.content
    assert any("neuro" in name for name in copying.fetching.files)


def test_a_store_that_is_down_for_less_than_a_minute_costs_no_copy(
    copying: Copying, tmp_path: Path
) -> None:
    project = copying.fetching.add()
    copying.use(FailingStore(copying.fetching.clock, tmp_path / "p", seconds=50))

    assert copying.run()[project].copied_to


def test_a_store_that_was_down_before_the_download_may_be_down_again_after_it(
    copying: Copying, tmp_path: Path
) -> None:
    class FailingAgain(FailingStore):
        is_again = False

        @override
        def put_parts(self, key: str, parts: Iterable[bytes], size: int) -> None:
            if not self.is_again:
                self.is_again = True
                self._clock.sleep(3600)
                self._until = self._clock.monotonic() + 30
            super().put_parts(key, parts, size)

    project = copying.fetching.add()
    copying.use(FailingAgain(copying.fetching.clock, tmp_path / "p", seconds=30))

    assert copying.run()[project].copied_to


def test_a_store_that_falls_silent_is_not_asked_for_each_of_hundreds(
    copying: Copying, tmp_path: Path
) -> None:
    for _ in range(300):
        copying.fetching.add()
    store = FailingStore(copying.fetching.clock, tmp_path / "p", answer_seconds=60)
    copying.use(store)

    after = copying.run()

    assert store.failed <= 50
    errors = Counter(row.error for row in after.values())
    assert errors.keys() == {"copy failed: the store says 503 Slow Down", NOT_TRIED}
    assert errors[NOT_TRIED] > 250


def test_a_store_that_is_down_costs_the_archive_nothing(copying: Copying, tmp_path: Path) -> None:
    for _ in range(60):
        copying.fetching.add()
    copying.use(FailingStore(copying.fetching.clock, tmp_path / "p"))

    after = copying.run(is_archived=True)

    assert all(row.content for row in after.values())
    assert {row.error for row in after.values()} >= {NOT_TRIED}


def test_a_store_that_is_back_gets_copies_again_and_is_asked_once_a_minute_until_then(
    copying: Copying, tmp_path: Path
) -> None:
    clock = copying.fetching.clock
    store = copying.use(FailingStore(clock, tmp_path / "p", seconds=200))
    copying.copies.failures = MOST_FAILURES + 1
    errors = []
    for seconds in (0, 50, 11, 50, 11, 80, 0):
        clock.sleep(seconds)
        project = copying.fetching.add()
        errors.append(copying.run(copying.fetching.records[-1:])[project].error)

    said = "copy failed: the store says 503 Slow Down"
    assert errors == [said, NOT_TRIED, said, NOT_TRIED, said, "", ""]
    assert store.failed == 3
