"""Starts snapshots: one for each order, never two; one project's failure is never another's.

A create can't be told from its repetition by the site: it has no body and no idempotency key. So it
is sent again only when the site has certainly not done it, or when the site's own list of the
project's snapshots shows, for some seconds, that there is none.
"""

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .clock import Clock
from .errors import (
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
)
from .models import (
    Project,
    Snapshot,
    SnapshotRecord,
    SnapshotStatus,
    StartOrder,
    one_line,
    whole_seconds,
)
from .patience import Patience
from .site import Site
from .wording import duration
from .workers import Workers

log = logging.getLogger(__name__)

_LOOK_PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0)  # a create that was cut off can still come into being
_SETTLE_SECONDS = sum(_LOOK_PAUSES_SECONDS)
_SILENCE_SECONDS = 600.0  # each project has a minute's patience of its own: 5,000 would take hours


class _NotKnownError(Exception):
    """Whether a snapshot was started can't be found out now: a retry is to look."""


def start(
    orders: Sequence[StartOrder],
    *,
    site: Site,
    workers: Workers,
    clock: Clock,
) -> Iterator[SnapshotRecord]:
    """Start a snapshot for each order, in parallel.

    Args:
        orders: What to start; an empty list yields nothing.
        site: The site that makes them.
        workers: How many at a time.
        clock: The time that pauses are measured by.

    Yields:
        The replaced record of each order, as the answers come: running (or already final) with
        its snapshot's id; ``failed`` with the reason; or, where the site could not be asked
        whether it has started one, as it was, with the reason.

    Raises:
        TerminatedError: The run is to end; what was answered has been yielded.
    """
    begun = clock.monotonic()

    def attempt(order: StartOrder) -> SnapshotRecord:
        return _attempt(order, site, clock, begun)

    for number, record in enumerate(workers.each(attempt, orders), start=1):
        _log_outcome(record, f"[{number}/{len(orders)}] ")
        yield record


def start_again(order: StartOrder, until: float, *, site: Site, clock: Clock) -> SnapshotRecord:
    """Start one more snapshot; to be called from a worker.

    Args:
        order: What to start.
        until: Monotonic time after which no create is sent a second time.
        site: The site that makes it.
        clock: The time that pauses are measured by.

    Returns:
        The replaced record, as from ``start``.

    Raises:
        TerminatedError: The run is to end.
    """
    record = _attempt(order, site, clock, clock.monotonic(), until)
    _log_outcome(record)
    return record


def _log_outcome(record: SnapshotRecord, place: str = "") -> None:
    where = f"{place}{_where(record)}"
    if record.snapshot_id:
        log.info("%s: snapshot %s is %s", where, record.snapshot_id, record.status)
    elif record.status == SnapshotStatus.FAILED:
        log.info("%s: no snapshot was started: %s", where, record.error)
    else:
        log.info("%s: %s", where, record.error)


def _where(record: SnapshotRecord) -> str:
    return f"{record.project.path} ({record.project.id})"


def _attempt(
    order: StartOrder, site: Site, clock: Clock, begun: float, until: float = math.inf
) -> SnapshotRecord:
    """Carry out one order; whatever the site does ends up in the record."""
    record = order.record
    try:
        if site.silent_seconds() > _SILENCE_SECONDS:
            raise ServiceUnavailableError(
                f"the site has answered nothing for {duration(_SILENCE_SECONDS)}"
            )
        project, gone = _looked_up(site, record.project) if order.verify else (record.project, "")
        record = replace(record, project=project)
        snapshot = _made_before(order, site, clock, begun)
    except SiteError as error:
        if order.made_since is None:
            return record.failed(str(error), site.now())
        # Whatever the reason: the row goes on saying since when to look, else that is lost.
        return replace(record, error=one_line(f"still not known whether it was started: {error}"))
    if snapshot is not None:
        return record.at(snapshot)
    if gone:
        return record.failed(gone, site.now())
    log.info("%s: starting a snapshot", _where(record))
    try:
        snapshot = _create_once(order, site, clock, until)
    except _NotKnownError as error:
        return replace(record, error=one_line(str(error)))
    except SiteError as error:
        return record.failed(str(error), site.now())
    return replace(record.at(snapshot), started=record.started + 1)


def _looked_up(site: Site, project: Project) -> tuple[Project, str]:
    """The project, with the names that a list made by hand may lack; or that it is gone."""
    try:
        found = site.project(project.id)
    except NotFoundError as error:
        return project, f"there is no such project, or you can't see it: {error}"
    return Project(project.id, project.label or found.label, project.group or found.group), ""


def _made_before(order: StartOrder, site: Site, clock: Clock, begun: float) -> Snapshot | None:
    """The snapshot that a cut-off run has started, if any.

    Its create may have been in flight when the run was cut off, so a "no" counts only once this
    run is some seconds old.
    """
    if order.made_since is None:
        return None
    since = order.made_since

    def look() -> Snapshot | None:
        return _choose(site.snapshots_since(order.record.project.id, since), order.known_id)

    found = site.patiently(look)
    settled = begun + _SETTLE_SECONDS
    if not _is_settled(found) and clock.monotonic() < settled:
        clock.sleep(settled - clock.monotonic())
        found = site.patiently(look)
    if found is not None:
        log.info("%s: had been started already: %s", order.record.project.path, found.id)
    return found


@dataclass(frozen=True, slots=True)
class _Lost:
    """What to go by when an answer is lost: whose it was, since when to look, and how long."""

    project: Project
    since: datetime
    patience: Patience
    known_id: str


def _create_once(order: StartOrder, site: Site, clock: Clock, until: float) -> Snapshot:
    """Have one snapshot made, however often its answers are lost.

    Returns:
        The snapshot, answered or found again.

    Raises:
        SiteError: The site would not, or could not in about a minute; none was seen to be made.
        _NotKnownError: An answer was lost, and the site can't be asked what became of it.
    """
    project = order.record.project
    patience = Patience(clock, until=until)
    # Whole seconds: a site may write no finer ``created``, and so earlier than we began.
    lost = _Lost(project, whole_seconds(site.now()), patience, order.known_id)
    may_exist = False
    while True:
        try:
            return site.create_snapshot(project.id)
        except SiteError as error:
            problem = error
        may_exist = may_exist or isinstance(problem, OutcomeUnknownError)
        if may_exist:
            log.warning("%s: %s; looking whether it was started", project.path, problem)
            found = _look_for(lost, site, clock)
            if found is not None:
                log.info("%s: it was: snapshot %s", project.path, found.id)
                return found
        pause = patience.pause(problem)
        if isinstance(problem, RejectedError) or math.isinf(pause):
            raise problem
        log.warning("%s: %s; asking again in %.0f s", project.path, problem, pause)
        clock.sleep(pause)


def _look_for(lost: _Lost, site: Site, clock: Clock) -> Snapshot | None:
    """Look for a snapshot whose create was not answered; None is a "no" that can be relied on.

    Raises:
        _NotKnownError: The site had its time, and can't be asked.
    """
    looks = len(_LOOK_PAUSES_SECONDS)
    pauses = itertools.chain(_LOOK_PAUSES_SECONDS, itertools.repeat(_LOOK_PAUSES_SECONDS[-1]))
    for look, pause in enumerate(pauses, start=1):
        clock.sleep(pause)
        try:
            found = _choose(site.snapshots_since(lost.project.id, lost.since), lost.known_id)
        except SiteError as error:
            if look >= looks and lost.patience.is_over:
                raise _NotKnownError(
                    f"not known whether a snapshot was started, a retry will look for it: {error}"
                ) from None
        else:
            if _is_settled(found) or look >= looks:
                return found
    raise AssertionError("unreachable")


def _is_settled(found: Snapshot | None) -> bool:
    """Whether to look no further: a failed one may be an earlier attempt's, in the same second."""
    return found is not None and found.status != SnapshotStatus.FAILED


def _choose(snapshots: Sequence[Snapshot], known_id: str) -> Snapshot | None:
    """Of snapshots made since a moment, oldest first, the one to take: a failed one last."""
    ours = [snapshot for snapshot in snapshots if snapshot.id != known_id]
    return next(filter(_is_settled, ours), ours[0] if ours else None)
