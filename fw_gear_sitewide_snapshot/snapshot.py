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
from .errors import BusyError, GoneError, RefusedError, SiteError, UnclearError
from .models import (
    Project,
    Snapshot,
    SnapshotRecord,
    SnapshotStatus,
    StartOrder,
    one_line,
    whole_seconds,
)
from .patience import pause_seconds
from .site import Site
from .workers import Workers

log = logging.getLogger(__name__)

_CREATE_ATTEMPTS = 6  # with the pauses of ``pause_seconds``: about a minute
_PATIENCE_SECONDS = 60.0  # no further attempt is begun after it
_LOOK_PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0)  # a create that was cut off can still come into being
_SETTLE_SECONDS = sum(_LOOK_PAUSES_SECONDS)


class _NotKnownError(Exception):
    """Whether a snapshot was started can't be found out now."""


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


def start_again(order: StartOrder, *, site: Site, clock: Clock, until: float) -> SnapshotRecord:
    """Start one more snapshot; to be called from a worker.

    Args:
        order: What to start.
        site: The site that makes it.
        clock: The time that pauses are measured by.
        until: Monotonic time after which no create is sent.

    Returns:
        The replaced record, as from ``start``.

    Raises:
        TerminatedError: The run is to end.
    """
    if clock.monotonic() >= until:
        return replace(order.record, error="the time was up before it was started again")
    record = _attempt(order, site, clock, clock.monotonic(), until)
    _log_outcome(record)
    return record


def _log_outcome(record: SnapshotRecord, place: str = "") -> None:
    where = f"{place}{record.project.path} ({record.project.id})"
    if record.snapshot_id:
        log.info("%s: snapshot %s is %s", where, record.snapshot_id, record.status)
    else:
        log.info("%s: no snapshot was started: %s", where, record.error)


def _attempt(
    order: StartOrder, site: Site, clock: Clock, begun: float, until: float = math.inf
) -> SnapshotRecord:
    """Carry out one order; whatever the site does ends up in the record."""
    record = order.record
    try:
        if order.verify:
            record = replace(record, project=_looked_up(site, record.project))
        snapshot = _made_before(order, site, clock, begun)
        if snapshot is not None:
            return record.at(snapshot)
        snapshot = _create_once(order, site, clock, until)
        return replace(record.at(snapshot), started=record.started + 1)
    except _NotKnownError as error:
        return replace(record, error=one_line(str(error)))
    except SiteError as error:
        if order.made_since is not None and isinstance(error, BusyError | UnclearError):
            return replace(
                record, error=one_line(f"still not known whether it was started: {error}")
            )
        return record.failed(str(error), site.now())


def _looked_up(site: Site, project: Project) -> Project:
    """The project, if it is there, with the names that a list made by hand may lack."""
    try:
        found = site.project(project.id)
    except GoneError as error:
        raise GoneError(
            f"there is no such project, or you can't see it: {error}", error.status
        ) from None
    return Project(project.id, project.label or found.label, project.group or found.group)


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
    """What to go by when an answer is lost: whose it was, and since when to look."""

    project: Project
    since: datetime
    give_up: float
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
    give_up = min(clock.monotonic() + _PATIENCE_SECONDS, until)
    # Whole seconds: a site may write no finer ``created``, and so earlier than we began.
    lost = _Lost(project, whole_seconds(site.now()), give_up, order.known_id)
    may_exist = False
    for attempt in itertools.count(1):
        try:
            return site.create_snapshot(project.id)
        except SiteError as error:
            problem = error
        may_exist = may_exist or isinstance(problem, UnclearError)
        if may_exist:
            log.warning("%s: %s; looking whether it was started", project.path, problem)
            found = _look_for(lost, site, clock)
            if found is not None:
                log.info("%s: it was: snapshot %s", project.path, found.id)
                return found
        if isinstance(problem, RefusedError):
            raise problem
        pause = pause_seconds(attempt, problem)
        if attempt == _CREATE_ATTEMPTS or clock.monotonic() + pause > give_up:
            raise problem
        log.warning("%s: %s; asking again in %.0f s", project.path, problem, pause)
        clock.sleep(pause)
    raise AssertionError("unreachable")


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
            if look >= looks and clock.monotonic() > lost.give_up:
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
