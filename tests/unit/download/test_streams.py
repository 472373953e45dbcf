"""What a download may bring: a snapshot in any pieces, something else, or too little."""

import hashlib
import re
from collections.abc import Iterator

import pytest

from flywheel_site_simulator import answer_with
from fw_gear_sitewide_snapshot.site.http import Request, Stream, Transport
from tests.support.downloads import Fetching, Impatient
from tests.support.time import FakeClock


class Piecewise(Impatient):
    """A transport whose streams come in pieces of a size, and may take their time."""

    def __init__(
        self, inner: Transport, size: int, clock: FakeClock | None = None, seconds: float = 0.0
    ) -> None:
        super().__init__(inner)
        self.size = size
        self.taken = 0
        self._clock = clock
        self._seconds = seconds

    def stream(self, request: Request) -> Stream:
        stream = self._inner.stream(request)
        stream.chunks = self._pieces(stream.chunks)
        return stream

    def _pieces(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for start in range(0, len(chunk), self.size):
                if self._clock:
                    self._clock.seconds += self._seconds
                piece = chunk[start : start + self.size]
                self.taken += len(piece)
                yield piece


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Jane Doe</html>", "a page"),
        (b"\n\n <!DOCTYPE html>", "a page"),
        (b"\xef\xbb\xbf<?xml ?>", "a page"),
        (b'{"message": "Jane Doe"}', "JSON"),
        (b"[1]", "JSON"),
        (b"PK\x03\x04", "something else"),
        (b"SQLite format 4\0", "something else"),
        (b"\x1f\x8cJane Doe", "something else"),
    ],
)
def test_what_is_no_download_is_refused_at_its_first_bytes(
    fetching: Fetching, body: bytes, kind: str, size: int
) -> None:
    project = fetching.add()
    fetching.fault(answer_with(body + bytes(1 << 20)))
    piecewise = fetching.transport = Piecewise(fetching.transport, size)

    after = fetching.run()

    said = after[project].error
    assert said.startswith("download failed: unexpected response: ")
    assert "Jane" not in said
    if size > 1:
        assert kind in said
    assert piecewise.taken <= 3 * max(16, 4096)


@pytest.mark.parametrize("size", [1, 3, 15, 17])
@pytest.mark.parametrize("is_unpacked", [False, True])
def test_a_snapshot_may_come_in_the_smallest_pieces(
    fetching: Fetching, size: int, is_unpacked: bool
) -> None:
    project = fetching.add()
    fetching.simulated.behaviour.content_encoding = is_unpacked
    fetching.transport = Piecewise(fetching.transport, size)

    content = fetching.run()[project].content

    assert content is not None
    assert content.sha256 == hashlib.sha256(fetching.archived(project)).hexdigest()


@pytest.mark.parametrize("body", [b"", b"\x1f", b"SQLite form"])
def test_a_body_that_ends_before_it_tells_what_it_is_is_refused(
    fetching: Fetching, body: bytes
) -> None:
    project = fetching.add()
    fetching.fault(answer_with(body))

    assert re.search("empty|no gzip file", fetching.run()[project].error)


def test_padding_behind_the_packed_file_is_taken(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.simulated.break_download(project, "nul padding")

    assert fetching.run()[project].content is not None
    assert fetching.archived(project).endswith(b"\0")


@pytest.mark.parametrize(("size", "is_real"), [(1, False), (900, False), (1200, True)])
def test_a_drip_counts_as_broken_off_and_a_slow_download_goes_on(
    fetching: Fetching, size: int, is_real: bool
) -> None:
    project = fetching.add(size=200 << 10)
    fetching.transport = Piecewise(fetching.transport, size, fetching.passed, 1.0)

    after = fetching.run()

    assert (after[project].content is not None) == is_real
    assert fetching.asked(project) == (1 if is_real else 3)
    if not is_real:
        assert "less than 1 KiB a second" in after[project].error
        assert fetching.passed.seconds < 300
