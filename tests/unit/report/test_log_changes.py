"""What the log says of the changes since an earlier report."""

import logging

import pytest

from fw_gear_sitewide_snapshot.models import Project
from fw_gear_sitewide_snapshot.report.changes import Changes, Loss
from fw_gear_sitewide_snapshot.report.log_changes import log_changes


def project(number: int, label: str = "Study") -> Project:
    return Project(f"{number:024x}", label, "neuro")


def loss(number: int, files: int) -> Loss:
    return Loss(project(number), (("files", 1000, files),), (1000 - files) / 1000)


def logged(changes: Changes, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.INFO):
        log_changes(changes)
    return [f"{record.levelname} {record.message}" for record in caplog.records]


def test_nothing_has_changed_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(Changes(compared=3), caplog) == [
        "INFO Since the earlier report: 0 gone, 0 new, 0 renamed or moved; "
        "of 3 projects with contents in both, 0 with fewer"
    ]


def test_contents_that_were_not_compared_are_not_said_to_be_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    [line] = logged(Changes(), caplog)

    assert line.endswith('not compared, which takes "download snapshots" or "copy to" in both')


def test_what_is_lost_is_a_warning_and_the_rest_is_told(caplog: pytest.LogCaptureFixture) -> None:
    changes = Changes(
        gone=(project(1, "Old"),),
        new=(project(2, "New"),),
        renamed=((project(3, "Before"), project(3, "Now")),),
        fewer=(loss(4, 10), loss(5, 990)),
        compared=9,
    )

    first, *rest = logged(changes, caplog)

    assert "1 gone, 1 new, 1 renamed or moved; of 9 projects with contents in both, 2" in first
    assert rest == [
        f"INFO New: neuro/New ({2:024x})",
        f"INFO Renamed or moved: neuro/Before → neuro/Now ({3:024x})",
        f"WARNING Gone, or no longer visible to you: neuro/Old ({1:024x})",
        f"WARNING Fewer: neuro/Study ({4:024x}): 10 files of 1,000 (99 % fewer)",
        f"INFO Fewer: neuro/Study ({5:024x}): 990 files of 1,000 (1 % fewer)",
    ]


@pytest.mark.parametrize(("files", "level"), [(500, "WARNING"), (990, "INFO")])
def test_a_batch_of_thousands_ends_in_a_screen(
    caplog: pytest.LogCaptureFixture, files: int, level: str
) -> None:
    many = tuple(project(number) for number in range(5000))
    fewer = tuple(loss(number, files) for number in range(5000))

    lines = logged(Changes(many, many, tuple(zip(many, many, strict=True)), fewer, 5000), caplog)

    assert len(lines) == 1 + 3 + 20 + 1
    assert [line.endswith(" and 4,980 more") for line in lines[1:4]] == [True] * 3
    assert lines[1].count("neuro/Study") == 20
    assert lines[-1] == f"{level} Fewer in 4,980 more projects"
