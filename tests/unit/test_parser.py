"""The job's config as a GearConfig: each option's default, what is right, and what is wrong."""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fw_gear_sitewide_snapshot.errors import ConfigError
from fw_gear_sitewide_snapshot.parser import (
    GearConfig,
    JsonObject,
    destination_type,
    is_debug,
    job_id,
    parse_api_key,
    parse_config,
    read_json,
)
from tests.support.repository import ROOT, read_manifest

MANIFEST = read_manifest()
OPTIONS = sorted(MANIFEST["config"])
KEY = "site.example.org:djEtsecretsecretsecret"


@dataclass(frozen=True)
class Job:
    """A job's folder."""

    path: Path

    def read(self, config: object = None, inputs: object = None, **options: object) -> JsonObject:
        """The job, from a config.json with a filter and an API key by default."""
        document: dict[str, Any] = {
            "config": {"project filter": "ALL", **options} if config is None else config,
            "inputs": {"api-key": {"base": "api-key", "key": KEY}} if inputs is None else inputs,
            "destination": {"type": "project", "id": "a" * 24},
        }
        (self.path / "config.json").write_text(json.dumps(document))
        return read_json(self.path / "config.json")

    def parse(self, **options: object) -> GearConfig:
        return parse_config(self.read(**options), MANIFEST)

    def problem(self, **options: object) -> str:
        with pytest.raises(ConfigError) as raised:
            self.parse(**options)
        return str(raised.value)

    def with_report(
        self, report: object, name: str = "retry failed", **options: object
    ) -> JsonObject:
        """A job of whose inputs one, that for a retry by default, is as given."""
        inputs = {"api-key": {"base": "api-key", "key": KEY}, name: report}
        return self.read(config=options, inputs=inputs)

    def report_problem(self, found: object, name: str = "retry failed") -> str:
        with pytest.raises(ConfigError) as raised:
            parse_config(self.with_report(found, name, **{"project filter": "ALL"}), MANIFEST)
        return str(raised.value)

    def key_problem(self, key: object) -> str:
        with pytest.raises(ConfigError) as raised:
            parse_api_key(self.read(inputs={"api-key": {"base": "api-key", "key": key}}))
        return str(raised.value)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot_report.csv"
    path.write_text("any text: it is not read here")
    return path


# What an option comes to


def test_a_filter_is_all_that_a_run_needs(job: Job) -> None:
    assert job.parse() == GearConfig(
        project_filter=None,
        retry_report=None,
        previous_report=None,
        batch_label="",
        timeout_seconds=600.0,
        reuse_hours=0.0,
        attempts=1,
        dry_run=False,
        fail_on_incomplete=True,
        download=False,
        copy_to="",
        credentials=None,
        debug=False,
    )


@pytest.mark.parametrize(
    ("option", "value", "attribute", "expected"),
    [
        ("project filter", "group=neuro", "project_filter", "group=neuro"),
        ("project filter", "  label=~.*-accepted\t\n", "project_filter", "label=~.*-accepted"),
        ("project filter", "label=ALL", "project_filter", "label=ALL"),
        ("project filter", "group = a b", "project_filter", "group = a b"),
        ("snapshot batch name", " January é ", "batch_label", "January é"),
        ("timeout minutes", 90, "timeout_seconds", 5400.0),
        ("timeout minutes", 0.5, "timeout_seconds", 30.0),
        ("reuse within hours", 24, "reuse_hours", 24.0),
        ("reuse within hours", 0.5, "reuse_hours", 0.5),
        ("attempts per project", 5, "attempts", 5),
        ("attempts per project", 2.0, "attempts", 2),
        ("dry run", True, "dry_run", True),
        ("fail on incomplete", False, "fail_on_incomplete", False),
        ("download snapshots", True, "download", True),
        ("debug", True, "debug", True),
    ],
)
def test_an_option_is_taken(
    job: Job, option: str, value: object, attribute: str, expected: object
) -> None:
    assert getattr(job.parse(**{option: value}), attribute) == expected


@pytest.mark.parametrize("option", [name for name in OPTIONS if name != "project filter"])
def test_an_option_that_is_null_is_as_if_left_out(job: Job, option: str) -> None:
    assert job.parse(**{option: None}) == job.parse()


@pytest.mark.parametrize("word", ["ALL", "all", "All", " aLL ", "\tALL\n"])
def test_all_in_any_case_and_with_blanks_means_every_project(job: Job, word: str) -> None:
    assert job.parse(**{"project filter": word}).project_filter is None


# What can't be used


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("project filter", 24, "a text"),
        ("project filter", True, "a text"),
        ("project filter", ["group=a"], "a text"),
        ("project filter", "label=\ud800", "a text"),
        ("snapshot batch name", 2026, "a text"),
        ("snapshot batch name", {"name": "x"}, "a text"),
        ("snapshot batch name", "January \udfff", "a text"),
        ("timeout minutes", 0, "a number greater than 0"),
        ("timeout minutes", -1.5, "a number greater than 0"),
        ("timeout minutes", "10", "a number greater than 0"),
        ("timeout minutes", True, "a number greater than 0"),
        ("timeout minutes", math.inf, "a number greater than 0"),
        ("timeout minutes", math.nan, "a number greater than 0"),
        pytest.param("timeout minutes", 10**400, "a number greater than 0", id="huge timeout"),
        ("attempts per project", 0, "a whole number from 1 to 5"),
        ("attempts per project", 6, "a whole number from 1 to 5"),
        ("attempts per project", 1.5, "a whole number from 1 to 5"),
        ("attempts per project", "1", "a whole number from 1 to 5"),
        ("attempts per project", True, "a whole number from 1 to 5"),
        ("attempts per project", math.nan, "a whole number from 1 to 5"),
        ("attempts per project", math.inf, "a whole number from 1 to 5"),
        *(
            ("reuse within hours", hours, "a number from 0 to 876000")
            for hours in (-1, -0.001, 876001, 1e300, "24", True, [1])
        ),
        ("dry run", "false", "true or false"),
        ("fail on incomplete", 0, "true or false"),
        ("download snapshots", "yes", "true or false"),
        ("debug", 1, "true or false"),
    ],
)
def test_a_wrong_option_is_told_with_key_value_and_what_was_expected(
    job: Job, option: str, value: object, expected: str
) -> None:
    problem = job.problem(**{option: value})
    assert problem == f'config "{option}" is {value!r}: expected {expected}'


@pytest.mark.parametrize("value", ["a\nERROR forged", "\x1b[2J", "\u2028", "x" * 10_000])
def test_a_problem_is_told_in_one_line(job: Job, value: str) -> None:
    problem = job.problem(**{"dry run": value})
    assert problem.isprintable()
    assert len(problem) < 600


@pytest.mark.parametrize(
    ("option", "number"),
    [
        (option, number)
        for option in OPTIONS
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1E-400")
        if (option, number) != ("reuse within hours", "1E-400")  # which is 0
    ],
)
def test_an_odd_number_of_json_is_told_with_its_option(
    tmp_path: Path, option: str, number: str
) -> None:
    content = f'{{"config": {{"project filter": "ALL", "{option}": {number}}}}}'
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=f'^config "{option}" is -?(nan|inf|0.0): expected'):
        parse_config(read_json(tmp_path / "config.json"), MANIFEST)


@pytest.mark.parametrize("blank", [None, "", " ", "\t\r\n", "\u2003"])
def test_a_blank_filter_without_a_report_never_means_all(job: Job, blank: str | None) -> None:
    problem = job.problem(**{"project filter": blank})
    assert problem.startswith('config "project filter" is empty: expected')
    assert "ALL" in problem


def test_a_config_that_is_missing_is_a_filter_that_is_missing(job: Job) -> None:
    with pytest.raises(ConfigError, match='"project filter" is empty'):
        parse_config(job.read(config={}), MANIFEST)


# The manifest


def test_defaults_and_limits_are_the_manifest_s(job: Job) -> None:
    options = {
        **MANIFEST["config"],
        "timeout minutes": {"type": "number", "default": 90, "minimum": 5},
        "attempts per project": {"type": "integer", "default": 7, "minimum": 2, "maximum": 9},
        "dry run": {"type": "boolean", "default": True},
        "snapshot batch name": {"type": "string", "default": "nightly"},
    }
    manifest = {**MANIFEST, "config": options}

    config = parse_config(job.read(), manifest)

    assert (config.timeout_seconds, config.attempts) == (5400.0, 7)
    assert (config.dry_run, config.batch_label) == (True, "nightly")
    for option, value, expected in [
        ("timeout minutes", 4.9, "a number of at least 5"),
        ("attempts per project", 1, "a whole number from 2 to 9"),
    ]:
        with pytest.raises(
            ConfigError, match=f'^config "{option}" is {value}: expected {expected}$'
        ):
            parse_config(job.read(**{"project filter": "ALL", option: value}), manifest)


def test_the_manifest_is_read() -> None:
    assert read_json(ROOT / "manifest.json") == MANIFEST


@pytest.mark.parametrize("manifest", [{}, {"config": None}, {"config": {}}])
def test_a_manifest_without_the_options_is_said_to_be_so(job: Job, manifest: JsonObject) -> None:
    with pytest.raises(ConfigError, match=r'^manifest\.json has no option "project filter"$'):
        parse_config(job.read(), manifest)


# The earlier report


def test_an_earlier_report_makes_up_for_a_blank_filter(job: Job, report: Path) -> None:
    document = job.with_report({"base": "file", "location": {"path": str(report)}})
    assert parse_config(document, MANIFEST).retry_report == report


@pytest.mark.parametrize("name", ["retry failed", "previous-report"])
def test_an_input_that_is_null_is_none(job: Job, name: str) -> None:
    config = parse_config(job.with_report(None, name, **{"project filter": "ALL"}), MANIFEST)
    assert (config.retry_report, config.previous_report) == (None, None)


def test_a_report_to_compare_with_is_no_retry_and_makes_up_for_no_filter(
    job: Job, report: Path
) -> None:
    given = {"base": "file", "location": {"path": str(report)}}
    document = job.with_report(given, "previous-report", **{"project filter": "ALL"})
    config = parse_config(document, MANIFEST)
    assert (config.previous_report, config.is_all) == (report, True)
    assert 'input "previous-report": snapshot_report.csv' in config.described()
    with pytest.raises(ConfigError, match='"project filter" is empty'):
        parse_config(job.with_report(given, "previous-report"), MANIFEST)


@pytest.mark.parametrize(
    "found",
    [
        {"base": "file"},
        {"location": "snapshot_report.csv"},
        {"location": {}},
        {"location": {"path": ""}},
        {"location": {"path": 5}},
        {"location": {"path": "/nowhere/a\nb.csv"}},
        {"location": {"path": "/"}},
        {"location": {"path": "a\0b"}},
        {"location": {"path": "\ud800"}},
        {"location": {"path": ["x" * 5000]}},
        {"location": {"path": {"path": "x"}}},
        {"location": {"path": 1e999}},
        {"location": {"path": "x" * 300}},
        {"location": {"path": "x/" * 3000}},
        {"location": ["path"]},
        ["snapshot_report.csv"],
        "snapshot_report.csv",
        {},
        [],
        "",
        0,
        False,
    ],
)
@pytest.mark.parametrize("name", ["retry failed", "previous-report", "storage-credentials"])
def test_an_input_without_its_file_is_told_in_one_line(job: Job, found: object, name: str) -> None:
    problem = job.report_problem(found, name)
    assert re.fullmatch(f'input "{name}": there is no file .*', problem)
    assert problem.isprintable()
    assert len(problem) < 600


def test_a_retry_input_that_is_no_file_is_told_with_its_path(job: Job, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for place in ("folder", "broken", "loop", "file/x", "pipe"):
        path = str(tmp_path / place)
        problem = job.report_problem({"location": {"path": path}})
        assert problem.startswith(f'input "retry failed": there is no file {path!r}')


def test_a_retry_input_in_a_closed_folder_is_told_with_its_path(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # a folder is never closed to root
    try:
        with pytest.raises(ConfigError) as raised:
            parse_config(
                {"inputs": {"retry failed": {"location": {"path": f"{closed}/report.csv"}}}},
                MANIFEST,
            )
    finally:
        os.seteuid(user)
    expected = f"there is no file '{closed}/report.csv': Permission denied"
    assert str(raised.value) == f'input "retry failed": {expected}'


def test_a_retry_input_that_is_a_link_to_a_file_is_taken(job: Job, report: Path) -> None:
    link = report.with_name("link")
    link.symlink_to(report)
    document = job.with_report({"location": {"path": str(link)}})
    assert parse_config(document, MANIFEST).retry_report == link


# The API key


@pytest.mark.parametrize(
    "key",
    [
        "site.example.org:secret",
        "site.example.org:443:secret",
        "127.0.0.1:8080:__force_insecure:secret",
        "site:1:secret",
        "site:65535:secret",
    ],
)
def test_a_key_is_taken_in_each_of_its_forms(job: Job, key: str) -> None:
    document = job.read(inputs={"api-key": {"base": "api-key", "key": key}})
    assert parse_api_key(document) == key


@pytest.mark.parametrize("inputs", [{}, {"api-key": None}, {"api-key": {}}, {"api-key": KEY}])
def test_a_job_without_a_key_is_told_so(job: Job, inputs: object) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_api_key(job.read(inputs=inputs))
    assert str(raised.value) == 'input "api-key": the job has no API key'


@pytest.mark.parametrize("key", [None, "", 5, ["site:secret"]])
def test_a_key_that_is_no_text_is_none(job: Job, key: object) -> None:
    assert job.key_problem(key) == 'input "api-key": the job has no API key'


@pytest.mark.parametrize(
    "key",
    [
        "secretsecret",
        "site.example.org:",
        ":secret",
        "site::secret",
        "site:0:secret",
        "site:65536:secret",
        "site:https:secret",
        "site:٣:secret",
        pytest.param(f"site:{'9' * 5000}:secret", id="huge port"),
        "https://site.example.org:secret",
        "site.example.org: secret",
        "site.example.org:secret\n",
        " site.example.org:secret",
        "site.example.org:sécret",
        "site.example.org:sec\x01ret",
        "site.example.org:sec\u200bret",
    ],
)
def test_a_key_of_another_form_is_refused_without_showing_it(job: Job, key: str) -> None:
    problem = job.key_problem(key)
    assert problem == 'input "api-key": the API key has not the form host[:port]:key'


def test_the_key_is_in_no_config(job: Job, report: Path) -> None:
    document = job.with_report({"location": {"path": str(report)}}, **{"project filter": "a=b"})
    assert parse_api_key(document) == KEY
    assert "secret" not in repr(parse_config(document, MANIFEST))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\0", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON: .*BOM"),
        (b"{\0}\0", "is not JSON"),
        (b'{"config": {"project filter": "\xe9"}}', "is not JSON: .*utf-8"),
        (b'{"config": "\xff\xfe"}', "is not JSON"),
        pytest.param(b"[" * 1_000_000, "is not JSON", id="deep list"),
        pytest.param(b'{"config":' * 1_000_000, "is not JSON", id="deep object"),
        pytest.param(b'{"config": ' + b"9" * 5000 + b"}", "is not JSON", id="long number"),
        *(
            (content, 'expected an object with "config" and "inputs"')
            for content in (b"[]", b"null", b"1e999", b"NaN", b'"config"', b"true")
        ),
        (b'{"config": 7}', 'expected an object with "config" and "inputs"'),
        (b'{"config": NaN}', 'expected an object with "config" and "inputs"'),
        (b'{"inputs": "x"}', 'expected an object with "config" and "inputs"'),
        (b'{"inputs": ["retry failed"]}', 'expected an object with "config" and "inputs"'),
    ],
)
def test_a_config_json_that_is_none_is_said_to_be_so(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(ConfigError, match=rf"^[^\n]*config\.json.*{problem}[^\n]*$"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("place", ["folder", "broken link"])
def test_a_config_json_that_is_no_file_is_said_to_be_so(tmp_path: Path, place: str) -> None:
    path = tmp_path / "config.json"
    if place == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"config\.json can't be read: .+"):
        read_json(tmp_path / "config.json")


def test_a_missing_config_json_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json can't be read"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"destination": {"type": "project"}}, "project"),
        ({"destination": {}}, ""),
        ({"destination": "x"}, ""),
        ({}, ""),
    ],
)
def test_where_the_outputs_go_is_read_where_it_is_told(document: JsonObject, kind: str) -> None:
    assert destination_type(document) == kind


@pytest.mark.parametrize(
    ("document", "found"), [({"job": {"id": "j"}}, "j"), ({"job": None}, ""), ({}, "")]
)
def test_the_job_s_id_is_read_where_it_is_told(document: JsonObject, found: str) -> None:
    assert job_id(document) == found


@pytest.mark.parametrize(
    ("document", "debug"),
    [({"config": {"debug": True}}, True), ({"config": {"debug": "yes"}}, False), ({}, False)],
)
def test_debug_is_known_before_the_config_is_checked(document: JsonObject, debug: bool) -> None:
    assert is_debug(document) is debug
