"""What a developer starts with does what it says: `make setup`, the hooks, .editorconfig."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.repository import ROOT, read

# Stands in for a Python: it names its version and folder, and its venv holds a copy of itself.
FAKE_PYTHON = """#!/bin/sh
here="$(dirname "$(readlink -f "$0")")/{version}"
case "$*" in
  *print*) echo "Python {version} in $here" ;;
  *"(3, 12) <="*) case {version} in 3.1[23].*) ;; *) exit 1 ;; esac ;;
  *sys.exit*) case {version} in 3.1[123].*) ;; *) exit 1 ;; esac ;;
  --version) echo "Python {version}" ;;
  "-m venv --clear .venv")
    rm -rf .venv && mkdir -p .venv/bin
    sed "s|^here=.*|here=\\"$here\\"|" "$0" > .venv/bin/python && chmod +x .venv/bin/python
    echo "executable = $0" > .venv/pyvenv.cfg ;;
  *pip*install*--no-deps*.venv/uv.txt) cp uv .venv/bin/uv ;;
  *pip*install*--require-hashes*) echo "pip was asked" ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""
# What the top of the repository has that people write.
WRITTEN = ["*.md", "*.py", "*.toml", "*.txt", "*file", ".editorconfig", ".*ignore", ".pre-commit*"]
PACKAGES = ["flywheel_site_simulator", "fw_gear_sitewide_snapshot"]


class Checkout:
    """A folder with the Makefile, a lock, and stand-ins for Pythons on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        self.lock = self.folder / "requirements-dev.txt"
        self.lock.write_text("one==1\n", encoding="utf-8")
        shutil.copy(ROOT / "Makefile", self.folder)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, version in [("python3", "3.11.7"), ("python3.12", "3.12.1"), ("old", "3.10.13")]:
            python = self.bin / name
            python.write_text(FAKE_PYTHON.format(version=version), encoding="utf-8")
            python.chmod(0o755)

    def setup(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make setup`."""
        return self.make("setup", *arguments, **environment)

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make`, free of what a `make` around the tests has set."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin", **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )

    def made_with(self) -> str:
        """Return the version of the Python in .venv."""
        python = self.folder / ".venv/bin/python"
        return subprocess.check_output([python, "--version"], encoding="utf-8").split()[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if not shutil.which("make"):
        pytest.skip("not here: make")
    return Checkout(tmp_path)


# --------------------------------------------------------------------------------------- make setup


def test_the_first_setup_takes_python3(checkout: Checkout) -> None:
    made = checkout.setup()

    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("Making .venv with Python 3.11.7 in ")
    assert checkout.made_with() == "3.11.7"


@pytest.mark.parametrize(("exit_status", "pip_is_asked"), [(0, False), (1, True)])
def test_uv_installs_what_is_needed_or_else_pip(
    checkout: Checkout, exit_status: int, pip_is_asked: bool
) -> None:
    checkout.lock.write_text("one==1\nuv==2 \\\n    --hash=sha256:3\n    # via (here)\nzz==4\n")
    uv = checkout.folder / "uv"
    uv.write_text(f"#!/bin/sh\necho uv: $*\nexit {exit_status}\n", encoding="utf-8")
    uv.chmod(0o755)

    made = checkout.setup()

    assert made.returncode == 0, made.stderr
    assert re.search(
        r"^uv: pip install .*--require-hashes -r requirements-dev\.txt$", made.stdout, re.M
    )
    assert ("pip was asked" in made.stdout) is pip_is_asked
    first = (checkout.folder / ".venv/uv.txt").read_text(encoding="utf-8")
    assert first == "uv==2 \\\n    --hash=sha256:3\n    # via (here)\n"


@pytest.mark.parametrize("arguments", [(), ("PYTHON=python3",)])
def test_a_second_setup_has_nothing_to_do(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    checkout.setup()
    again = checkout.setup(*arguments)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_another_python_makes_the_environment_anew_and_says_so(checkout: Checkout) -> None:
    checkout.setup()
    made = checkout.setup("PYTHON=python3.12")

    assert made.returncode == 0, made.stderr
    assert re.search(r"^\.venv has Python 3\.11\.7 in .*; it is made anew\.$", made.stdout, re.M)
    assert "Making .venv with Python 3.12.1 in " in made.stdout
    assert checkout.made_with() == "3.12.1"


def test_another_build_of_the_same_version_counts_as_another_python(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.setup()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(checkout.bin, elsewhere)

    assert "it is made anew" in checkout.setup(f"PYTHON={elsewhere}/python3").stdout


def test_a_python_named_in_the_environment_counts_as_asked_for(checkout: Checkout) -> None:
    checkout.setup()
    checkout.setup(PYTHON="python3.12")

    assert checkout.made_with() == "3.12.1"


def test_without_a_python_asked_for_the_one_that_is_there_is_kept(checkout: Checkout) -> None:
    checkout.setup("PYTHON=python3.12")

    assert checkout.setup().stdout == ""
    assert checkout.made_with() == "3.12.1"


def test_a_new_lock_makes_the_environment_anew_with_the_python_that_is_there(
    checkout: Checkout,
) -> None:
    checkout.setup("PYTHON=python3.12")
    checkout.lock.write_text("one==2\n", encoding="utf-8")
    made = checkout.setup()

    assert made.stdout.startswith("Making .venv with Python 3.12.1 in ")
    assert checkout.setup().stdout == ""


def test_an_environment_whose_python_is_gone_is_made_anew_with_python3(checkout: Checkout) -> None:
    checkout.setup("PYTHON=python3.12")
    (checkout.bin / "python3.12").unlink()
    (checkout.folder / ".venv/bin/python").unlink()
    made = checkout.setup()

    assert ".venv has no Python that runs; it is made anew." in made.stdout
    assert checkout.made_with() == "3.11.7"


@pytest.mark.parametrize("python", ["old", "python3.99"])
def test_a_python_that_does_not_fit_is_refused_and_the_environment_stays(
    checkout: Checkout, python: str
) -> None:
    checkout.setup()
    refused = checkout.setup(f"PYTHON={python}")

    assert refused.returncode != 0
    assert f"make: Python 3.11, 3.12 or 3.13 is needed; '{python}' is " in refused.stderr
    assert checkout.made_with() == "3.11.7"


def test_without_a_python_for_them_the_clients_are_said_not_to_have_run(
    checkout: Checkout,
) -> None:
    run = checkout.make("clients", "CLIENTS_PYTHON=old python3")

    assert run.returncode == 0, run.stderr
    assert "NOT RUN: tests/clients, as there is no Python 3.12 or 3.13" in run.stdout
    assert not (checkout.folder / ".venv-clients").exists()


# --------------------------------------------------------------------------------------- the hooks


def test_the_hooks_are_the_commands_of_make_check_and_nothing_else() -> None:
    target = re.search(r"^check:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert target is not None
    commands = re.findall(r"^\t@\$\(BIN\)/(.+)$", target[1], re.MULTILINE)
    hooks = re.findall(r"^ +entry: (.+)$", read(".pre-commit-config.yaml"), re.MULTILINE)

    assert len(commands) == len(target[1].splitlines())
    assert hooks == [f".venv/bin/{command}" for command in commands]


def test_the_hooks_fetch_nothing_and_look_at_the_whole_project() -> None:
    text = read(".pre-commit-config.yaml")
    hooks = text.count("- id: ")

    assert re.findall(r"\brepo: (.+)$", text, re.MULTILINE) == ["local"]
    assert re.findall(r"\blanguage: (.+)$", text, re.MULTILINE) == ["system"] * hooks
    assert re.findall(r"\bpass_filenames: (.+)$", text, re.MULTILINE) == ["false"] * hooks
    assert "additional_dependencies" not in text


# ------------------------------------------------------------------------------------ .editorconfig


@pytest.fixture
def settings() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read_string("[top]\n" + read(".editorconfig"))
    return parsed


def test_the_editors_settings_are_those_of_the_project(
    settings: configparser.ConfigParser,
) -> None:
    ruff = tomllib.loads(read("pyproject.toml"))["tool"]["ruff"]

    assert settings["top"]["root"] == "true"
    assert settings["*.py"]["max_line_length"] == str(ruff["line-length"])
    assert settings["*.{py,toml}"]["indent_size"] == "4"
    assert settings["Makefile"]["indent_style"] == "tab"
    assert settings["*"]["end_of_line"] == "lf"
    assert settings["*"]["charset"] == "utf-8"


def test_the_files_are_as_the_editors_settings_have_them(
    settings: configparser.ConfigParser,
) -> None:
    """Line ends, the newline at the end, no blanks before either."""
    top = [path for pattern in WRITTEN for path in ROOT.glob(pattern)]
    folders = (*PACKAGES, "benchmarks", "docs", "examples", "tests")
    below = [path for name in folders for path in (ROOT / name).rglob("*.[pm][yd]")]
    wrong = []
    for path in [*top, *below]:
        text = path.read_bytes()
        if text and (not text.endswith(b"\n") or b"\r" in text or re.search(rb"[ \t]\n", text)):
            wrong.append(str(path.relative_to(ROOT)))

    assert settings["*"]["insert_final_newline"] == "true"
    assert settings["*"]["trim_trailing_whitespace"] == "true"
    assert len(top) > 10
    assert wrong == []
