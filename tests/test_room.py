"""Room on the disk: what one was promised no other gets, and who waits for whom."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.room import NoRoomError, Room

from .support.time import FakeClock

MEBIBYTE = 1 << 20
SPARE = 16 * MEBIBYTE  # stays free, whatever comes
HERE = Path()


class GivingClock(FakeClock):
    """A clock during whose sleep somebody else gives room back."""

    def __init__(self) -> None:
        super().__init__()
        self.give_back: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.give_back()


@pytest.fixture
def giving() -> GivingClock:
    return GivingClock()


@pytest.fixture
def room(giving: GivingClock) -> Room:
    """Room for 10 MiB, on a disk that nobody fills meanwhile."""
    return Room(HERE, giving, lambda _: SPARE + 10 * MEBIBYTE)


def test_what_there_is_can_be_claimed_and_no_byte_more(room: Room) -> None:
    with room.claim() as claim:
        claim.need(10 * MEBIBYTE, "for it")
        assert claim.left == 10 * MEBIBYTE
        with pytest.raises(NoRoomError, match=r"^no room for it: 1\.0 MiB more would have to be"):
            claim.need(11 * MEBIBYTE, "for it")


def test_one_alone_that_has_no_room_need_not_come_again(room: Room) -> None:
    with room.claim() as claim, pytest.raises(NoRoomError) as problem:
        claim.need(11 * MEBIBYTE, "for it")

    assert not problem.value.for_now


def test_another_s_room_is_waited_for(room: Room, giving: GivingClock) -> None:
    with room.claim() as first, room.claim() as second:
        first.need(6 * MEBIBYTE, "for the first")
        giving.give_back = first.release

        second.need(6 * MEBIBYTE, "for the second")

    assert (first.left, second.left) == (0, 6 * MEBIBYTE)
    assert giving.seconds > 0


def test_where_all_wait_one_gives_way_for_now(room: Room) -> None:
    with room.claim() as first, room.claim() as second:
        first.need(6 * MEBIBYTE, "for the first")
        first.waiting = True
        with pytest.raises(NoRoomError) as problem:
            second.need(6 * MEBIBYTE, "for the second")

    assert problem.value.for_now


def test_what_is_written_is_taken_from_the_claim_and_then_claimed_in_steps() -> None:
    room = Room(HERE, FakeClock(), lambda _: 100 * MEBIBYTE)
    with room.claim() as claim:
        claim.need(3 * MEBIBYTE, "for it")
        claim.take(2 * MEBIBYTE, "for it")
        assert claim.left == MEBIBYTE
        claim.take(2 * MEBIBYTE, "for it")
        assert claim.left == 14 * MEBIBYTE


def test_at_its_end_a_claim_s_room_is_the_others(room: Room, giving: GivingClock) -> None:
    with room.claim() as first:
        first.need(10 * MEBIBYTE, "for the first")
    room.wait_until_unclaimed()
    with room.claim() as second:
        second.need(10 * MEBIBYTE, "for the second")

    assert giving.seconds == 0
