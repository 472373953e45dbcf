"""Writes into the log what has changed since an earlier report; what is lost, as warnings."""

import logging

from ..text import counted, listed
from .changes import Changes

log = logging.getLogger(__name__)

_MOST_LOSSES = 20  # a line each; a batch of thousands ends in a screen


def log_changes(changes: Changes) -> None:
    """Write how many projects have changed, which these are, and what they have lost."""
    gone, new, renamed = len(changes.gone), len(changes.new), len(changes.renamed)
    found = f"{gone:,} gone, {new:,} new, {renamed:,} renamed or moved"
    fewer = 'contents are not compared, which takes "download snapshots" or "copy to" in both'
    if changes.compared:
        compared = counted(changes.compared, "project")
        fewer = f"of {compared} with contents in both, {len(changes.fewer):,} with fewer"
    log.info("Since the earlier report: %s; %s", found, fewer)
    if changes.new:
        log.info("New: %s", listed([project.described for project in changes.new]))
    if changes.renamed:
        pairs = [f"{before.path} → {now.described}" for before, now in changes.renamed]
        log.info("Renamed or moved: %s", listed(pairs))
    if changes.gone:
        names = listed([project.described for project in changes.gone])
        log.warning("Gone, or no longer visible to you: %s", names)
    for loss in changes.fewer[:_MOST_LOSSES]:
        level = logging.WARNING if loss.is_large else logging.INFO
        log.log(level, "Fewer: %s: %s", loss.project.described, loss.described())
    rest = changes.fewer[_MOST_LOSSES:]
    if rest:
        level = logging.WARNING if rest[0].is_large else logging.INFO
        log.log(level, "Fewer in %s", counted(len(rest), "more project"))
