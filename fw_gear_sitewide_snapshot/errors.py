"""The errors that a person can act on, and the exit statuses that they end in.

The tree::

    GearError                  ends the run; its text is the one line that the person reads
    ├── ConfigError            the job's config, or its API key, is not usable
    ├── ReportError            the "retry failed" input is no report of this gear
    ├── NothingFoundError      no project matches
    ├── SiteUnusableError      the site can't be reached, refuses the key or the filter
    └── OutputError            the output folder can't be written
        └── ReportLostError    likewise, once snapshots were started
    SiteError                  one call to the site failed; data for one project's row
    ├── RejectedError           the site will not do it: asking again is of no use
    │   └── NotFoundError          404: there is no such thing, or no longer
    ├── ServiceUnavailableError              not done, for certain: may be asked again
    └── OutcomeUnknownError           the answer is lost or makes no sense: it may have been done
    TerminatedError            the platform asked the process to end

Every text is one line, names what and where, and never holds the API key.
"""

EXIT_COMPLETE = 0
EXIT_INCOMPLETE = 1
EXIT_UNUSABLE = 2
EXIT_TERMINATED = 143
"""128 + SIGTERM, as a shell would report it."""


class GearError(Exception):
    """Ends the run; nothing was started, but for ReportLostError.

    Attributes:
        exit_status: What the process ends with.
    """

    exit_status = EXIT_UNUSABLE


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
    """One call to the site failed.

    Attributes:
        status: The HTTP status, 0 where no answer came.
    """

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class RejectedError(SiteError):
    """The site refuses for good (4xx other than 429)."""


class NotFoundError(RejectedError):
    """404: what was asked for does not exist, or no longer."""


class ServiceUnavailableError(SiteError):
    """Certainly not done (429, 503, no connection).

    Attributes:
        retry_after: Seconds that the site asks to be left alone; None where it doesn't say.
    """

    def __init__(self, words: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(words, status)
        self.retry_after = retry_after


class OutcomeUnknownError(SiteError):
    """The answer is lost (timeout, broken connection, 500, 502, 504) or makes no sense."""


class TerminatedError(Exception):
    """SIGTERM came: stop what can be stopped, write the report, end."""
