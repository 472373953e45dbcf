"""Room on the disk: what one has reserved no other gets, and nobody waits."""

from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.download.disk_space import DiskSpace, NoRoomError, Reservation

MEBIBYTE = 1 << 20
SPARE = 16 * MEBIBYTE  # stays free, whatever comes
HERE = Path()


@pytest.fixture
def space() -> DiskSpace:
    """Room for 10 MiB, on a disk that nobody fills meanwhile."""
    return DiskSpace(HERE, lambda _: SPARE + 10 * MEBIBYTE)


def test_what_there_is_can_be_reserved_and_no_byte_more(space: DiskSpace) -> None:
    reservation = Reservation(space)

    reservation.reserve(10 * MEBIBYTE, "for it")

    assert reservation.left == 10 * MEBIBYTE
    with pytest.raises(NoRoomError, match=r"^no room for it: 1\.0 MiB more would have to be"):
        reservation.reserve(11 * MEBIBYTE, "for it")


def test_what_one_has_reserved_no_other_gets_before_it_is_released(space: DiskSpace) -> None:
    first, second = Reservation(space), Reservation(space)
    first.reserve(6 * MEBIBYTE, "for the first")

    with pytest.raises(NoRoomError, match=r"2\.0 MiB more"):
        second.reserve(6 * MEBIBYTE, "for the second")

    first.release()
    second.reserve(6 * MEBIBYTE, "for the second")
    assert (first.left, second.left) == (0, 6 * MEBIBYTE)


def test_a_look_reserves_nothing(space: DiskSpace) -> None:
    space.check(10 * MEBIBYTE, "for it")

    Reservation(space).reserve(10 * MEBIBYTE, "for it")
    with pytest.raises(NoRoomError):
        space.check(1, "for it")


def test_who_lacks_room_is_told_how_much_it_needs_with_what_it_has_written(
    space: DiskSpace,
) -> None:
    reservation = Reservation(space)
    reservation.reserve(4 * MEBIBYTE, "for it")
    reservation.consume(4 * MEBIBYTE, "for it")

    with pytest.raises(NoRoomError) as problem:
        reservation.reserve(11 * MEBIBYTE, "to unpack it")

    assert (problem.value.needed, problem.value.purpose) == (15 * MEBIBYTE, "to unpack it")


def test_what_is_written_is_taken_from_what_is_reserved_and_then_reserved_in_steps() -> None:
    reservation = Reservation(DiskSpace(HERE, lambda _: 100 * MEBIBYTE))
    reservation.reserve(3 * MEBIBYTE, "for it")
    reservation.consume(2 * MEBIBYTE, "for it")
    assert reservation.left == MEBIBYTE
    reservation.consume(2 * MEBIBYTE, "for it")
    assert reservation.left == 14 * MEBIBYTE


def test_a_step_is_no_longer_than_there_is_room(space: DiskSpace) -> None:
    reservation = Reservation(space)

    reservation.consume(MEBIBYTE, "for it")

    assert reservation.left == 9 * MEBIBYTE
