"""The errors that a person can act on, and the exit statuses that they end in.

The tree::

    GearError                    ends the run; its text is the one line that the person reads
    ├── ConfigError              the job's config, API key or environment is not usable
    ├── ReportError              the "retry failed" input is no report of this gear
    ├── NothingFoundError        no project matches
    ├── SiteUnusableError        the site can't be reached, refuses the key or the filter
    └── OutputError              the output folder can't be written
        └── ReportLostError      likewise, once snapshots were started
    SiteError                    one call to the site failed; data for one project's row
    ├── ServiceUnavailableError  not done, for certain: may be sent again
    ├── OutcomeUnknownError      the answer is lost, or can't be read: it may have been done
    ├── AcceptedError            a create was accepted, and its answer names no snapshot
    └── RejectedError            the site will not do it: asking again is of no use
        └── NotFoundError        404: there is no such thing, or no longer
    TerminatedError              the process was asked to end

Every text is one line, names what and where, and never holds the API key.
"""

EXIT_COMPLETE = 0
EXIT_INCOMPLETE = 1
EXIT_UNUSABLE = 2
EXIT_SIGNALLED = 128  # and the signal's number on top, like a shell's: SIGTERM 143, SIGINT 130


class GearError(Exception):
    """Ends the run; nothing was started, but for ReportLostError."""

    exit_status = EXIT_UNUSABLE  # what the process ends with


class ConfigError(GearError):
    """The config or the API key is missing something, or holds what can't be used."""


class ReportError(GearError):
    """The "retry failed" input can't be read as a report; says in which line and column."""


class NothingFoundError(GearError):
    """The filter, or the report, names no project."""


class SiteUnusableError(GearError):
    """The site can't be reached, or refuses what every run needs (the key, the filter)."""


class OutputError(GearError):
    """The report can't be written into the output folder."""


class ReportLostError(OutputError):
    """The last report can't be written; the snapshots that were started are in the log."""

    exit_status = EXIT_INCOMPLETE


class SiteError(Exception):
    """One call to the site failed."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status  # HTTP's, 0 where no answer came


class RejectedError(SiteError):
    """The site refuses for good: any 4xx that says nothing else."""


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
    """A create was answered with success, but not with a snapshot: it is certainly under way."""


class TerminatedError(Exception):
    """SIGTERM or SIGINT came: stop what can be stopped, write the report, end."""
