"""What the gear can't work with: one line that says what and where, status 2, nothing started."""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flywheel_site_simulator import Action, Fault, SimulatedSite, SimulatorServer, answer_with
from tests.support.gear import GearFolder, GearRun, gear_maker, run_together

pytestmark = pytest.mark.process

ALL = {"project filter": "ALL"}
HEADER = b"group_label,project_label,project_id,snapshot_id,timestamp,batch_label,status\n"
P = b"1" * 24


@dataclass(frozen=True)
class Case:
    """What a job is given, and what its one line is to say.

    Attributes:
        words: what the line holds, all of it.
        config: the job's config.
        key: makes the API key, given the site's.
        report: the file that is to be retried.
        auth: what the site answers when it is first greeted.
        asks: whether it is the site that finds what is wrong.
    """

    words: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=lambda: dict(ALL))
    key: Callable[[str], str] = str
    report: bytes | None = None
    auth: Action | None = None
    asks: bool = False


def _config(name: str, value: object, *words: str) -> Case:
    return Case((f'config "{name}"', repr(value), *words), {**ALL, name: value})


def _report(content: bytes, *words: str) -> Case:
    return Case(("retry failed", "report.csv", *words), {}, report=content)


NOBODY_LISTENS = "a port that nobody listens on"
NO_WORD = "a host that takes the connection and never says a word"

CASES = {
    # The site; the slow ones first
    NOBODY_LISTENS: Case(("no connection",), asks=True),
    NO_WORD: Case(("did not answer",), asks=True),
    "a site that is none": Case(
        ("no JSON object",), auth=answer_with(b"<html>It works!</html>"), asks=True
    ),
    # The filter
    "no filter": Case(('"project filter"', "ALL"), {}),
    "a blank filter": Case(('"project filter"', "ALL"), {"project filter": " \t\n"}),
    "a filter without an operator": Case(
        ("Invalid filter: 'neuro' has no operator",),
        {"project filter": "neuro"},
        asks=True,
    ),
    "a filter with a broken expression": Case(
        ("label=~(", "Invalid filter: '(' is no regular expression"),
        {"project filter": "label=~("},
        asks=True,
    ),
    "a filter that matches nothing": Case(
        ("no project", "group=nobody"), {"project filter": "group=nobody"}, asks=True
    ),
    # The rest of the config
    "a filter that is a number": Case(
        ('config "project filter" is 5', "expected"), {"project filter": 5}
    ),
    "a batch name that is a list": _config("snapshot batch name", ["Spring"], "expected a text"),
    "a timeout that is a text": _config("timeout minutes", "10", "expected a number"),
    "a timeout of 0": _config("timeout minutes", 0, "greater than 0"),
    "a timeout that is true": _config("timeout minutes", True, "expected a number"),
    "six attempts": _config("attempts per project", 6, "from 1 to 5"),
    "two and a half attempts": _config("attempts per project", 2.5, "whole number"),
    "a debug that is a text": _config("debug", "false", "true or false"),
    "a dry run that is a text": _config("dry run", "false", "true or false"),
    "a download that is a number": _config("download snapshots", 1, "true or false"),
    # The API key
    "no key": Case(('input "api-key"', "no API key"), key=lambda _: ""),
    "a key without a host": Case(
        ('input "api-key"', "host[:port]:key"), key=lambda key: key.rsplit(":", 1)[-1]
    ),
    "a key that the site does not know": Case(
        ("401", "API key"), key=lambda key: f"{key}x", asks=True
    ),
    # The report, of which test_reporter.py knows more
    "an empty report": _report(b"", "line 1", "empty"),
    "a report that is a picture": _report(b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "line 1", "UTF-8"),
    "a report that is a workbook": _report(b"PK\x03\x04\x14\0", "line 1", "workbook"),
    "a report that is a page": _report(b"<!DOCTYPE html>", "line 1", "HTML"),
    "a report in UTF-16": _report(HEADER.decode().encode("utf-16"), "line 1", "UTF-16"),
    "a report with other columns": _report(b"name,age\nAda,36\n", "line 1", "project_id"),
    "a report without rows": _report(HEADER, "no rows"),
    "a report with an id that is none": _report(
        HEADER + b"neuro,A," + P + b",,,,planned\nneuro,B,12345,,,,planned\n",
        "line 3",
        "column project_id",
        "12345",
        "24 hex digits",
    ),
    "a report with a row that was cut off at no time that can be read": _report(
        HEADER + b"neuro,A," + P + b",,31/01/2026 13:00,,pending\n",
        "line 2",
        "column timestamp",
        "31/01/2026 13:00",
    ),
    "a report with an unknown status and no snapshot": _report(
        HEADER + b"neuro,A," + P + b",,,,archiving\n", "line 2", "column status", "archiving"
    ),
}


@dataclass(frozen=True)
class Ended:
    run: GearRun
    site: SimulatedSite


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Run each case, each on a site of its own that has one project."""
    folder = tmp_path_factory.mktemp("ended")

    def run(name: str, port: int | None) -> Ended:
        case = CASES[name]
        site = SimulatedSite()
        site.add_project(project_id=P.decode())
        if case.auth is not None:
            site.fault(Fault("auth", action=case.auth))
        (folder / name).mkdir()
        report = None
        if case.report is not None:
            report = folder / name / "report.csv"
            report.write_bytes(case.report)
        with SimulatorServer(site) as server:
            key = case.key(server.api_key())
            if port is not None:
                key = key.replace(f":{server.port}:", f":{port}:")
            return Ended(gear_maker(folder / name, server)(key, **case.config).run(report), site)

    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # so that nobody else listens on it meanwhile
        ports = {NOBODY_LISTENS: taken.getsockname()[1], NO_WORD: silent.getsockname()[1]}
        return run_together({name: partial(run, name, ports.get(name)) for name in CASES})


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_ends_the_run_with_2(ended: dict[str, Ended], name: str) -> None:
    assert ended[name].run.exit_status == 2, ended[name].run.log


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_is_said_in_one_line(ended: dict[str, Ended], name: str) -> None:
    (line,) = ended[name].run.errors

    assert [words for words in CASES[name].words if words not in line] == []


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_shows_no_traceback(ended: dict[str, Ended], name: str) -> None:
    assert "Traceback" not in ended[name].run.log


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_starts_nothing(ended: dict[str, Ended], name: str) -> None:
    assert ended[name].site.creates() == 0
    assert "create" not in {request.kind for request in ended[name].site.requests}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_used_leaves_no_report(ended: dict[str, Ended], name: str) -> None:
    assert "snapshot_report.csv" not in ended[name].run.files


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.asks])
def test_config_and_report_are_checked_before_the_site_is_asked(
    ended: dict[str, Ended], name: str
) -> None:
    assert ended[name].site.requests == []


@pytest.mark.parametrize("name", [NOBODY_LISTENS, NO_WORD])
def test_a_site_that_cannot_be_reached_is_told_within_a_minute(
    ended: dict[str, Ended], name: str
) -> None:
    assert ended[name].run.seconds < 75.0  # and what it takes to start and end a process


@pytest.mark.parametrize(
    "path", ["input/gone.csv", "input", "a\0b", "x" * 300], ids=["gone", "folder", "NUL", "long"]
)
def test_a_retry_report_that_is_not_there_is_one_line_and_2(
    tmp_path: Path, served: SimulatorServer, path: str
) -> None:
    job = gear_maker(tmp_path, served)(**ALL)
    job.prepare()
    (job.path / "input").mkdir()
    document = json.loads((job.path / "config.json").read_text())
    document["inputs"]["retry failed"] = {"base": "file", "location": {"path": path}}
    (job.path / "config.json").write_text(json.dumps(document))

    assert 'input "retry failed": there is no file' in _refusal(job)


@pytest.mark.parametrize("content", [None, b"null", b"\xe9", b"[" * 100_000])
def test_a_config_json_that_is_none_is_one_line_and_2(
    tmp_path: Path, served: SimulatorServer, content: bytes | None
) -> None:
    job = gear_maker(tmp_path, served)()
    job.prepare()
    (job.path / "config.json").unlink()
    if content is None:
        (job.path / "config.json").mkdir()
    else:
        (job.path / "config.json").write_bytes(content)

    assert "config.json" in _refusal(job)


def _refusal(job: GearFolder) -> str:
    """Return the one line that a job ends with."""
    with job.started() as process:
        log, _ = process.communicate(timeout=60)
    assert process.returncode == 2, log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if " ERROR " in line]
    return line
