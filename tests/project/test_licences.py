"""What the image holds beside the gear: what its lock names, and licences that the README names."""

import re
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from flywheel_site_simulator import SimulatorServer
from fw_gear_sitewide_snapshot.errors import EXIT_COMPLETE
from tests.support.gear import GearRun, MakeGear
from tests.support.repository import read
from tests.support.requirements import requirements

LOCKED = {
    pin.name
    for pin in requirements("requirements.txt")
    if pin.marker is None or pin.marker.evaluate()
}
# jinja2 has no other metadata, and its licence has the clauses; python-dateutil's has them too.
SPDX = {"BSD License": "BSD-3-Clause", "MIT License": "MIT"}
UNNAMED = {"UNKNOWN", "Dual License"}  # of which two, python-dateutil's classifiers say
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Refuse())
"""


def licences(package: str) -> set[str]:
    """Read the licences that a package's own metadata names."""
    told = metadata.metadata(package)
    fields = ("License-Expression", "License", "Classifier")
    values = [value for field in fields for value in told.get_all(field) or []]
    named = [
        value.rpartition(" :: ")[2]
        for value in values
        if value.startswith("License ::") or (" :: " not in value and value not in UNNAMED)
    ]
    first = named[0] if named else "none named"
    return {SPDX.get(name, name) for name in re.split(r" AND | OR |[()]", first) if name}


def named_in_the_readme() -> set[str]:
    [section] = re.findall(r"^### License\n(.*?)^#", read("README.md"), re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`(.+?)`", section))


def test_the_readme_names_the_licences_of_the_image_s_packages() -> None:
    found = {name: licences(name) for name in LOCKED - {"flywheel-sdk"}}

    assert {name for name, own in found.items() if not own <= named_in_the_readme()} == set()
    assert named_in_the_readme() == set().union(*found.values())


def test_the_readme_says_that_the_sdk_is_proprietary() -> None:
    assert licences("flywheel-sdk") == {"LicenseRef-Proprietary"}
    assert "flywheel-sdk, which is proprietary" in " ".join(read("README.md").split())


def test_what_is_under_the_gpl_stays_out_of_the_image() -> None:
    assert licences("rfc3987") == {"GNU GPLv3+"}
    assert not [name for name in LOCKED if re.search("GPL|GNU", " ".join(licences(name)))]
    assert "rfc3987" not in LOCKED


@pytest.mark.process
def test_the_gear_needs_no_package_that_is_not_in_the_image(
    gear: MakeGear, served: SimulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    allowed = LOCKED | {"coverage"}  # what measures coverage comes along
    absent = {
        module
        for module, packages in metadata.packages_distributions().items()
        if not {canonicalize_name(package) for package in packages} & allowed
    }
    folder = tmp_path_factory.mktemp("first")
    (folder / "sitecustomize.py").write_text(REFUSE.format(names=sorted(absent)))
    served.site.add_project("group", "project")
    job = gear(**{"project filter": "ALL", "download snapshots": True})
    job.prepare()

    with job.started(environment={"PYTHONPATH": str(folder)}) as process:
        log, _ = process.communicate(timeout=60)
    ended = GearRun(job.path, process.returncode, log, 0.0)

    assert {"rfc3987", "gears", "pytest"} <= absent
    assert ended.exit_status == EXIT_COMPLETE, log
    assert len(ended.files) == 4
    assert not ended.lines(" WARNING ")
