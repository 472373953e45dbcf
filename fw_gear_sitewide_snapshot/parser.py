"""Turns the job's ``config.json`` into a GearConfig: the only place where a config can be wrong.

It reads the file itself, by the gear specification: the gear toolkit's context brings in half a
second of imports, and nothing of it is needed before the report is written.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .models import one_line

JobConfig = dict[str, Any]
"""The content of ``config.json``: ``config``, ``inputs``, ``destination``, ``job``."""

RETRY_INPUT = "retry failed"
KEY_INPUT = "api-key"

_EVERY_PROJECT = "all"
_MOST_ATTEMPTS = 5
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character, which JSON lets through
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GearConfig:
    """What a run is to do. Holds no API key.

    Attributes:
        project_filter: In the finder's grammar; None for every project that the user can see.
        retry_report: The earlier run's report; where there is one, it wins over the filter.
        batch_label: Names the batch; empty where it has no name.
        timeout_seconds: How long to wait for snapshots, from when the last one was started.
        attempts: How many snapshots to start for one project while they fail.
        dry_run: Whether to report only.
        fail_on_incomplete: Whether the job fails unless every snapshot is complete.
        download: Whether to fetch, verify and archive the snapshots.
        debug: Whether to log debug messages.
    """

    project_filter: str | None = None
    retry_report: Path | None = None
    batch_label: str = ""
    timeout_seconds: float = 600.0
    attempts: int = 1
    dry_run: bool = False
    fail_on_incomplete: bool = True
    download: bool = False
    debug: bool = False

    @property
    def is_all(self) -> bool:
        """Whether the batch is to be every project that the user can see."""
        return self.retry_report is None and self.project_filter is None

    def described(self) -> str:
        """Return the options in the words and units of the config, for the log."""
        options = {
            f'input "{RETRY_INPUT}"': self.retry_report.name if self.retry_report else "none",
            "project filter": "ALL" if self.project_filter is None else self.project_filter,
            "snapshot batch name": self.batch_label,
            "timeout minutes": f"{self.timeout_seconds / 60:g}",
            "attempts per project": str(self.attempts),
            "dry run": str(self.dry_run).lower(),
            "fail on incomplete": str(self.fail_on_incomplete).lower(),
            "download snapshots": str(self.download).lower(),
            "debug": str(self.debug).lower(),
        }
        return "; ".join(f"{name}: {value or '(empty)'}" for name, value in options.items())


def read_job(folder: Path) -> JobConfig:
    """Read what the platform tells the job.

    Args:
        folder: The gear's folder, with ``config.json`` in it.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    path = folder / "config.json"
    try:
        job = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    parts = ("config", "inputs")
    if not isinstance(job, dict) or not all(isinstance(job.get(p) or {}, dict) for p in parts):
        raise ConfigError(f'{path}: expected an object with "config" and "inputs"')
    return job


def parse_config(job: JobConfig) -> GearConfig:
    """Read and check the whole config.

    Raises:
        ConfigError: An option can't be used; names it, its value and what was expected.
    """
    options = job.get("config") or {}
    retry_report = _input_path(job)
    project_filter = _string(options, "project filter").strip()
    if not project_filter and retry_report is None:
        raise ConfigError(
            'config "project filter" is empty: expected a filter such as group=mygroup, or ALL for '
            f'every project that you can see (or give an earlier report as input "{RETRY_INPUT}")'
        )
    return GearConfig(
        project_filter=None if project_filter.lower() == _EVERY_PROJECT else project_filter,
        retry_report=retry_report,
        batch_label=_string(options, "snapshot batch name").strip(),
        timeout_seconds=60.0 * _minutes(options, "timeout minutes", default=10.0),
        attempts=_attempts(options, "attempts per project", default=1),
        dry_run=_boolean(options, "dry run", default=False),
        fail_on_incomplete=_boolean(options, "fail on incomplete", default=True),
        download=_boolean(options, "download snapshots", default=False),
        debug=_boolean(options, "debug", default=False),
    )


def api_key_text(job: JobConfig) -> str:
    """Return the job's API key, unchecked, for the log to blank out; empty for none."""
    found = (job.get("inputs") or {}).get(KEY_INPUT)
    key = found.get("key") if isinstance(found, dict) else None
    return key if isinstance(key, str) else ""


def parse_api_key(job: JobConfig) -> str:
    """Return the API key that the site gave the job, in the form ``host[:port]:key``.

    Raises:
        ConfigError: There is none, or it has another form. The text doesn't show it.
    """
    key = api_key_text(job)
    if not key:
        raise ConfigError(f'input "{KEY_INPUT}": the job has no API key')
    host, *rest = key.split(":")
    port_is_good = len(rest) < 2 or (_PORT.fullmatch(rest[0]) and 0 < int(rest[0]) < 65536)
    can_be_sent = key.isprintable() and " " not in key and "".join(rest).isascii()
    if not host or not rest or not rest[-1] or not port_is_good or not can_be_sent:
        raise ConfigError(f'input "{KEY_INPUT}": the API key has not the form host[:port]:key')
    return key


def is_debug(job: JobConfig) -> bool:
    """Say whether debug messages are wanted, as far as the unchecked config tells."""
    return (job.get("config") or {}).get("debug") is True


def job_id(job: JobConfig) -> str:
    """Return the job's id; empty where the platform doesn't tell it."""
    return _text_in(job, "job", "id")


def destination_type(job: JobConfig) -> str:
    """Return the type of the container that the outputs go to; empty where it is not told."""
    return _text_in(job, "destination", "type")


def _text_in(job: JobConfig, name: str, key: str) -> str:
    part = job.get(name)
    found = part.get(key) if isinstance(part, dict) else None
    return found if isinstance(found, str) else ""


def _input_path(job: JobConfig) -> Path | None:
    found = (job.get("inputs") or {}).get(RETRY_INPUT)
    if not found:
        return None
    location = found.get("location") if isinstance(found, dict) else None
    path = location.get("path") if isinstance(location, dict) else None
    try:
        if isinstance(path, str) and Path(path).is_file():
            return Path(path)
        problem = ""
    except (OSError, ValueError) as error:  # a name that is too long, a folder that is closed
        problem = f": {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f'input "{RETRY_INPUT}": there is no file {one_line(repr(path))}{problem}')


def _string(options: dict[str, Any], name: str) -> str:
    value = options.get(name)
    if value is None:
        return ""
    if isinstance(value, str) and not _SURROGATE.search(value):
        return value
    raise _wrong(name, value, "a text")


def _boolean(options: dict[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, "true or false")


def _minutes(options: dict[str, Any], name: str, *, default: float) -> float:
    value = options.get(name)
    if value is None:
        return default
    if _is_number(value) and 0 < value <= sys.float_info.max / 60:
        return float(value)
    raise _wrong(name, value, "a number of minutes greater than 0")


def _attempts(options: dict[str, Any], name: str, *, default: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if _is_number(value) and 1 <= value <= _MOST_ATTEMPTS and value == int(value):
        return int(value)
    raise _wrong(name, value, f"a whole number from 1 to {_MOST_ATTEMPTS}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f'config "{name}" is {one_line(repr(value))}: expected {expected}')
