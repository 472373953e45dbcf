"""What has changed since an earlier batch: projects that are gone, new, renamed, or hold less."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..models import Project, SnapshotRecord, report_order

_COUNTED = ("subjects", "sessions", "acquisitions", "files")
_LARGE_LOSS = 0.1  # of something: a person has to look


@dataclass(frozen=True, slots=True)
class Loss:
    """A project whose fetched snapshot holds less than the earlier one did."""

    project: Project
    counts: tuple[tuple[str, int, int], ...]  # what has become fewer: its name, before, now
    share: float  # the largest part of one of these that is lost, 0 to 1

    @property
    def is_large(self) -> bool:
        """Whether a tenth and more of something is lost."""
        return self.share >= _LARGE_LOSS

    def described(self) -> str:
        """Say what has become fewer: ``3 subjects of 9 (66 % fewer), 5 files of 10 (50 % fewer)``.

        Percents are rounded down: 100 % only where nothing is left.
        """
        return ", ".join(
            f"{now:,} {name} of {before:,} ({_percent(before, now)} % fewer)"
            for name, before, now in self.counts
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed; each in the report's order, the losses with the largest first."""

    gone: tuple[Project, ...] = ()  # in the earlier report alone
    new: tuple[Project, ...] = ()  # in this one alone
    renamed: tuple[tuple[Project, Project], ...] = ()  # before and now
    fewer: tuple[Loss, ...] = ()
    compared: int = 0  # of how many projects the contents are known in both

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Those that have lost a tenth and more of something."""
        return tuple(loss for loss in self.fewer if loss.is_large)

    @property
    def is_loss(self) -> bool:
        """Whether a person has to look: something is gone, or much fewer."""
        return bool(self.gone or self.losses)


def compare(previous: Iterable[SnapshotRecord], records: Iterable[SnapshotRecord]) -> Changes:
    """Compare a batch with an earlier one's report, by the projects' ids.

    A project is gone if it has a row in the earlier report and none in this batch. So both should
    be of the same filter: what a narrower one leaves out can't be told from what is gone. Contents
    are compared where both rows have them.
    """
    before = {row.project.id: row for row in sorted(previous, key=report_order)}
    now = {row.project.id: row for row in sorted(records, key=report_order)}
    both = [(before[identifier], row) for identifier, row in now.items() if identifier in before]
    fewer = [loss for old, new in both if (loss := _loss(old, new))]
    return Changes(
        gone=tuple(row.project for identifier, row in before.items() if identifier not in now),
        new=tuple(row.project for identifier, row in now.items() if identifier not in before),
        renamed=tuple(
            (old.project, new.project) for old, new in both if _is_other(old.project, new.project)
        ),
        fewer=tuple(sorted(fewer, key=lambda loss: -loss.share)),  # stable: else as the report
        compared=sum(bool(old.content and new.content) for old, new in both),
    )


def _percent(before: int, now: int) -> str:
    lost = 100 * (before - now) // before
    return str(lost) if lost else "less than 1"


def _is_other(before: Project, now: Project) -> bool:
    """Say whether the label or the group has changed; an empty cell says nothing of either."""
    pairs = (before.label, now.label), (before.group, now.group)
    return any(old and new and old != new for old, new in pairs)


def _loss(before: SnapshotRecord, now: SnapshotRecord) -> Loss | None:
    if not (before.content and now.content):
        return None
    pairs = ((n, getattr(before.content, n), getattr(now.content, n)) for n in _COUNTED)
    counts = tuple((name, old, new) for name, old, new in pairs if new < old)
    if not counts:
        return None
    return Loss(now.project, counts, max((old - new) / old for _, old, new in counts))
