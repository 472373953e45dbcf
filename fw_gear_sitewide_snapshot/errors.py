"""The errors that a person can act on, and the exit statuses that they end in.

Every text is one line, names what and where, and never holds the API key.
"""

EXIT_COMPLETE = 0
EXIT_INCOMPLETE = 1
EXIT_UNUSABLE = 2
EXIT_SIGNALLED = 128  # and the signal's number on top, like a shell's: SIGTERM 143, SIGINT 130


class GearError(Exception):
    """Ends the run, with nothing started but for ReportLostError; its text is what people read."""

    exit_status = EXIT_UNUSABLE  # what the process ends with


class ConfigError(GearError):
    """The config, the API key or the environment lacks something, or can't be used."""


class ReportError(GearError):
    """An input can't be read as a report; says in which line and column."""


class NothingFoundError(GearError):
    """The filter, or the report, names no project."""


class SiteUnusableError(GearError):
    """The site can't be reached, or refuses what every run needs (the key, the filter)."""


class OutputError(GearError):
    """The output folder can't be written to."""


class ReportLostError(OutputError):
    """The last report can't be written; the snapshots that were started are in the log."""

    exit_status = EXIT_INCOMPLETE


class SiteError(Exception):
    """One call to the site failed: data for one project's row."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status  # HTTP's, 0 where no answer came


class RejectedError(SiteError):
    """The site refuses for good, and is not asked again: any 4xx that says nothing else."""


class NotFoundError(RejectedError):
    """The site's own 404: what was asked for does not exist, or no longer."""


class ServiceUnavailableError(SiteError):
    """Certainly not done: no connection, 421, 425, 429, 503, or another server's 403 or 404."""

    def __init__(self, words: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(words, status)
        self.retry_after = retry_after  # seconds to leave the site alone; None: it doesn't say


class OutcomeUnknownError(SiteError):
    """It may have been done: the answer is lost (timeout, broken connection, 408, 5xx) or odd."""


class AcceptedError(SiteError):
    """A create's answer is a success that names no snapshot: it is certainly under way."""


class StoreError(Exception):
    """The object store for copies can't do what it was asked for; says why in one line."""

    def __init__(self, words: str, *, may_pass: bool = False) -> None:
        super().__init__(words)
        self.may_pass = may_pass  # whether the same may go well later


class TerminatedError(Exception):
    """SIGTERM or SIGINT came: stop what can be stopped, write the report, end."""
