"""Writes the job log: one line for each message, with no secret in it.

Labels come from anybody who may name a project, and errors from the site: neither may forge a line,
and the site may echo the API key.
"""

import io
import logging
import sys
import time
from typing import Any, ClassVar

from typing_extensions import override

from ..text import blank_secrets, escape_controls


class JobLogFormatter(logging.Formatter):
    """Formats records for the job log, with times in UTC, like the report's."""

    converter = staticmethod(time.gmtime)
    secrets: ClassVar[frozenset[str]] = frozenset()
    credentials: ClassVar[frozenset[str]] = frozenset()

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escape_controls(record.message)
        return super().formatMessage(record)

    @override
    def formatException(self, ei: Any) -> str:
        # Only a defect has a traceback: the bar sets it apart from the log's own lines.
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    | {escape_controls(line)}" for line in lines)

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = blank_secrets(super().format(record), self.secrets, "[API key]")
        return blank_secrets(line, self.credentials)


def set_up(api_key: str, *, debug: bool) -> None:
    """Let every message of the process go to stdout, in one order, as one line each.

    The API key is ``host[:port]:key``, or empty: it is blanked out whole, and its key alone.
    """
    JobLogFormatter.secrets = frozenset({api_key, api_key.rsplit(":", 1)[-1]} - {""})
    # A locale may lack what a label has.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.raiseExceptions = (
        False  # a log that nobody reads any more ends no run, and says no more
    )
    handler = logging.StreamHandler(sys.stdout)
    formats = "{asctime} {levelname:7} {message}", "%Y-%m-%d %H:%M:%S"
    handler.setFormatter(JobLogFormatter(*formats, style="{"))
    level = logging.DEBUG if debug else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx2", "httpcore2"):  # at DEBUG they log a dozen lines for each request
        logging.getLogger(name).setLevel(logging.WARNING)


def hide(credentials: frozenset[str]) -> None:
    """Blank these out, too, from now on."""
    JobLogFormatter.credentials = credentials
