"""What has changed since an earlier batch: projects that are gone, new, renamed, or hold less."""

from dataclasses import dataclass

from ..models import Project


@dataclass(frozen=True, slots=True)
class Loss:
    """A project whose fetched snapshot holds less than the earlier one did."""

    project: Project
    counts: tuple[tuple[str, int, int], ...]  # what has become fewer: its name, before, now
    share: float  # the largest part of one of these that is lost, 0 to 1


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed; each in the report's order, the losses with the largest first."""

    gone: tuple[Project, ...] = ()  # in the earlier report alone
    new: tuple[Project, ...] = ()  # in this one alone
    renamed: tuple[tuple[Project, Project], ...] = ()  # before and now
    fewer: tuple[Loss, ...] = ()

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Those that have lost a tenth and more of something."""
        return tuple(loss for loss in self.fewer if loss.share >= 0.1)

    @property
    def is_loss(self) -> bool:
        """Whether a person has to look: something is gone, or much fewer."""
        return bool(self.gone or self.losses)
