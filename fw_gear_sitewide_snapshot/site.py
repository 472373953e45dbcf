"""What the gear asks of a Flywheel site, in the gear's words.

Reading is repeated while the site can't answer; starting a snapshot never is (see ``snapshot``).
The sources for the calls are the SDK's own finder and the site's Snapshot service, which is at the
root of the site, takes no body, and lists snapshots by project only.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from .answers import document_in, project_in, projects_in, snapshot_in, snapshots_in
from .calls import Question, Stream, Transport, stream_in
from .clock import Clock
from .errors import (
    OutcomeUnknownError,
    RejectedError,
    ServiceUnavailableError,
    SiteError,
    SiteUnusableError,
)
from .models import Project, Snapshot
from .patience import Patience, patiently
from .throttle import Throttle

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_PAGE = 250  # projects a page: what the SDK's finder asks for
_HELLO_PATIENCE_SECONDS = 18.0  # a person waits for the first answer: half a minute in all
_HELLO_CONNECT_SECONDS = 6.0
_HELLO_READ_SECONDS = 10.0
_QUICK_READ_SECONDS = 10.0  # for what is asked again anyway: one that hangs holds others up

_TOO_MANY_REQUESTS = 429
_SITE_ADMIN = "site_admin"
_PROJECTS = "/api/projects"
_SNAPSHOTS = "/snapshot/projects/{project}/snapshots"


class Site:
    """A Flywheel site.

    Args:
        transport: Carries single requests.
        clock: The time that pauses are measured by.
    """

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._throttle = Throttle(clock)
        self._date: tuple[datetime, float] | None = None
        self._heard = clock.monotonic()

    def now(self) -> datetime:
        """The time by the site's clock, never ahead of it: its newest ``Date``, carried on.

        A ``Date`` has whole seconds, so this is up to a second late. Until the site has sent one,
        this machine's clock stands in.
        """
        if self._date is None:
            return self._clock.now()
        date, received = self._date
        try:
            return date + timedelta(seconds=self._clock.monotonic() - received)
        except OverflowError:  # a clock that is at the end of all time
            return date

    def silent_seconds(self) -> float:
        """How long the site has answered nothing, but that it can't answer."""
        return self._clock.monotonic() - self._heard

    def check(self) -> None:
        """See whether the site can be reached and takes the API key.

        Raises:
            SiteUnusableError: It can't, or doesn't; after half a minute at the most.
        """
        question = Question(
            "GET",
            "/api/auth/status",
            read_seconds=_HELLO_READ_SECONDS,
            connect_seconds=_HELLO_CONNECT_SECONDS,
        )
        try:
            until = self._clock.monotonic() + _HELLO_PATIENCE_SECONDS
            patience = Patience(self._clock, until=until)
            patiently(lambda: self._ask(question, document_in), self._clock, patience)
        except RejectedError as error:
            if error.status in {401, 403}:
                hint = "the API key is not valid on this site, or no longer"
            else:
                hint = "is the host in the API key a Flywheel site?"
            raise SiteUnusableError(f"{error} ({hint})") from None
        except SiteError as error:
            raise SiteUnusableError(f"the site can't be used: {error}") from None

    def find_projects(self, project_filter: str | None) -> Iterator[Project]:
        """Yield the projects that a filter names, in the order of their ids.

        Args:
            project_filter: In the finder's grammar, sent as it is; None for every project that
                the caller is a member of.

        Raises:
            SiteUnusableError: The site refuses the filter (with its words), or can't answer.
        """
        query = {"limit": str(_PAGE)}
        if project_filter is not None:
            query["filter"] = project_filter
        try:
            yield from self._pages(Question("GET", _PROJECTS, query=query), self._read)
        except RejectedError as error:
            what = "to list projects" if project_filter is None else f"the filter {project_filter}"
            raise SiteUnusableError(f"the site refuses {what}: {error}") from None
        except SiteError as error:
            raise SiteUnusableError(f"the projects can't be listed: {error}") from None

    def hidden_projects(self, visible: Collection[str]) -> list[Project] | None:
        """The site's projects that the caller is no member of, as far as the site tells.

        Asks once, and not for long: the snapshots are waiting.

        Args:
            visible: The ids of the projects that the caller can see.

        Returns:
            Those that are not among them; None where the caller is no site administrator, or the
            site doesn't say.
        """
        try:
            question = Question("GET", "/api/users/self", read_seconds=_QUICK_READ_SECONDS)
            me = self._ask(question, document_in)
            roles = me.get("roles")
            if not isinstance(roles, list) or _SITE_ADMIN not in roles:
                return None
            query = {"limit": str(_PAGE), "exhaustive": "true"}
            question = replace(question, path=_PROJECTS, query=query)
            everything = self._pages(question, self._ask)
            return [project for project in everything if project.id not in visible]
        except SiteError as error:
            log.info("It is not known whether there are projects that you can't see: %s", error)
            return None

    def project(self, project_id: str) -> Project:
        """Look one project up.

        Raises:
            NotFoundError: There is no such project.
            SiteError: The site refuses, or can't answer.
        """
        return self._read(
            Question("GET", "/api/projects/{project}", {"project": project_id}), project_in
        )

    def create_snapshot(self, project_id: str) -> Snapshot:
        """Ask once for a snapshot to be started. Succeeds even where there is no such project.

        Raises:
            SiteError: Its class says whether one may have been started all the same.
        """
        return self._ask(Question("POST", _SNAPSHOTS, {"project": project_id}), snapshot_in)

    def snapshot(self, project_id: str, snapshot_id: str) -> Snapshot:
        """Ask once where a snapshot stands.

        Raises:
            NotFoundError: There is no such snapshot, or no longer.
            SiteError: The site refuses, or can't answer.
        """
        parameters = {"project": project_id, "snapshot": snapshot_id}
        path = _SNAPSHOTS + "/{snapshot}/detail"
        question = Question("GET", path, parameters, read_seconds=_QUICK_READ_SECONDS)
        snapshot = self._ask(question, snapshot_in)
        if snapshot.id != snapshot_id:
            raise OutcomeUnknownError("the answer makes no sense: it speaks of another snapshot")
        return snapshot

    def download(self, project_id: str, snapshot_id: str) -> Stream:
        """Ask once for a snapshot's file, a gzip-compressed SQLite database; the caller closes it.

        Raises:
            NotFoundError: There is no such snapshot, or no longer.
            SiteError: The site refuses, or can't answer. The stream's chunks can raise it too.
        """
        parameters = {"project": project_id, "snapshot": snapshot_id}
        question = Question("GET", _SNAPSHOTS + "/{snapshot}", parameters, streamed=True)
        return self._ask(question, stream_in)

    def snapshots_since(self, project_id: str, since: datetime) -> list[Snapshot]:
        """Ask once for the project's snapshots made at or after a moment, oldest first.

        Raises:
            SiteError: The site refuses, or can't answer.
        """
        query = {"sort": "created:desc", "limit": str(_PAGE)}
        question = Question(
            "GET", _SNAPSHOTS, {"project": project_id}, query, read_seconds=_QUICK_READ_SECONDS
        )
        snapshots = self._ask(question, snapshots_in)
        made = [(snapshot.created, snapshot) for snapshot in snapshots if snapshot.created]
        times = [created for created, _ in made]
        if len(snapshots) >= _PAGE and times != sorted(times, reverse=True):
            raise OutcomeUnknownError(
                "the answer makes no sense: some of the snapshots, not the newest"
            )
        return [
            snapshot for when, snapshot in sorted(made, key=lambda pair: pair[0]) if when >= since
        ]

    def patiently(self, ask: Callable[[], Value]) -> Value:
        """Ask again, with growing pauses, while the site can't answer. For reading only.

        Raises:
            SiteError: What the last attempt raised; at once where the site refuses.
        """
        return patiently(ask, self._clock)

    def _pages(
        self,
        first: Question,
        ask: Callable[[Question, Callable[[object], list[Project]]], list[Project]],
    ) -> Iterator[Project]:
        ends = set()
        question = first
        while projects := ask(question, projects_in):
            yield from projects
            last = projects[-1].id
            if last in ends:  # the SDK's finder would go round for ever
                raise OutcomeUnknownError(
                    "the answer makes no sense: it repeats a page of projects"
                )
            ends.add(last)
            question = replace(first, query={**first.query, "after_id": last})

    def _read(self, question: Question, convert: Callable[[object], Value]) -> Value:
        return self.patiently(lambda: self._ask(question, convert))

    def _ask(self, question: Question, convert: Callable[[object], Value]) -> Value:
        sent = self._throttle.admit()
        try:
            answer = self._transport(question)
        except SiteError as error:
            if isinstance(error, ServiceUnavailableError) and error.status == _TOO_MANY_REQUESTS:
                self._throttle.slow_down(sent, error.retry_after)
            if isinstance(error, RejectedError) or error.status == _TOO_MANY_REQUESTS:
                self._heard = self._clock.monotonic()
            raise
        self._throttle.went_well()
        self._heard = self._clock.monotonic()
        if answer.date is not None:
            self._date = (answer.date, self._clock.monotonic())
        return convert(answer.data)
