"""Turns the job's ``config.json`` into a GearConfig: the only place where a config can be wrong.

It reads the file itself, by the gear specification: importing the gear toolkit takes half a second,
and nothing of it is needed before the report is written.
"""

import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .text import one_line

JsonObject = dict[str, Any]  # config.json or manifest.json, or a part of one

RETRY_INPUT = "retry failed"
PREVIOUS_INPUT = "previous-report"
CREDENTIALS_INPUT = "storage-credentials"
KEY_INPUT = "api-key"

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character, which JSON lets through
_PORT = re.compile(r"[0-9]{1,5}")
_LARGEST = sys.float_info.max / 60  # minutes that are still a finite number of seconds
_EXPECTED = {  # by type, as the manifest names it
    "string": "a text",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GearConfig:
    """What a run is to do. Holds no API key; its defaults are the manifest's."""

    project_filter: str | None  # in the finder's grammar; None: all that the user is a member of
    retry_report: Path | None  # the earlier run's report, which wins over the filter
    previous_report: Path | None  # an earlier batch's, to tell what has changed since
    batch_label: str  # empty where the batch has no name
    timeout_seconds: float  # how long to wait, from when every project was asked for once
    reuse_hours: float  # how old a snapshot may be that is not made anew; 0: none is reused
    attempts: int  # how many snapshots to start for one project while they fail
    dry_run: bool  # whether to report only
    fail_on_incomplete: bool  # whether the job fails unless every snapshot is complete
    download: bool  # whether to fetch, verify and archive the snapshots
    copy_to: str  # the address that the snapshots are copied to, unchecked; empty for none
    credentials: Path | None  # the file with those of that place
    debug: bool  # whether to log debug messages

    @property
    def filter_text(self) -> str:
        """The filter as the config has it; ``ALL`` for every project."""
        return "ALL" if self.project_filter is None else self.project_filter

    @property
    def is_all(self) -> bool:
        """Whether the batch is to be every project that the user is a member of."""
        return self.retry_report is None and self.project_filter is None

    @property
    def is_plan(self) -> bool:
        """Whether the run only says what would be started."""
        return self.dry_run and not self.is_audit

    @property
    def is_audit(self) -> bool:
        """Whether the run starts nothing, and tells which projects have no recent snapshot."""
        return self.dry_run and self.reuse_hours > 0

    @property
    def is_fetched(self) -> bool:
        """Whether snapshots are to be fetched from the site."""
        return (self.download or bool(self.copy_to)) and not self.dry_run

    def described(self) -> str:
        """Return the options in the words and units of the config, for the log."""
        options = {
            f'input "{RETRY_INPUT}"': _name(self.retry_report),
            f'input "{PREVIOUS_INPUT}"': _name(self.previous_report),
            "project filter": self.filter_text,
            "snapshot batch name": self.batch_label,
            "timeout minutes": f"{self.timeout_seconds / 60:g}",
            "attempts per project": str(self.attempts),
            "reuse within hours": f"{self.reuse_hours:g}",
            "dry run": str(self.dry_run).lower(),
            "fail on incomplete": str(self.fail_on_incomplete).lower(),
            "download snapshots": str(self.download).lower(),
            "copy to": self.copy_to,
            "debug": str(self.debug).lower(),
        }
        return "; ".join(f"{name}: {value or '(empty)'}" for name, value in options.items())


def read_json(path: Path) -> JsonObject:
    """Read a ``config.json`` or a ``manifest.json``.

    Raises:
        ConfigError: There is no such file, or it is not an object whose "config" and "inputs",
            as far as they are there, are objects too.
    """
    try:
        document = json.loads(path.read_text("utf-8"))  # as the gear toolkit, later: no other text
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    parts = ("config", "inputs")
    if isinstance(document, dict) and all(isinstance(document.get(p) or {}, dict) for p in parts):
        return document
    raise ConfigError(f'{path}: expected an object with "config" and "inputs"')


def parse_config(job: JsonObject, manifest: JsonObject) -> GearConfig:
    """Check the job's whole config by the options' types, defaults and limits in the manifest.

    Raises:
        ConfigError: An option can't be used; names it, its value and what was expected.
    """
    value = partial(_option, manifest.get("config") or {}, job.get("config") or {})
    retry_report = _input_path(job, RETRY_INPUT)
    project_filter = value("project filter").strip()
    if not project_filter and retry_report is None:
        raise ConfigError(
            'config "project filter" is empty: expected a filter such as group=mygroup, or ALL for '
            "every project that you are a member of (or give an earlier report as input "
            f'"{RETRY_INPUT}")'
        )
    return GearConfig(
        project_filter=None if project_filter.lower() == "all" else project_filter,
        retry_report=retry_report,
        previous_report=_input_path(job, PREVIOUS_INPUT),
        batch_label=value("snapshot batch name").strip(),
        timeout_seconds=60.0 * value("timeout minutes"),
        reuse_hours=float(value("reuse within hours")),
        attempts=int(value("attempts per project")),
        dry_run=value("dry run"),
        fail_on_incomplete=value("fail on incomplete"),
        download=value("download snapshots"),
        copy_to=value("copy to").strip().rstrip("/"),
        credentials=_input_path(job, CREDENTIALS_INPUT),
        debug=value("debug"),
    )


def api_key_text(job: JsonObject) -> str:
    """Return the job's API key, unchecked, for the log to blank out; empty for none."""
    return _text_at(job, "inputs", KEY_INPUT, "key")


def parse_api_key(job: JsonObject) -> str:
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


def is_debug(job: JsonObject) -> bool:
    """Say whether debug messages are wanted, as far as the unchecked config tells."""
    return _at(job, "config", "debug") is True


def job_id(job: JsonObject) -> str:
    """Return the job's id; empty where the platform doesn't tell it."""
    return _text_at(job, "job", "id")


def destination_type(job: JsonObject) -> str:
    """Return the type of the container that the outputs go to; empty where it is not told."""
    return _text_at(job, "destination", "type")


def _at(found: Any, *keys: str) -> Any:
    """Return what the keys lead to, one within the other; None where they lead nowhere."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _text_at(job: JsonObject, *keys: str) -> str:
    found = _at(job, *keys)
    return found if isinstance(found, str) else ""


def _name(file: Path | None) -> str:
    return file.name if file else "none"


def _input_path(job: JsonObject, name: str) -> Path | None:
    """Return where the file of an input is; None where none is given."""
    if _at(job, "inputs", name) is None:
        return None
    path = _at(job, "inputs", name, "location", "path")
    try:
        if isinstance(path, str) and Path(path).is_file():
            return Path(path)
        problem = ""
    except (OSError, ValueError) as error:  # a name that is too long, a folder that is closed
        problem = f": {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f'input "{name}": there is no file {one_line(repr(path))}{problem}')


def _option(options: JsonObject, config: JsonObject, name: str) -> Any:
    """Return an option's value, checked, or else its default; a text without one is empty."""
    if name not in options:
        raise ConfigError(f'manifest.json has no option "{name}"')
    option, value = options[name], config.get(name)
    if value is None:
        return option.get("default", "")
    if _is_valid(value, option):
        return value
    expected = _EXPECTED[option["type"]]
    if "maximum" in option:
        expected += f" from {option['minimum']} to {option['maximum']}"
    elif "minimum" in option:
        relation = "greater than" if option.get("exclusiveMinimum") else "of at least"
        expected += f" {relation} {option['minimum']}"
    raise ConfigError(f'config "{name}" is {one_line(repr(value))}: expected {expected}')


def _is_valid(value: Any, option: JsonObject) -> bool:
    kind: str = option["type"]
    if kind == "string":
        return isinstance(value, str) and not _SURROGATE.search(value)
    if kind == "boolean":
        return isinstance(value, bool)
    low, high = option.get("minimum", -_LARGEST), option.get("maximum", _LARGEST)
    if type(value) not in {int, float} or not low <= value <= high:  # NaN is never in between
        return False
    if value == low and option.get("exclusiveMinimum"):
        return False
    return kind == "number" or int(value) == value
