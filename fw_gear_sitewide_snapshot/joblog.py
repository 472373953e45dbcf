"""What a line of the job log looks like: one line for each message, with no secret in it.

Labels come from anybody who may name a project, and errors from the site: neither may forge a line,
and the site may echo the API key.
"""

import logging
import time
from typing import Any, ClassVar

_HTTP_LOGGERS = ("httpx2", "httpcore2")  # at DEBUG they log a dozen lines for each request


class JobLogFormatter(logging.Formatter):
    """Formats records for the job log, with times in UTC, like the report's."""

    converter = staticmethod(time.gmtime)
    secrets: ClassVar[tuple[str, ...]] = ()

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Escape what could end the line or move the cursor."""
        record.message = _escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        """Set a traceback (of a defect: nothing else logs one) apart from the log's own lines."""
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    | {_escaped(line)}" for line in lines)

    def format(self, record: logging.LogRecord) -> str:
        """Blank out the secrets, wherever in the text they are."""
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, "[API key]")
        return text


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def log_config(api_key: str) -> dict[str, Any]:
    """The changes to the gear toolkit's log configuration, for ``init_logging``.

    Args:
        api_key: ``host[:port]:key``, or empty: blanked out whole, and its key alone.
    """
    secrets = {api_key, api_key.rsplit(":", 1)[-1]} - {""}
    JobLogFormatter.secrets = tuple(sorted(secrets, key=len, reverse=True))
    return {
        "formatters": {
            "gear": {
                "class": f"{__name__}.{JobLogFormatter.__name__}",
                "format": "{asctime} {levelname:7} {message}",
                "datefmt": "%Y-%m-%d %H:%M:%S",
                "style": "{",
            }
        },
        "loggers": {name: {"level": "WARNING"} for name in _HTTP_LOGGERS},
    }
