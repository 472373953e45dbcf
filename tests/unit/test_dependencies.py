"""A library that is missing, broken or of a wrong version is one line, and nothing is started."""

import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import fw_gear_sitewide_snapshot as package
from flywheel_site_simulator import SimulatorServer
from fw_gear_sitewide_snapshot.errors import EXIT_COMPLETE, EXIT_UNUSABLE, ConfigError
from tests.support.gear import GearFolder, GearRun, MakeGear
from tests.support.repository import read

SDK_NEEDED = "the gear needs flywheel-sdk>=23.0,<24"
SDK_INSTALLED = f"flywheel-sdk: {metadata.version('flywheel-sdk')} is installed, "
BROKEN = "raise RuntimeError('broken\\nin two lines')"
NO_HTTP_LIBRARY = {"flywheel/__init__.py": "", "flywheel/rest.py": ""}
# What stands in the way of the true library (files by name, and the version of its metadata), and
# what the gear's one line says.
UNUSABLE: dict[str, tuple[dict[str, str], tuple[str, str] | None, list[str]]] = {
    "an older SDK": (
        NO_HTTP_LIBRARY,
        ("flywheel-sdk", "22.0.0"),
        [f"flywheel-sdk: 22.0.0 is installed; {SDK_NEEDED}"],
    ),
    "a newer SDK": (
        {},
        ("flywheel-sdk", "24.0.1"),
        [f"flywheel-sdk: 24.0.1 is installed; {SDK_NEEDED}"],
    ),
    "an SDK without its HTTP library": (
        NO_HTTP_LIBRARY,
        None,
        [SDK_INSTALLED, "but can't be imported: ", "'flywheel.api_client'", SDK_NEEDED],
    ),
    "an SDK that is broken": (
        {"flywheel/__init__.py": BROKEN},
        None,
        [SDK_INSTALLED, "RuntimeError: broken in two lines; ", SDK_NEEDED],
    ),
    "a retry library that is broken": (
        {"tenacity.py": "raise ImportError('half of it is gone')"},
        None,
        ["ImportError: half of it is gone"],
    ),
    "a retry library that is too new": ({}, ("tenacity", "10.0"), ["10.0 is installed; "]),
    "a table library that is broken": (
        {"pandas.py": BROKEN},
        None,
        ["pandas: ", "broken in two lines", "the gear needs pandas>=3.0,<4"],
    ),
    "a gear toolkit that is too old": ({}, ("flywheel-gear-toolkit", "0.5.9"), ["0.5.9 is ins"]),
    "a template library that is too old": ({}, ("jinja2", "2.11.3"), ["2.11.3 is installed; "]),
}


def run_beside(
    job: GearFolder, folder: Path, files: dict[str, str], version: tuple[str, str] | None = None
) -> GearRun:
    """Run the gear where a folder with these modules comes before the installed libraries."""
    files = {"sitecustomize.py": "", **files}
    if version:
        name, number = version
        info = f"{name.replace('-', '_')}-{number}.dist-info/METADATA"
        files[info] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    job.prepare()
    with job.started(environment={"PYTHONPATH": str(folder)}) as process:
        log, _ = process.communicate(timeout=60)
    return GearRun(job.path, process.returncode, log, 0.0)


@pytest.mark.process
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_library_that_can_t_be_used_ends_the_run_in_one_line(
    case: str, gear: MakeGear, served: SimulatorServer, tmp_path: Path
) -> None:
    served.site.add_project("group", "project")
    files, version, words = UNUSABLE[case]

    ended = run_beside(gear(**{"project filter": "ALL"}), tmp_path / "first", files, version)

    [line] = [line for line in ended.log.splitlines() if "ERROR" in line]
    assert ended.exit_status == EXIT_UNUSABLE
    assert all(word in line for word in words)
    assert "Traceback" not in ended.log
    assert ended.files == set()
    assert not [request for request in served.site.requests if request.method == "POST"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("files", "missing", "words"),
    [
        ({"jinja2.py": BROKEN}, "snapshot_report.html", "The page is not made: jinja2: "),
        (
            {"flywheel_gear_toolkit.py": BROKEN},
            ".metadata.json",
            "The metadata can't be written: flywheel-gear-toolkit: ",
        ),
    ],
    ids=["the page", "the metadata"],
)
def test_what_is_only_needed_at_the_end_takes_nothing_from_the_report(
    gear: MakeGear,
    served: SimulatorServer,
    tmp_path: Path,
    files: dict[str, str],
    missing: str,
    words: str,
) -> None:
    served.site.add_project("group", "project")

    ended = run_beside(gear(**{"project filter": "ALL"}), tmp_path / "first", files)

    [line] = ended.lines(" WARNING ", words)
    assert "broken in two lines" in line
    assert ended.exit_status == EXIT_COMPLETE
    assert [row["status"] for row in ended.rows] == ["complete"]
    assert missing not in ended.files
    assert "Traceback" not in ended.log


@pytest.mark.process
@pytest.mark.parametrize("copies", [True, False])
def test_what_only_copies_need_ends_a_run_with_copies_in_one_line_and_no_other(
    gear: MakeGear, served: SimulatorServer, tmp_path: Path, copies: bool
) -> None:
    served.site.add_project("group", "project")
    copy_to = {"copy to": (tmp_path / "copies").as_uri()} if copies else {}

    ended = run_beside(
        gear(**{"project filter": "ALL"}, **copy_to), tmp_path / "first", {"obstore.py": BROKEN}
    )

    told = [line for line in ended.log.splitlines() if "obstore" in line]
    assert ended.exit_status == (EXIT_UNUSABLE if copies else EXIT_COMPLETE)
    assert len(told) == copies
    assert all("can't be imported: RuntimeError: broken in two lines; " in line for line in told)
    assert "Traceback" not in ended.log
    assert served.site.creates() == (not copies)


def test_the_ranges_are_those_that_the_package_declares() -> None:
    declared = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]

    assert list(package.DEPENDENCIES) == declared


def test_a_library_that_is_not_installed_is_told() -> None:
    with pytest.raises(ConfigError) as raised:
        package.check_dependencies(("no-such-library>=1,<2",))

    told = "no-such-library: no version is installed; the gear needs no-such-library>=1,<2"
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("version", "allowed"),
    [
        ("22.9.9", False),
        ("23", True),
        ("23.0.0", True),
        ("23.10.0", True),
        ("23.0.1.post1", True),
        ("24.0.0rc1", False),
        ("24", False),
        ("100.0", False),
        ("nonsense", False),
    ],
)
def test_a_version_is_in_its_range_by_its_numbers(
    version: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / f"made_up-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    try:
        package.check_dependencies(("made-up>=23.0,<24",))
    except ConfigError:
        assert not allowed
    else:
        assert allowed


def test_what_is_needed_later_is_imported_beside_the_work_and_what_fails_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('broken')")
    (tmp_path / "needed_later.py").write_text("")

    package.import_beside("broken_library", "no_such_library", "needed_later")

    until = time.monotonic() + 30.0
    while "needed_later" not in sys.modules and time.monotonic() < until:
        time.sleep(0.01)
    assert "needed_later" in sys.modules
    assert "broken_library" not in sys.modules
