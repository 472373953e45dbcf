"""The calls that the gear makes to a Flywheel site, with values for arguments and results.

Their sources are the SDK's own finder and the site's Snapshot service, which is at the root of the
site, takes no body, and lists snapshots by project only.

The API key and the list of projects are asked for again while the site can't answer. The calls for
one project are made once, in any thread, and return a CallResult: ``snapshot`` decides what follows
from it, and ``poller`` when. Only ``download`` returns a stream, or raises:
``fetch`` decides on that.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from ..clock import Clock
from ..errors import OutcomeUnknownError, RejectedError, SiteError, SiteUnusableError
from ..models import Project, Snapshot, SnapshotList
from ..text import one_line
from .call_result import CallResult, Value
from .http import Request, Response, Stream, Transport
from .job import Job, find_first_attempt, parse_job, parse_origin
from .paging import PAGE, PAGE_BYTES, all_pages
from .parse import (
    parse_created,
    parse_document,
    parse_project,
    parse_projects,
    parse_snapshot,
    parse_snapshots,
)
from .retry import RETRY_SECONDS, call_with_retries
from .site_clock import SiteClock

log = logging.getLogger(__name__)

QUICK_SECONDS = 10.0  # for calls that are repeated anyway: one that is slow holds others up
_PROBE = Request("GET", "/api/auth/status", seconds=10.0, connect_seconds=6.0)
_SELF = Request("GET", "/api/users/self", seconds=QUICK_SECONDS)
_CLOCKS_DIFFER_SECONDS = 5.0  # the site's and this machine's; what a clock that is set stays within
_PROBE_RETRY_SECONDS = 30.0  # a person waits for the first response
_HIDDEN_PROJECTS_SECONDS = 60.0  # nobody waits longer to learn which projects ALL leaves out

_PROJECTS = "/api/projects"
_SNAPSHOTS = "/snapshot/projects/{project}/snapshots"


class Site:
    """A Flywheel site; ``run`` makes one call, and raises TerminatedError if the run is to end.

    Attributes:
        job_id: Of the job that the API key is for; empty where it is a person's, or not asked yet.
        user: Whose key it is, or who has launched the job; empty where the site doesn't say.
        attempt: Of the job, from 1; 0 where the site doesn't say.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        run: Callable[[Callable[[], CallResult[object]]], CallResult[object]] = lambda call: call(),
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._run = run
        self.clock = SiteClock(clock.now(), clock.monotonic())
        self.job_id = self.user = ""
        self.attempt = 0

    def now(self) -> datetime:
        """Return the time by the site's clock, never ahead of it and up to a second late."""
        return self.clock.at(self._clock.monotonic())

    def observe(self, result: CallResult[Value]) -> Value | SiteError:
        """Set the site's clock by a call's result, and return the result's value."""
        if result.date is not None:
            is_cached, is_service = result.age > 0, result.is_service
            self.clock.observe(
                result.date, result.received, is_service=is_service, is_cached=is_cached
            )
        return result.value

    # Calls from the main thread, with retries

    def check(self) -> None:
        """Check that the site can be reached and takes the API key; learn whose it is.

        Raises:
            SiteUnusableError: It doesn't; or it can't be reached, after half a minute at the least.
        """
        hint = "is the host in the API key a Flywheel site?"
        try:
            document = self._retried(_PROBE, parse_document, _PROBE_RETRY_SECONDS)
        except RejectedError as error:
            if error.status in {401, 403}:
                hint = "the API key is not valid on this site, or no longer"
            raise SiteUnusableError(f"{error} ({hint})") from None
        except SiteError as error:
            message = f"{error} ({hint})" if error.status == 404 else str(error)
            raise SiteUnusableError(f"the site can't be used: {message}") from None
        if abs((self.now() - self._clock.now()).total_seconds()) > _CLOCKS_DIFFER_SECONDS:
            # One wrong date would decide since when snapshots are wanted: of three the median does.
            # Of another address, for which no cache can have kept the same answer.
            for _ in range(2):
                self.observe(self._run(lambda: self._call(_SELF, parse_document)))
        kind, owner = parse_origin(document)
        self.job_id = owner if kind == "job" else ""
        self.user = owner if kind == "user" else ""

    def find_first_attempt(self, job_id: str) -> Job | None:
        """Find the first attempt of a job; None where it is the first, or the site doesn't say.

        Raises:
            SiteUnusableError: The site can't be asked, so that an earlier attempt's snapshots might
                all be made again.
        """

        def ask(identifier: str) -> Job:
            request = replace(_PROBE, path="/api/jobs/{job}/detail", parameters={"job": identifier})
            return self._retried(request, lambda data: parse_job(data, identifier))

        if not job_id:
            log.info("Taken for a first attempt, since the job's id is not known")
            return None
        try:
            job = ask(job_id)
            self.user, self.attempt = job.user or self.user, job.attempt
            first = find_first_attempt(ask, job)
        except RejectedError as error:
            log.info("Taken for a first attempt, since the site does not tell: %s", error)
            return None
        except SiteError as error:
            words = "the site can't be asked whether the job was started again"
            hint = "once it can, press the job's Retry button"
            raise SiteUnusableError(f"{words}: {error} ({hint})") from None
        if first and first.began:
            words = "Attempt %d of job %s, which began %s: what was made since then is taken"
            log.info(words, job.attempt, one_line(first.id), first.began.isoformat(" ", "seconds"))
        return first

    def find_projects(self, project_filter: str | None) -> list[Project]:
        """Find the projects that a filter selects, in the order of their ids.

        The filter is in the finder's grammar; None is for all that the caller is a member of.

        Raises:
            SiteUnusableError: The site refuses the filter (with its message), can't answer, or
                lists fewer projects than it says that there are.
        """
        query = {"limit": str(PAGE)}
        if project_filter is not None:
            query["filter"] = project_filter
        request = Request("GET", _PROJECTS, query=query, max_bytes=PAGE_BYTES)
        try:
            return all_pages(request, lambda page: self._retried(page, parse_projects))
        except RejectedError as error:
            what = "to list projects" if project_filter is None else f"the filter {project_filter}"
            raise SiteUnusableError(f"the site refuses {what}: {error}") from None
        except SiteError as error:
            raise SiteUnusableError(f"the projects can't be listed: {error}") from None

    def _retried(
        self, request: Request, parse: Callable[[object], Value], seconds: float = RETRY_SECONDS
    ) -> Value:
        def once() -> Value:
            value = self.observe(self._run(lambda: self._call(request, parse)))
            if isinstance(value, SiteError):
                raise value
            return value  # type: ignore[return-value]  # what parse has returned

        return call_with_retries(once, self._clock, seconds)

    # Calls for one project, from any thread, without retries

    def project(self, project_id: str) -> CallResult[Project]:
        """Look one project up; NotFoundError: there is no such project."""
        request = Request("GET", "/api/projects/{project}", {"project": project_id})
        return self._call(request, lambda data: parse_project(data, project_id))

    def create_snapshot(self, project_id: str) -> CallResult[Snapshot]:
        """Start a snapshot. Succeeds even where there is no such project."""
        return self._call(Request("POST", _SNAPSHOTS, {"project": project_id}), parse_created)

    def snapshot(self, project_id: str, snapshot_id: str) -> CallResult[Snapshot]:
        """Poll a snapshot; NotFoundError: there is no such snapshot, or no longer."""
        parameters = {"project": project_id, "snapshot": snapshot_id}
        path = _SNAPSHOTS + "/{snapshot}/detail"
        request = Request("GET", path, parameters, seconds=QUICK_SECONDS)
        return self._call(request, lambda data: parse_snapshot(data, snapshot_id))

    def snapshots(self, project_id: str) -> CallResult[SnapshotList]:
        """List the project's snapshots, only the newest ones where there are very many."""
        query = {"sort": "created:desc", "limit": str(PAGE)}
        request = Request("GET", _SNAPSHOTS, {"project": project_id}, query, seconds=QUICK_SECONDS)
        return self._call(request, lambda data: parse_snapshots(data, PAGE))

    def download(self, project_id: str, snapshot_id: str) -> Stream:
        """Open a snapshot's file, a gzip-compressed SQLite database; the caller closes the stream.

        Raises:
            NotFoundError: There is no such snapshot, or no longer.
            SiteError: The site refuses, or can't answer. The stream's chunks can raise it too.
        """
        parameters = {"project": project_id, "snapshot": snapshot_id}
        return self._transport.stream(Request("GET", _SNAPSHOTS + "/{snapshot}", parameters))

    def hidden_projects(self, visible: Collection[str]) -> list[Project] | None:
        """Find the site's projects that are not ``visible``, which holds ids.

        Asks for each page once, and not for long. None where the caller is no site administrator,
        or the site doesn't answer.
        """
        until = self._clock.monotonic() + _HIDDEN_PROJECTS_SECONDS

        def ask(request: Request, parse: Callable[[object], Value]) -> Value:
            if self._clock.monotonic() > until:
                raise OutcomeUnknownError(f"no answer within {_HIDDEN_PROJECTS_SECONDS:g} s")
            return parse(self._transport.send(request).data)

        query = {"limit": str(PAGE), "exhaustive": "true"}
        first_page = replace(_SELF, path=_PROJECTS, query=query, max_bytes=PAGE_BYTES)
        try:
            roles = ask(_SELF, parse_document).get("roles")
            if not isinstance(roles, list) or "site_admin" not in roles:
                return None
            projects = all_pages(first_page, lambda page: ask(page, parse_projects))
        except SiteError as error:
            log.info("It is not known whether there are projects that you can't see: %s", error)
            return None
        return [project for project in projects if project.id not in visible]

    def _call(self, request: Request, parse: Callable[[object], Value]) -> CallResult[Value]:
        """Send a request once. Safe in any thread."""
        began, response = self._clock.monotonic(), Response(None)
        value: Value | SiteError
        try:
            response = self._transport.send(request)
            value = parse(response.data)
        except SiteError as error:
            value = error
        is_service = request.path.startswith("/snapshot/")
        ended = self._clock.monotonic()
        return CallResult(value, response.date, is_service, ended, ended - began, response.age)
