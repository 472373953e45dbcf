"""The job log: a line a message, and no secret in it."""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from flywheel_site_simulator import SimulatorServer
from fw_gear_sitewide_snapshot.report.log_format import JobLogFormatter, set_up
from fw_gear_sitewide_snapshot.site.http import Request
from fw_gear_sitewide_snapshot.site.transport import SdkTransport

KEY = "site.example.org:443:djEtsecretsecret"
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) +\S.*")

log = logging.getLogger("sitewide-snapshot.tests")


class Logged(Protocol):
    """What a job's log says while something happens."""

    def __call__(
        self, act: Callable[[], object], *, debug: bool = False, api_key: str = KEY
    ) -> str: ...


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """Set logging up as the gear does; undo it after the test."""
    root, formatter_secrets = logging.getLogger(), JobLogFormatter.secrets
    handlers, level = root.handlers[:], root.level

    def watch(act: Callable[[], object], *, debug: bool = False, api_key: str = KEY) -> str:
        set_up(api_key, debug=debug)
        capsys.readouterr()
        try:
            act()
        finally:
            root.handlers[:] = handlers
        return "".join(capsys.readouterr())

    yield watch
    root.handlers[:] = handlers
    root.setLevel(level)
    JobLogFormatter.secrets = formatter_secrets
    logging.raiseExceptions = True


def log_a_defect(message: str) -> None:
    try:
        raise RuntimeError(message)
    except RuntimeError:
        log.exception("A defect")


@pytest.mark.parametrize(
    "text",
    ["a\nERROR forged", "a\r\nERROR forged", "a\rERROR forged", "a\u2028b", "a\x85b", "a\x0bb",
     "a\x1b[2Jb", "a\0b", "a\x08b", "a\u202eb", "\ud800"],
)  # fmt: skip
def test_no_text_forges_a_line_or_moves_the_cursor(logged: Logged, text: str) -> None:
    line, end = logged(lambda: log.warning("Project %s", text)).split("\n")
    assert LINE.fullmatch(line)
    assert line.isprintable()
    assert end == ""


def test_what_is_escaped_can_still_be_read(logged: Logged) -> None:
    said = logged(lambda: log.warning("Project %s", "a\nb\x1b é 漢"))
    assert said.endswith(r"Project a\nb\x1b é 漢" + "\n")


@pytest.mark.parametrize("shown", [KEY, KEY.rsplit(":", 1)[1], f"Bearer {KEY}!"])
def test_the_key_is_blanked_in_a_message(logged: Logged, shown: str) -> None:
    said = logged(lambda: log.warning(f"Refused: {shown}"))  # noqa: G004 - the message itself
    assert "Refused: " in said
    assert "[API key]" in said
    assert "secret" not in said


def test_the_key_is_blanked_in_what_a_message_is_given(logged: Logged) -> None:
    said = logged(lambda: log.error("%s and %r and %s", KEY, {"key": KEY}, ValueError(KEY)))
    assert said.count("[API key]") == 3
    assert "secret" not in said


def test_the_key_is_blanked_in_a_traceback(logged: Logged) -> None:
    said = logged(lambda: log_a_defect(f"the site says {KEY}"))
    assert "RuntimeError: the site says [API key]" in said
    assert "secret" not in said


def test_the_key_is_blanked_whole_not_only_its_last_part(logged: Logged) -> None:
    assert "site.example.org" not in logged(lambda: log.warning("%s", KEY))


def test_without_a_key_nothing_is_blanked(logged: Logged) -> None:
    said = logged(lambda: log.warning("the job has no API key"), api_key="")
    assert said.endswith(" the job has no API key\n")


def test_a_traceback_is_set_apart_from_the_logs_own_lines(logged: Logged) -> None:
    message = "first\n2026-01-31 12:00:00 ERROR   forged\r\u2028last"
    own, *rest = logged(lambda: log_a_defect(message)).rstrip("\n").split("\n")
    assert LINE.fullmatch(own)
    assert len(rest) > 3
    assert not [line for line in rest if not line.startswith("    | ")]


def test_a_traceback_moves_no_cursor(logged: Logged) -> None:
    said = logged(lambda: log_a_defect("a\x1b[2J\0b"))
    assert "a" in said
    assert not [line for line in said.split("\n") if not line.isprintable()]


def test_an_ordinary_message_has_time_level_and_text(logged: Logged) -> None:
    said = logged(lambda: log.info("%d projects", 3))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    3 projects\n", said)


def test_times_are_in_utc() -> None:
    record = logging.LogRecord("name", logging.INFO, __file__, 1, "text", None, None)
    record.created = 0.0
    formatter = JobLogFormatter("{asctime}", "%Y-%m-%d %H:%M:%S", "{")
    assert formatter.format(record) == "1970-01-01 00:00:00"


def test_debug_off_keeps_debug_messages_out(logged: Logged, tmp_path: Path) -> None:
    assert logged(lambda: log.debug("details")) == ""
    assert not list(tmp_path.glob("output/*"))


def test_debug_on_lets_debug_messages_in(logged: Logged) -> None:
    assert "details" in logged(lambda: log.debug("details"), debug=True)


def test_debug_on_keeps_the_http_libraries_debug_lines_out(
    logged: Logged, served: SimulatorServer
) -> None:
    transport = SdkTransport(served.api_key())
    request = Request("GET", "/api/auth/status")
    said = logged(lambda: transport.send(request), debug=True, api_key=served.api_key())
    transport._client.rest_client.client.close()
    assert re.fullmatch(r".* DEBUG   GET /api/auth/status .*: 200 in .* s\n", said)


@pytest.mark.usefixtures("logged")
def test_what_the_locale_can_t_write_is_in_the_log_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    set_up(KEY, debug=False)
    log.info("Größe 頭")

    assert "Größe 頭" in written.getvalue().decode("utf-8")
