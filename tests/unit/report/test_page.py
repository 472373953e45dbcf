"""The page: what is on it, and that nothing in it can do harm."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

import fw_gear_sitewide_snapshot
from fw_gear_sitewide_snapshot.errors import OutputError
from fw_gear_sitewide_snapshot.models import Project
from fw_gear_sitewide_snapshot.report import page
from fw_gear_sitewide_snapshot.report.summary import Summary
from tests.support.page import HOSTILE, NOW, SITE, Reader, batch, content, record, render

RUN = page.Run(ended=NOW, site_url=SITE)

# ------------------------------------------------------------------------------------- what it says


def test_every_project_is_in_the_table_exactly_once() -> None:
    records = batch(300)
    header, *rows = Reader(render(reversed(records))).tables["projects"]

    assert header == ["Group", "Project", "Status", "Snapshot id", "Time (UTC)", "Error"]
    assert rows == [
        [
            record.project.group,
            record.project.label,
            record.status.replace("_", " "),
            record.snapshot_id,
            f"{record.timestamp:%Y-%m-%d %H:%M:%S}",
            record.reason,
        ]
        for record in sorted(records, key=lambda r: (r.project.group, r.project.label))
    ]


def test_columns_without_anything_to_say_are_left_out() -> None:
    header, row = Reader(render([record(1)])).tables["projects"]

    assert header == ["Group", "Project", "Status", "Snapshot id", "Time (UTC)"]
    assert row[1] == "Project 1"


def test_what_was_found_in_the_snapshots_is_summed() -> None:
    records = [replace(record(n), content=content(n)) for n in (1, 2)] + [record(3)]
    header, *rows, totals = Reader(render(records)).tables["projects"]

    assert header[-5:] == ["Size", "Subjects", "Sessions", "Acquisitions", "Files"]
    assert [row[-5:] for row in rows] == [
        ["1.2 MiB", "1", "2", "7", "99"],
        ["2.4 MiB", "2", "4", "14", "99"],
        ["", "", "", "", ""],
    ]
    assert totals == ["All projects", "3.5 MiB", "3", "6", "21", "198"]


def test_the_checksums_of_what_was_fetched_are_there_in_full() -> None:
    records = [replace(record(1), content=content(1)), record(2)]
    header, *rows, _ = Reader(render(records)).tables["projects"]

    assert [row[header.index("SHA-256")] for row in rows] == [f"{1:064x}", ""]
    assert "SHA-256" not in render([record(2)])


def test_the_groups_add_up_and_those_in_trouble_come_first() -> None:
    records = batch(300)
    header, *rows = Reader(render(records)).tables["groups"]
    numbers = [[int(cell) for cell in row[2:]] for row in rows]
    unfinished = [failed + running for _, failed, running, _ in numbers]

    assert header == ["Group", "", "Complete", "Failed", "Running", "Projects"]
    assert all(sum(kinds) == total for *kinds, total in numbers)
    assert {row[0]: total for row, (*_, total) in zip(rows, numbers, strict=True)} == Counter(
        record.project.group for record in records
    )
    assert [sum(column) for column in zip(*numbers, strict=True)] == [
        sum(record.status == "complete" for record in records),
        sum(record.status == "failed" for record in records),
        sum(record.status == "in_progress" for record in records),
        300,
    ]
    assert sorted(map(bool, unfinished), reverse=True) == list(map(bool, unfinished))


def test_what_is_not_complete_comes_first_with_its_reason() -> None:
    records = [
        record(1, group="a", label="fine"),
        record(2, "in_progress", group="a", label="late"),
        record(3, "failed", "no rights", group="b", label="denied"),
        record(4, "failed", "no rights", group="b", label="denied too"),
        record(5, "failed", group="c", label="mute"),
        replace(record(6, "pending", group="c", label="cut off"), snapshot_id=""),
    ]
    html = render(records)
    words = " ".join(Reader(html).section("Not complete").split())

    assert html.index('id="look"') < html.index('id="projects"')
    assert words == (
        "5 "
        "failed no rights 2 projects b/denied b/denied too "
        "failed the site reports that it failed "
        'A retry ("retry failed") starts another one. If that fails too, show the reason to the '
        "site's administrator. c/mute "
        "in progress the run ended before the snapshot was finished: a retry waits for it a/late "
        "pending the run ended before it was known whether a snapshot was started: a retry looks "
        'With this report as "retry failed" none is started twice. c/cut off'
    )


def test_a_complete_snapshot_with_an_error_is_worth_a_look() -> None:
    words = Reader(render([record(1, "complete", "the file's checksum differs")])).text

    assert "All projects" in words.partition("Worth a look")[2]
    assert "the file's checksum differs" in words.partition("Worth a look")[2]


@pytest.mark.parametrize("status", ["complete", "planned"])
def test_where_nothing_is_wrong_there_is_no_list_of_it(status: str) -> None:
    assert 'id="look"' not in render([record(1, status)])


def test_a_snapshot_that_could_not_be_fetched_is_not_complete() -> None:
    records = [
        replace(record(1), content=content(1)),
        record(2, error="download failed: the site says 404"),
        record(3),
        record(4, error="download failed: the site says 404"),
        record(5, "failed", "no rights"),
    ]
    html = render(records, to_fetch=True)
    reader = Reader(html)

    assert " ".join(reader.section("Not complete").split()) == (
        "4 "
        "complete, not fetched download failed: the site says 404 2 projects "
        'A retry ("retry failed", with the same options) fetches it again. '
        "group/Project 2 group/Project 4 "
        "complete, not fetched the run ended before it was fetched group/Project 3 "
        "failed no rights group/Project 5"
    )
    assert 'class="headline mark failed"' in html
    assert reader.tables["groups"][1][2:] == ["4", "1", "5"]


def test_where_nothing_was_to_be_fetched_nothing_lacks() -> None:
    html = render([replace(record(1), content=content(1)), record(2)])

    assert 'class="headline mark complete"' in html
    assert 'id="look"' not in html


def test_long_lists_of_reasons_end_in_the_table() -> None:
    same = [record(n, "failed", "no rights") for n in range(1, 151)]
    own = [record(n, "failed", f"error {n}") for n in range(201, 501)]
    reader = Reader(render(same + own))

    assert "50 more, in the table of all projects" in reader.text
    assert "101 more reasons, in the table of all projects" in reader.text
    assert len(reader.tables["projects"]) == 451


def test_batches_are_named_and_told_apart() -> None:
    reader = Reader(render([record(n, batch=name) for n, name in enumerate("CABBDE")]))

    assert reader.text.strip().startswith("Sitewide Snapshot: ")
    assert reader.tables["projects"][0][-1] == "Batch"
    assert [row[-1] for row in reader.tables["projects"][1:]] == list("CABBDE")
    assert "C, A, B and 2 more" in reader.text


def test_without_a_batch_name_the_title_is_the_gear_s() -> None:
    assert "<title>Sitewide Snapshot</title>" in render([record(1, batch="")])


def test_times_are_utc() -> None:
    east = datetime.fromisoformat("2026-02-01T00:30:00+12:00")
    records = [replace(record(1), timestamp=east)]
    html = "".join(page.render(records, Summary.of(records), page.Run(ended=east)))

    assert Reader(html).text.count("2026-01-31 12:30:00") == 3


def test_what_the_page_was_made_from_is_told_where_it_is_known() -> None:
    records = [record(1)]
    run = page.Run(
        ended=NOW,
        began=datetime.fromisoformat("2026-01-31T12:00:00+00:00"),
        site_url=SITE,
        asked_for="group=<b>",
        options='input "retry failed": none; dry run: false',
        user="someone@example.org",
        job_id=f"{7:024x}",
        attempt=2,
    )
    html = "".join(page.render(records, Summary.of(records), run))
    told = " ".join(Reader(html).text.partition("How this batch was made")[2].split())

    assert told.startswith(
        'Batch of group=<b> Options input "retry failed": none; dry run: false '
        f"Site {SITE} User someone@example.org Job {7:024x} Attempt 2 "
        f"Gear sitewide-snapshot {fw_gear_sitewide_snapshot.__version__} "
        "Run began 2026-01-31 12:00:00 UTC Run ended 2026-01-31 12:30:00 UTC"
    )
    assert "Job " not in Reader(render(records)).text


# --------------------------------------------------------------------------------- links and safety


def test_projects_are_linked_on_the_site() -> None:
    html = render([record(1), record(2, "failed", "no")], site_url=f"{SITE}/")
    links = [link for link in Reader(html).links() if not link.startswith("#")]

    assert links == [f"{SITE}/#/projects/{number:024x}/information" for number in (2, 1, 2)]
    for tag, attributes in Reader(html).tags:
        if tag == "a" and not (attributes["href"] or "").startswith("#"):
            assert attributes["rel"] == "noopener noreferrer"


@pytest.mark.parametrize("site_url", ["", "flywheel.example.org", "javascript:alert(1)//"])
def test_what_is_no_web_address_makes_no_links(site_url: str) -> None:
    reader = Reader(render(batch(50), site_url=site_url))

    assert all(link.startswith("#") for link in reader.links())


def test_an_id_that_is_none_makes_no_link() -> None:
    odd = replace(record(1), project=Project("../../x", "label", "group"))

    assert all(link.startswith("#") for link in Reader(render([odd])).links())


def test_the_page_is_self_contained() -> None:
    html = render(
        [
            *batch(100, fetched=True),
            *(record(n + 500, "failed", t, label=t) for n, t in enumerate(HOSTILE)),
        ]
    )
    unhashed = re.sub(r"'sha256-[^']+'", "", html)  # in Base64, which may hold a //
    addresses = set(re.findall(r"(?:[a-z]+:)?//[^\s\"'<>]+", unhashed)) - {"//[^", SITE}
    reader = Reader(html)

    assert all(address.startswith(f"{SITE}/#/projects/") for address in addresses)
    assert not {"img", "iframe", "object", "embed", "base", "audio", "video"} & {
        tag for tag, _ in reader.tags
    }
    assert [a["href"] for tag, a in reader.tags if tag == "link"] == ["data:,"]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|innerHTML", html)
    for tag, attributes in reader.tags:
        assert "src" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_anybody_stays_text(text: str) -> None:
    calm = Reader(render([record(1, "failed", "x", group="x", label="x", batch="x")]))
    odd = record(1, "failed", text or "x", group=text, label=text, batch=text or "x")
    html = render([odd])
    reader = Reader(html)

    assert [tag for tag, _ in reader.tags] == [tag for tag, _ in calm.tags]
    assert not re.search(r"[^\n\x20-\x7e\u00a0-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]", html)
    assert html.encode("utf-8")
    assert len(html) < 200_000


def test_a_hostile_status_stays_text() -> None:
    odd = record(1, '"><script>x</script>')
    reader = Reader(render([odd]))

    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert reader.tables["projects"][1][2] == '"><script>x</script>'


# ------------------------------------------------------------------------------------------ writing


def test_it_is_written_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = [record(1)], batch(9)
    path = page.write(few, Summary.of(few), tmp_path, RUN)
    before = path.read_text("utf-8")
    seen: list[str] = []
    replace_file = Path.replace

    def watch(part: Path, target: Path) -> Path:
        seen.append(target.read_text("utf-8"))
        assert part.read_text("utf-8").endswith("</html>")
        return replace_file(part, target)

    monkeypatch.setattr(Path, "replace", watch)
    page.write(many, Summary.of(many), tmp_path, RUN)

    assert seen == [before]
    assert [found.name for found in tmp_path.iterdir()] == ["snapshot_report.html"]
    assert path.read_text("utf-8") == render(many)


def test_a_folder_that_can_t_be_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"snapshot_report\.html can't be written"):
        page.write([], Summary(), tmp_path / "missing", RUN)


def test_it_works_where_the_package_is_only_a_folder(tmp_path: Path) -> None:
    """As in the image: nothing is installed, the folder lies beside run.py."""
    folder = Path(fw_gear_sitewide_snapshot.__file__).parent
    shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, pathlib, datetime; from fw_gear_sitewide_snapshot.report import page, summary;"
        "assert 'jinja2' not in sys.modules;"
        "now = datetime.datetime.now(datetime.UTC);"
        "summary = summary.Summary();"
        "print(page.write([], summary, pathlib.Path('.'), page.Run(ended=now)))"
    )
    # What measures coverage would take the copy for a second package.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=tmp_path, env=bare, check=True, timeout=60)

    assert "There are no projects" in (tmp_path / "snapshot_report.html").read_text("utf-8")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("status", ["complete", "failed"])
def test_five_thousand_projects_are_a_page_of_reasonable_size(status: str) -> None:
    records = [
        replace(r, status=status, content=content(n), error="the site is not to be reached")
        for n, r in enumerate(batch(5_000))
    ]

    assert len(render(records).encode()) < 5_000_000
