"""The demo works, and docs/demo.md and the README show what it prints."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.repository import ROOT, read

pytestmark = pytest.mark.process

LEFT_OUT = "…"
HEADING = re.compile(r"== .* ==")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Run the demo once, which is to keep its files where temporary files go."""
    temporary = tmp_path_factory.mktemp("demo")
    return subprocess.run(
        [sys.executable, str(ROOT / "demo.py")],
        cwd=temporary,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def transcript() -> list[str]:
    """The lines of the transcript in docs/demo.md, without the command."""
    page = read("docs/demo.md")
    found = re.search(r"^```text\n\$ make demo\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1].splitlines()


def normalised(line: str) -> str:
    """Return the line without what differs from run to run: times, ids, who was first."""
    line = re.sub(r"\b[0-9a-f]{24}\b", "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", "TIME", line)
    line = re.sub(r"\btook \S+ s\b", "took N s", line)
    return re.sub(r"\[\d+/", "[N/", line)


def unmatched(wanted: list[str], printed: Iterator[str]) -> str | None:
    """Find the first wanted line that isn't printed after the one before it."""
    return next((line for line in wanted if line not in printed), None)


def test_the_demo_shows_what_it_promises(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout
    assert "NOT OK" not in demo.stdout
    assert "Traceback" not in demo.stdout


def test_the_demo_leaves_the_outputs_of_its_runs_where_it_says_and_nothing_else(
    demo: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder,) = tmp_path_factory.getbasetemp().glob("demo[0-9]")
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    said = re.findall(r"^outputs, kept in (.*): (.*)$", demo.stdout, re.MULTILINE)

    assert len(said) == 3  # the job that is killed leaves nothing
    assert sorted(left) == [
        f"{place}/{name}" for place, names in said for name in names.split(", ")
    ]


def test_the_log_comes_in_the_order_of_its_times(demo: subprocess.CompletedProcess[str]) -> None:
    times = re.findall(r"^  \| (\S+ \d\d:\d\d:\d\d) ", demo.stdout, re.MULTILINE)

    assert len(times) > 40
    assert times == sorted(times)


def test_every_line_of_the_transcript_is_printed_in_that_order(
    demo: subprocess.CompletedProcess[str], transcript: list[str]
) -> None:
    wanted = [normalised(line) for line in transcript if line and line != LEFT_OUT]
    printed = map(normalised, demo.stdout.splitlines())

    assert len(wanted) > 15
    assert unmatched(wanted, printed) is None, demo.stdout


def test_lines_are_left_out_only_where_the_transcript_says_so(
    demo: subprocess.CompletedProcess[str], transcript: list[str]
) -> None:
    """What stands between two marks is one block of the demo's lines, without a gap."""
    printed = "\n".join(["", *map(normalised, demo.stdout.splitlines()), ""])
    blocks = "\n".join(map(normalised, transcript)).split(f"\n{LEFT_OUT}\n")

    for block in blocks:
        assert f"\n{block}\n" in printed


def test_the_transcript_has_all_of_the_demos_headings(
    demo: subprocess.CompletedProcess[str], transcript: list[str]
) -> None:
    assert [line for line in transcript if HEADING.fullmatch(line)] == [
        line for line in demo.stdout.splitlines() if HEADING.fullmatch(line)
    ]


def test_the_report_on_the_first_page_is_the_demos(
    demo: subprocess.CompletedProcess[str],
) -> None:
    table = re.search(r"^\| group_label (?:.*\n)+?(?=\n)", read("README.md"), re.MULTILINE)
    assert table is not None
    head, _, *rows = table[0].splitlines()
    first_run = demo.stdout.partition("== Second run")[0]
    printed = (re.split(r"  +", normalised(line).strip()) for line in first_run.splitlines())

    assert len(rows) == 3  # complete ones, and one that is not
    for row in [head, *rows]:
        cells = [cell.strip() for cell in normalised(row).strip("|").split("|")]
        assert [cell for cell in cells if cell] in printed, row


@pytest.mark.parametrize(
    ("wanted", "printed", "missing"),
    [
        (["a", "c"], ["a", "b", "c"], None),
        (["c", "a"], ["a", "b", "c"], "a"),
        (["a", "a"], ["a", "b", "c"], "a"),
        (["d"], [], "d"),
    ],
)
def test_the_check_itself_finds_what_is_not_printed(
    wanted: list[str], printed: list[str], missing: str | None
) -> None:
    assert unmatched(wanted, iter(printed)) == missing
