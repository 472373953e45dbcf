"""The documents agree with the gear, and their links lead somewhere."""

import ast
import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fw_gear_sitewide_snapshot import errors
from fw_gear_sitewide_snapshot.download import copies, copying, fetch, fetch_queue, place
from fw_gear_sitewide_snapshot.download.archive import ARCHIVE_NAME
from fw_gear_sitewide_snapshot.models import SnapshotStatus
from fw_gear_sitewide_snapshot.report.columns import COLUMNS
from fw_gear_sitewide_snapshot.report.csv_report import REPORT_NAME
from fw_gear_sitewide_snapshot.report.metadata import TAG_COMPLETE, TAG_INCOMPLETE, TAG_LOST
from fw_gear_sitewide_snapshot.report.page import PAGE_NAME
from fw_gear_sitewide_snapshot.site import paging, retry
from fw_gear_sitewide_snapshot.snapshot import begin, transitions
from tests.support.repository import ROOT, read

RELIABILITY = "docs/reliability.md"
DOCUMENTS = ["README.md", "FAQ.md", "CONTRIBUTING.md", "CHANGELOG.md"] + [
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
]
QC_RESULT = "docs/qc-result.md"
NO_COMMANDS = {"FAQ.md", "CHANGELOG.md"} | {
    f"docs/{name}.md" for name in ("copies", "qc-result", "restoring", "rules")
}
# What a stranger needs first, then the sections of Flywheel's template for a gear's README.
SECTIONS = {
    "Install": [],
    "Use": [],
    "Try it here": [],
    "Test": [],
    "Overview": [
        "Summary", "Cite", "License", "Classification",
        "Inputs", "Config", "Outputs", "Pre-requisites",
    ],
    "Usage": ["Description", "File Specifications", "Workflow", "Use Cases", "Logging"],
    "FAQ": [],
    "Contributing": [],
}  # fmt: skip
UNQUOTED = str.maketrans("", "", "`'")
Row = dict[str, str]


def prose(name: str) -> str:
    """A document without its blocks of code, which are no Markdown."""
    return re.sub(r"^```.*?^```$", "", read(name), flags=re.DOTALL | re.MULTILINE)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(name: str, first_column: str) -> list[Row]:
    """The rows of the document's one table whose first column has that name."""
    blocks = re.findall(r"(?:^\|.*\n)+", prose(name), re.MULTILINE)
    found = [block.splitlines() for block in blocks if cells(block)[0] == first_column]
    assert len(found) == 1, f"{name}: {len(found)} tables begin with {first_column}"
    head, _, *rows = found[0]
    assert all(len(cells(row)) == len(cells(head)) for row in rows)
    return [dict(zip(cells(head), cells(row), strict=True)) for row in rows]


def code(cell: str) -> str:
    """The cell's text, which is all set as code."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match is not None, f"not set as code: {cell}"
    return match[1]


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def links(name: str) -> Iterator[str]:
    for target in re.findall(r"\[[^\]]+\]\(([^)]+)\)", prose(name)):
        if not re.match(r"[a-z]+:", target):
            yield target


# -------------------------------------------------------------------------------------- the README


def test_the_readme_has_the_sections_of_a_gear_in_their_order() -> None:
    chapters = re.split(r"^## ", prose("README.md"), flags=re.MULTILINE)[1:]

    assert {
        chapter.partition("\n")[0]: re.findall(r"^### (.+)$", chapter, re.MULTILINE)
        for chapter in chapters
    } == SECTIONS
    assert [chapter.partition("\n")[0] for chapter in chapters] == list(SECTIONS)


def test_the_first_page_of_the_readme_is_one_page_and_the_whole_is_short() -> None:
    first_page = read("README.md").partition("\n## Overview\n")[0]

    assert len(first_page.splitlines()) <= 60
    assert len(read("README.md").split()) <= 1800


def test_the_faq_is_short() -> None:
    assert len(read("FAQ.md").split()) <= 2000


def test_the_faq_s_list_of_questions_has_each_once_in_its_order() -> None:
    begin, _, rest = prose("FAQ.md").partition("\n## ")
    questions = re.findall(r"^## (.+)$", f"## {rest}", re.MULTILINE)
    listed = re.findall(r"\(#([^)]+)\)", begin)

    assert listed == list(map(slug, questions))


def test_every_page_of_the_docs_is_linked_from_the_readme_or_the_faq() -> None:
    linked = {
        target.partition("#")[0] for name in ("README.md", "FAQ.md") for target in links(name)
    }

    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= linked


def test_one_variable_holds_the_api_key_in_all_documents() -> None:
    named = {
        name for document in DOCUMENTS for name in re.findall(r"\b\w*API_KEY\b", read(document))
    }

    assert named == {"FW_API_KEY"}


def test_the_first_page_names_the_commands_that_set_everything_up() -> None:
    first_page = read("README.md").partition("\n## Overview\n")[0]

    assert "`make demo`" in first_page
    assert "`make test`" in first_page


def test_the_summary_is_the_manifests_description(manifest: dict[str, Any]) -> None:
    summary = read("README.md").partition("### Summary\n")[2].partition("\n### ")[0]

    assert " ".join(summary.split()).translate(UNQUOTED) == manifest["description"].translate(
        UNQUOTED
    )


# -------------------------------------------------------------------------------------- the tables


def test_the_table_of_inputs_agrees_with_the_manifest(manifest: dict[str, Any]) -> None:
    written = [
        (code(row["input"]), row["type"], row["optional"]) for row in table("README.md", "input")
    ]

    assert written == [
        (name, kind(given), yes_or_no(given.get("optional", False)))
        for name, given in manifest["inputs"].items()
    ]


def kind(given: dict[str, Any]) -> str:
    types = given.get("type", {}).get("enum")
    return f"{given['base']} ({', '.join(types)})" if types else str(given["base"])


def test_the_table_of_options_agrees_with_the_manifest(manifest: dict[str, Any]) -> None:
    written = [
        (code(row["option"]), row["type"], row["optional"], row["default"])
        for row in table("README.md", "option")
    ]

    assert written == [
        (
            name,
            option["type"],
            yes_or_no(option.get("optional", False)),
            f"`{json.dumps(option['default'])}`" if "default" in option else "–",
        )
        for name, option in manifest["config"].items()
    ]


def test_the_table_of_options_has_the_limits_of_the_manifest(manifest: dict[str, Any]) -> None:
    meaning = {code(row["option"]): row["meaning"] for row in table("README.md", "option")}
    attempts = manifest["config"]["attempts per project"]
    hours = manifest["config"]["reuse within hours"]

    assert f"{attempts['minimum']} to {attempts['maximum']}" in meaning["attempts per project"]
    assert f"{hours['minimum']} to {hours['maximum']:,}" in meaning["reuse within hours"]
    assert manifest["config"]["timeout minutes"]["minimum"] == 0
    assert "more than 0" in meaning["timeout minutes"]


def test_the_table_of_columns_agrees_with_the_report() -> None:
    written = ", ".join(row["column"] for row in table("README.md", "column"))

    assert tuple(map(code, written.split(", "))) == COLUMNS


def test_the_table_of_exit_statuses_has_all_of_them() -> None:
    ends = [value for name, value in vars(errors).items() if name.startswith("EXIT_")]
    ends.remove(errors.EXIT_SIGNALLED)
    signalled = [errors.EXIT_SIGNALLED + number for number in (signal.SIGTERM, signal.SIGINT)]
    written = ", ".join(row["exit status"] for row in table("README.md", "exit status"))

    assert [int(status) for status in written.split(",")] == [*ends, *signalled]


def test_the_table_of_outputs_has_all_of_them_and_each_is_described() -> None:
    """That a run leaves these and nothing else is for gear/test_run.py."""
    outputs = [code(row["output"]) for row in table("README.md", "output")]
    headings = re.findall(r"^#### (.+)$", prose("README.md"), re.MULTILINE)

    assert outputs == [REPORT_NAME, PAGE_NAME, ARCHIVE_NAME, ".metadata.json"]
    assert set(outputs) - {PAGE_NAME} <= set(headings)  # the page is what it shows


def test_the_readme_says_who_can_read_the_archive() -> None:
    section = prose("README.md").partition("#### snapshots.zip")[2].partition("\n#### ")[0]

    assert "off by default" in section
    assert "metadata of other projects" in section
    assert "lands where this job's outputs land" in section


def test_the_faq_explains_each_status() -> None:
    explained = " ".join(row["status"] for row in table("FAQ.md", "status"))

    assert {status for status in SnapshotStatus if f"`{status}`" not in explained} == set()


@pytest.mark.parametrize("name", sorted({*DOCUMENTS} - {QC_RESULT}))  # whose names are its own
def test_a_name_with_a_blank_is_one_of_the_manifest(name: str, manifest: dict[str, Any]) -> None:
    """`timeout minutes` is set as code; a misspelt option would be found here."""
    known = {*manifest["inputs"], *manifest["config"], TAG_COMPLETE, TAG_INCOMPLETE, TAG_LOST}
    named = set(re.findall(r"`([a-z]+(?:[ -][a-z]+)+)`", prose(name)))
    others = {text for text in named if text.startswith("make ")} | {
        "pre-commit install",
        "scitran-user",
        "sha256sum -c",
    }

    assert named - others - known == set()


# ------------------------------------------------------------------------------ commands and links


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_makefile_has_every_command(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    commands = set(re.findall(r"(?:`|\$ )make ([a-z]+)", read(name)))

    assert commands <= targets
    assert commands or name in NO_COMMANDS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in links(name):
        path, _, anchor = target.partition("#")
        led = (ROOT / name).parent / path if path else ROOT / name
        assert led.is_file(), f"{name}: {target}"
        if anchor:
            there = str(led.resolve().relative_to(ROOT))
            headings = re.findall(r"^#+ (.+)$", prose(there), re.MULTILINE)
            assert anchor in map(slug, headings), f"{name}: {target}"


def test_the_map_of_the_source_names_what_is_there() -> None:
    block = re.search(r"^```\nrun\.py(.*?)^```$", read("CONTRIBUTING.md"), re.DOTALL | re.MULTILINE)
    assert block is not None
    named = set(re.findall(r"\b([a-z_]+(?:\.py|/))", block[1]))
    package = ROOT / "fw_gear_sitewide_snapshot"
    modules = {path.name for path in package.glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    assert (modules | folders) - named == set(), "say in CONTRIBUTING.md what it is for"
    there = {path.name for path in [*package.rglob("*.py"), *ROOT.glob("*.py")]}
    there |= {f"{path.name}/" for top in (ROOT, ROOT / "tests", package) for path in top.iterdir()}
    assert named - there == set(), "CONTRIBUTING.md names what is gone"


def test_where_to_start_with_a_change_is_there() -> None:
    starts = " ".join(row["start in"] for row in table("CONTRIBUTING.md", "to change"))
    package = ROOT / "fw_gear_sitewide_snapshot"
    named = re.findall(r"`([\w/]+(?:\.\w+|/))`", starts)

    assert len(named) > 10
    assert [
        name for name in named if not any((top / name).exists() for top in (package, ROOT))
    ] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_line_of_a_document_has_blanks_at_its_end(name: str) -> None:
    assert [line for line in read(name).splitlines() if line != line.rstrip()] == []


# ---------------------------------------------------------------------------- docs/reliability.md


def functions_of(name: str) -> set[str]:
    """The tests that a file in tests/ has."""
    nodes = ast.walk(ast.parse(read(f"tests/{name}")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_each_fault_names_tests_that_there_are() -> None:
    for row in table(RELIABILITY, "what goes wrong"):
        shown = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row["shown by"])
        assert len(shown) == row["shown by"].count("`") / 2 > 0, row
        for file, test in shown:
            assert test in functions_of(file), f"{file}::{test}"


def test_each_test_that_is_named_elsewhere_on_the_page_is_there() -> None:
    named = re.findall(r"`(?:tests/)?([\w/]*test_\w+\.py)(?:::(test_\w+))?`", prose(RELIABILITY))

    assert named
    for file, test in named:
        assert (ROOT / "tests" / file).is_file(), file
        assert not test or test in functions_of(file), f"{file}::{test}"


def test_the_page_on_reliability_has_the_numbers_of_the_code() -> None:
    text = " ".join(read(RELIABILITY).split())

    assert "a whole list that shows none for half a minute lets it ask again" in text
    assert transitions.SETTLE_SECONDS == 30
    assert "three times at the most" in text
    assert transitions.MAX_UNKNOWN_CREATES == 3
    assert "waits ten seconds for what that one may have sent last" in text
    assert begin.CUT_OFF_SETTLE_SECONDS == 10
    assert "Two readings of the project's list, five seconds apart" in text
    assert transitions.GONE_SECONDS == 5
    assert "One that was just made gets forty seconds first" in text
    assert begin.NEW_SECONDS == 40
    assert "the site is away for half a minute" in text
    assert retry.RETRY_SECONDS >= 30
    assert "A list that is cut (250 or more" in text
    assert paging.PAGE == 250
    assert "`make soak` tries 100,000" in text
    assert "SCHEDULES=100000" in read("Makefile")
    assert "`make test` tries 2,000" in text
    assert '"SCHEDULES", "2000"' in read("tests/support/schedules.py")


# --------------------------------------------------------------------------------- docs/copies.md


def test_the_page_on_copies_has_the_numbers_and_names_of_the_code() -> None:
    text = " ".join(read("docs/copies.md").split())

    assert {
        code(row["`copy to`"]).partition(":")[0] for row in table("docs/copies.md", "`copy to`")
    } == {*place.SCHEMES}
    assert "at least five times and for a minute" in text
    assert fetch._COPIES == 5
    assert fetch._OUTAGE_SECONDS == copying._OUTAGE_SECONDS == 60
    assert "forty attempts in a row" in text
    assert copies.MOST_FAILURES == 40
    assert "up to four are fetched and copied at a time" in text
    assert fetch_queue.MAX_CONCURRENT_DOWNLOADS == 4
    assert f"takes {copying._TRIAL_SECONDS:.0f} seconds, the exit status is 2" in text
    assert copying._TRIAL_SECONDS <= 30
    assert f"`{copies._TRIAL_KEY}-…`" in text
