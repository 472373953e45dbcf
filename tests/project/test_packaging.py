"""What is shipped agrees with itself: manifest, image, lock files, version."""

import ast
import importlib.resources
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fw_gear.manifest import Manifest
from packaging.markers import Marker
from packaging.requirements import Requirement

import fw_gear_sitewide_snapshot
from fw_gear_sitewide_snapshot.report.metadata import file_metadata
from fw_gear_sitewide_snapshot.report.summary import Summary
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from tests.support.config import gear_config
from tests.support.repository import ROOT, read
from tests.support.requirements import requirements

LOCKS = ["requirements.txt", "requirements-dev.txt"]
# Where packages come from is the affair of the machine that installs them.
ADDRESSES = re.compile(r"\w+://|file:|\.(?:org|com|net|io)\b|--(?:extra-)?index-url|--find-links")


def pins(name: str) -> dict[str, set[str]]:
    """Package → the versions that a lock file gives it: one for each range of Pythons."""
    versions: dict[str, set[str]] = {}
    for requirement in requirements(name):
        versions.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return versions


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions: name and arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", read("Dockerfile"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            name, _, arguments = line.partition(" ")
            yield name.upper(), " ".join(arguments.split())


def final_stage() -> list[tuple[str, str]]:
    stage: list[tuple[str, str]] = []
    for name, arguments in instructions():
        stage = [] if name == "FROM" else [*stage, (name, arguments)]
    return stage


# ------------------------------------------------------------------------------------- the manifest


def test_the_manifest_is_valid_against_the_gear_schema(manifest: dict[str, Any]) -> None:
    schema = importlib.resources.files("fw_gear").joinpath("manifest.schema.json").read_text()
    checker = jsonschema.Draft4Validator.FORMAT_CHECKER
    validator = jsonschema.Draft4Validator(json.loads(schema), format_checker=checker)

    assert [error.message for error in validator.iter_errors(manifest)] == []


def test_the_manifest_satisfies_the_gear_library(manifest: dict[str, Any]) -> None:
    Manifest(manifest).validate()


def test_names_and_command_are_the_contract(manifest: dict[str, Any]) -> None:
    assert manifest["name"] == "sitewide-snapshot"
    assert manifest["label"] == "Sitewide Snapshot"
    assert manifest["command"] == "python run.py"
    assert manifest["license"] == "MIT"
    assert manifest["capabilities"] == ["networking"]


def test_the_inputs_are_the_contract(manifest: dict[str, Any]) -> None:
    assert set(manifest["inputs"]) == {
        "retry failed",
        "previous-report",
        "storage-credentials",
        "api-key",
    }
    for name in ("retry failed", "previous-report"):
        report = manifest["inputs"][name]
        assert (report["base"], report["optional"]) == ("file", True)
        assert report["type"] == {"enum": ["tabular data"]}
    credentials = manifest["inputs"]["storage-credentials"]
    assert (credentials["base"], credentials["optional"]) == ("file", True)
    assert manifest["inputs"]["api-key"] == {"base": "api-key", "read-only": False}


def test_the_options_are_the_contract(manifest: dict[str, Any]) -> None:
    options = {
        name: (option["type"], option.get("default")) for name, option in manifest["config"].items()
    }

    assert options == {
        "debug": ("boolean", False),
        "project filter": ("string", None),
        "snapshot batch name": ("string", None),
        "timeout minutes": ("number", 10),
        "attempts per project": ("integer", 1),
        "reuse within hours": ("number", 0),
        "dry run": ("boolean", False),
        "fail on incomplete": ("boolean", True),
        "download snapshots": ("boolean", False),
        "copy to": ("string", None),
    }


def test_every_option_is_described_and_has_a_default_or_is_optional(
    manifest: dict[str, Any],
) -> None:
    for name, option in manifest["config"].items():
        assert ("default" in option) != option.get("optional", False), name
        assert option["description"].endswith("."), name


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("timeout minutes", 0, False),
        ("timeout minutes", 0.1, True),
        ("attempts per project", 0, False),
        ("attempts per project", 1, True),
        ("attempts per project", 5, True),
        ("attempts per project", 6, False),
        ("attempts per project", 1.5, False),
    ],
)
def test_the_platform_refuses_numbers_out_of_range(
    manifest: dict[str, Any], option: str, value: float, allowed: bool
) -> None:
    validator = jsonschema.Draft4Validator(manifest["config"][option])

    assert validator.is_valid(value) is allowed


def test_download_snapshots_says_who_may_read_what_it_brings(manifest: dict[str, Any]) -> None:
    description = manifest["config"]["download snapshots"]["description"]

    assert "metadata of other projects" in description
    assert "lands where this job's outputs land" in description


# -------------------------------------------------------------------------------------- the version


def test_one_version_everywhere(manifest: dict[str, Any]) -> None:
    version = fw_gear_sitewide_snapshot.__version__
    newest = re.search(r"^## \[?v?(\d+\.\d+\.\d+)", read("CHANGELOG.md"), flags=re.MULTILINE)

    assert manifest["version"] == version
    assert manifest["custom"]["gear-builder"]["image"] == f"flywheel/sitewide-snapshot:{version}"
    assert newest is not None
    assert newest[1] == version


def test_the_package_takes_its_version_from_the_one_place_that_has_it() -> None:
    pyproject = tomllib.loads(read("pyproject.toml"))
    place = pyproject["tool"]["hatch"]["version"]["path"]
    found = re.findall(r"^__version__ = \"(.+)\"$", read(place), flags=re.MULTILINE)

    assert pyproject["project"]["dynamic"] == ["version"]
    assert "version" not in pyproject["project"]
    assert (ROOT / place).samefile(fw_gear_sitewide_snapshot.__file__)
    assert found == [fw_gear_sitewide_snapshot.__version__]


def test_no_other_module_has_the_version_written_into_it() -> None:
    package = ROOT / "fw_gear_sitewide_snapshot"
    written = [
        path.name
        for path in [*package.rglob("*.*"), ROOT / "run.py", ROOT / "Dockerfile", ROOT / "Makefile"]
        if path.suffix != ".pyc" and fw_gear_sitewide_snapshot.__version__ in path.read_text()
    ]

    assert written == ["__init__.py"]


def test_the_gear_names_its_version_wherever_it_names_itself() -> None:
    version = fw_gear_sitewide_snapshot.__version__
    agent = SdkTransport("127.0.0.1:1:key")._client.user_agent
    told = file_metadata(Summary(), gear_config(), "")["info"]["qc"]["sitewide-snapshot"]

    assert agent.split()[0] == f"sitewide-snapshot/{version}"
    assert told["job_info"]["version"] == told["snapshots"]["gear version"] == version


def test_the_description_claims_no_more_than_the_rights_of_the_user(
    manifest: dict[str, Any],
) -> None:
    description = manifest["description"]

    assert "with the rights of the user who launches the job" in description
    assert "'ALL' covers the projects that this user is a member of" in description
    assert "whole site" not in description


# ---------------------------------------------------------------------------------- the entry point


def test_run_py_knows_no_library_but_the_toolkit() -> None:
    """import-linter looks into packages only, so run.py's own border is checked here."""
    imports: set[str] = set()
    for node in ast.walk(ast.parse(read("run.py"))):
        if isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.add((node.module or "").partition(".")[0])

    allowed = {"fw_gear_sitewide_snapshot", "flywheel_gear_toolkit"}
    assert imports - set(sys.stdlib_module_names) <= allowed


# ----------------------------------------------------------------------------------- the lock files


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_hashed(name: str) -> None:
    blocks = re.split(r"\n(?=\S)", read(name))
    pinned = [block for block in blocks if not block.startswith("#")]

    assert pinned
    for block in pinned:
        assert re.match(r"[a-z0-9.-]+==\S+ ", block), block
        assert "--hash=sha256:" in block, block


def test_the_image_and_the_tests_use_the_same_versions() -> None:
    image, development = pins("requirements.txt"), pins("requirements-dev.txt")

    assert {name: development.get(name) for name in image} == image


@pytest.mark.parametrize("name", [*LOCKS, "pyproject.toml", "Makefile", "Dockerfile"])
def test_no_file_names_a_package_registry(name: str) -> None:
    assert ADDRESSES.findall(read(name)) == []


def test_every_production_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    image = pins("requirements.txt")

    for requirement in map(Requirement, project["dependencies"]):
        versions = image[requirement.name]
        assert all(requirement.specifier.contains(pin.removeprefix("==")) for pin in versions)


def test_the_sdk_is_bounded_on_both_sides() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    sdk = next(r for r in map(Requirement, project["dependencies"]) if r.name == "flywheel-sdk")

    assert {clause.operator for clause in sdk.specifier} == {">=", "<"}


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_a_python_gets_one_version_of_a_package(python: str) -> None:
    environment = {
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
    }
    chosen = [
        requirement.name
        for requirement in requirements("requirements-dev.txt")
        if requirement.marker is None or Marker(str(requirement.marker)).evaluate(environment)
    ]

    assert len(chosen) == len(set(chosen))


# ---------------------------------------------------------------------------------------- the image


def test_the_image_takes_only_what_is_named() -> None:
    lines = [line for line in read(".dockerignore").splitlines() if not line.startswith("#")]

    assert lines[0] == "*"
    assert "!tests" not in "".join(lines)


def test_the_image_does_not_run_as_root(manifest: dict[str, Any]) -> None:
    users = [arguments for name, arguments in final_stage() if name == "USER"]
    runs = " ".join(arguments for name, arguments in final_stage() if name == "RUN")
    flywheel = manifest["custom"]["flywheel"]

    assert users[-1:] == ["flywheel"]
    assert f"--uid {flywheel['uid']} " in runs
    assert f"--gid {flywheel['gid']} " in runs


def test_the_image_stands_where_the_platform_looks(manifest: dict[str, Any]) -> None:
    folder = manifest["environment"]["FLYWHEEL"]

    assert ("WORKDIR", folder) in final_stage()


def test_the_image_installs_what_is_locked() -> None:
    installs = [arguments for name, arguments in instructions() if "pip install" in arguments]

    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[0]  # else pip asks for what the lock leaves out
    assert "requirements.txt" in installs[0]
