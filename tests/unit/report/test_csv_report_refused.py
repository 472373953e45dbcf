"""Files that are no report: each is refused in one line that says where, and what was expected."""

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.errors import ReportError
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.text import one_line
from tests.support.old_reports import IDS, OLD_HEADER, OLD_RECORD, OLD_ROW, old, row, saved


def refusal(tmp_path: Path, content: str | bytes) -> str:
    """What is said of a file that is no report."""
    with pytest.raises(ReportError) as raised:
        csv_report.read(saved(tmp_path, content))
    return str(raised.value)


def of(line: int | str, problem: str) -> str:
    """The pattern of a refusal in one line that names this line of the file."""
    return rf'input "retry failed": edited\.csv, line {line}: [^\r\n]*{problem}[^\r\n]*'


def archive() -> bytes:
    """A workbook, as far as its first bytes go."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/workbook.xml", "<workbook/>" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\r\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert re.fullmatch(of(1, "the file is empty"), refusal(tmp_path, content))


def test_a_file_that_is_much_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "")
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # it takes no room

    with pytest.raises(ReportError, match=of(1, "larger than 256.0 MiB; expected")):
        csv_report.read(path)


@pytest.mark.parametrize("content", [",,,\n,,,\n", OLD_HEADER, OLD_HEADER + "\n,,,\n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    assert re.fullmatch(of(1, "there are no rows"), refusal(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(128, 256)),
        b"\x89PNG\r\n\x1a\n",
        b"\x1f\x8b\x08\x00\x00",
        old(OLD_ROW).encode("utf-16"),
        b"\xff",
    ],
    ids=["bytes", "image", "gzip", "UTF-16", "one byte"],
)
def test_a_file_that_is_no_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    assert re.fullmatch(of(1, "expected .*UTF-8"), refusal(tmp_path, content))


def test_an_encoding_error_names_its_line(tmp_path: Path) -> None:
    content = old(row(project_id=IDS[2]), OLD_ROW.replace("Study", "Étude")).encode("latin-1")
    expected = r'column project_label: "\\udcc9tude": .*expected .*UTF-8'
    assert re.fullmatch(of(3, expected), refusal(tmp_path, content))


def test_what_decides_nothing_may_be_no_utf_8(tmp_path: Path) -> None:
    content = old(f"{OLD_ROW},Étude,1\xa0234", header=f"{OLD_HEADER},note,files")
    assert csv_report.read(saved(tmp_path, content.encode("latin-1"))) == [OLD_RECORD]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 24


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(archive, "a workbook", id="xlsx"),
        pytest.param(lambda: OLE, "a workbook", id="xls"),
        pytest.param(lambda: old(OLD_ROW).encode("utf-16"), "text in UTF-16", id="UTF-16"),
        pytest.param(lambda: b"\xfe\xff" + old().encode("utf-16-be"), "text in UTF-16", id="BE"),
        pytest.param(lambda: old().encode("utf-16-le"), "text in UTF-16", id="LE without mark"),
        pytest.param(lambda: old().encode("utf-16-be"), "text in UTF-16", id="BE without mark"),
        pytest.param(lambda: b"<!DOCTYPE html>\n<p>", "a page in HTML", id="HTML"),
        pytest.param(lambda: b"\xef\xbb\xbf\r\n <HTML>", "a page in HTML", id="HTML, marked"),
        pytest.param(lambda: b"<?xml version='1.0'?>", "a page in HTML .or XML", id="XML"),
        pytest.param(lambda: b' {"message": "gone"}', "JSON", id="object"),
        pytest.param(lambda: b'[{"status": "complete"}]', "JSON", id="list"),
        pytest.param(lambda: b"%PDF-1.7\n%\xe2\xe3", "a PDF", id="PDF"),
        pytest.param(lambda: gzip.compress(old().encode()), "compressed with gzip", id="gzip"),
    ],
)
def test_a_file_of_a_known_kind_is_told_as_what_it_is(
    tmp_path: Path, content: Callable[[], bytes], kind: str
) -> None:
    expected = f"this seems to be {kind}.*; expected .*CSV in UTF-8.*group_label"
    assert re.fullmatch(of(1, expected), refusal(tmp_path, content()))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(archive(), id="workbook"),
        pytest.param(old(OLD_ROW).encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param("<html>\n<body>Not found</body>", id="page"),
        pytest.param('{"status": "complete"}', id="JSON"),
        pytest.param("\0" * 1000, id="zeros"),
        pytest.param("name,age\nAda,36\n", id="other table"),
        pytest.param(OLD_ROW, id="no header"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes
) -> None:
    assert re.fullmatch(of(1, "expected"), refusal(tmp_path, content))


@pytest.mark.parametrize("missing", OLD_HEADER.split(","))
def test_a_column_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    text = refusal(tmp_path, old(OLD_ROW, header=OLD_HEADER.replace(missing, "other")))
    assert re.fullmatch(of(1, f"no column {missing}; expected .*{OLD_HEADER[:11]}"), text)


@pytest.mark.parametrize("twice", ["status", "Status ", "error,error", "files,Files"])
def test_a_column_that_comes_twice_is_named(tmp_path: Path, twice: str) -> None:
    name = twice.split(",", maxsplit=1)[0].strip().lower()
    text = refusal(tmp_path, old(OLD_ROW, header=f"{OLD_HEADER},{twice}"))
    assert re.fullmatch(of(1, f"two columns {name}; expected"), text)


def test_the_header_may_begin_on_a_later_line(tmp_path: Path) -> None:
    assert re.fullmatch(of(3, "no column"), refusal(tmp_path, "\n,,\nname,age\n"))


def test_an_unclosed_quote_is_told_with_the_line_of_its_row(tmp_path: Path) -> None:
    content = old(OLD_ROW, row(project_label='"Study'), row(project_id=IDS[1]))
    assert re.fullmatch(of(3, "this is not CSV"), refusal(tmp_path, content))


def test_text_after_a_closing_quote_is_no_csv(tmp_path: Path) -> None:
    content = old(row(project_label='"Study" 2'))
    assert re.fullmatch(of(2, "this is not CSV"), refusal(tmp_path, content))


def test_a_cell_of_any_length_is_read(tmp_path: Path) -> None:
    content = old(row(project_label="x" * 1_000_000))
    assert csv_report.read(saved(tmp_path, content))[0].project.label == "x" * 1_000_000


def test_a_row_of_too_many_cells_is_refused(tmp_path: Path) -> None:
    content = old(row(project_label="Study, the second"))
    assert re.fullmatch(of(2, "8 cells, but 7 columns.*comma"), refusal(tmp_path, content))


@pytest.mark.parametrize(
    ("cells", "column", "expected"),
    [
        ({"project_id": "5.0E+23"}, "project_id", '"5.0E[+]23": expected .*24 hex digits'),
        ({"project_id": "123"}, "project_id", '"123": expected .*24 hex digits'),
        ({"project_id": ""}, "project_id", '"": expected .*24 hex digits'),
        ({"snapshot_id": "5.0E+23"}, "snapshot_id", "expected .*24 hex digits"),
        ({"snapshot_id": "../../../x"}, "snapshot_id", "expected .*24 hex digits"),
        (
            {"snapshot_id": "", "status": "archived", "timestamp": ""},
            "status",
            "expected failed or planned",
        ),
        ({"status": ""}, "status", "expected failed or planned"),
        ({"snapshot_id": "", "status": "complete"}, "snapshot_id", "complete .*needs"),
        (
            {"snapshot_id": "", "timestamp": "", "status": "pending"},
            "timestamp",
            "pending .*needs the time",
        ),
        (
            {"snapshot_id": "", "timestamp": "29.11.2023 14:05", "status": "in_progress"},
            "timestamp",
            '"29.11.2023 14:05": .* such as 2026',
        ),
        (
            {"snapshot_id": "", "timestamp": "45259.587", "status": "archived"},
            "timestamp",
            '"45259.587": .* such as 2026',
        ),
    ],
)
def test_a_cell_that_cannot_be_is_told_with_line_column_and_what_was_expected(
    tmp_path: Path, cells: dict[str, str], column: str, expected: str
) -> None:
    content = old(row(project_id=IDS[2]), row(**cells))
    assert re.fullmatch(of(3, f"column {column}: .*{expected}"), refusal(tmp_path, content))


def test_a_project_that_comes_twice_with_other_values_is_refused(tmp_path: Path) -> None:
    content = old(row(project_id=IDS[2]), OLD_ROW, row(status="complete"))
    text = refusal(tmp_path, content)
    assert re.fullmatch(of(4, "column project_id: .*the project of line 3 again"), text)


def test_a_project_of_several_reports_with_other_values_is_refused(tmp_path: Path) -> None:
    content = old(OLD_ROW) + old(row(project_label="renamed"))
    text = refusal(tmp_path, content)
    assert re.fullmatch(of(4, "column project_id: .*the project of line 2 again"), text)


def test_a_repeated_header_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    content = old(OLD_ROW) + old(header=OLD_HEADER.replace("status", "state"))
    assert re.fullmatch(of(3, "column project_id: .*24 hex digits"), refusal(tmp_path, content))


def test_a_repeated_header_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    content = old(OLD_ROW) + old(header=f"{OLD_HEADER},status")
    assert re.fullmatch(of(3, "two columns status"), refusal(tmp_path, content))


def test_a_hostile_cell_is_shown_in_one_line_of_bounded_length(tmp_path: Path) -> None:
    text = refusal(tmp_path, old(row(project_id='"a\r\nERROR forged\x1b[2J' + "x" * 5000 + '"')))
    assert re.fullmatch(of(2, "24 hex digits"), text)
    assert text.isprintable()
    assert len(text) < 300


def test_a_hostile_file_name_is_shown_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nERROR forged.csv"
    path.write_text("")
    with pytest.raises(ReportError) as raised:
        csv_report.read(path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("place", ["missing.csv", ".", "x" * 300, "link", "a\0b", "\ud800"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ReportError) as raised:
        csv_report.read(tmp_path / place)
    shown = re.escape(one_line(str(tmp_path / place)))
    assert re.fullmatch(f'input "retry failed": "{shown}" can\'t be read: .+', str(raised.value))


def test_the_input_that_the_report_was_given_as_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", saved(tmp_path, "")):
        with pytest.raises(ReportError, match=r'^input "previous-report": '):
            csv_report.read(path, "previous-report")


@pytest.mark.parametrize(
    ("label", "line"),
    [('"a\nb"', 4), ('"a\r\nb"', 4), ('"a\n\n\nb"', 6), ('"a ""b"""', 3), ("\u2028\x0b\x85", 3)],
)
def test_a_line_number_counts_the_line_breaks_in_cells(
    tmp_path: Path, label: str, line: int
) -> None:
    content = old(row(project_label=label, project_id=IDS[2]), row(project_id="bad"))
    assert re.fullmatch(of(line, "column project_id"), refusal(tmp_path, content))


def test_a_line_number_counts_blank_lines(tmp_path: Path) -> None:
    content = old(row(project_id=IDS[2]), "", ",,,,", row(project_id="bad"))
    assert re.fullmatch(of(5, "column project_id"), refusal(tmp_path, content))


def test_a_row_of_several_lines_is_told_with_its_first(tmp_path: Path) -> None:
    content = old(row(project_label='"a\nb\nc"', project_id="bad"))
    assert re.fullmatch(of(2, "column project_id"), refusal(tmp_path, content))
