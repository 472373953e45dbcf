"""Tells in one line which of the gear's libraries is missing, broken or of a wrong version.

The image holds the gear's files, not an installed package: so what ``pyproject.toml`` declares is
repeated here, and a test compares the two.
"""

import contextlib
import importlib
import re
import threading
from collections.abc import Iterator
from importlib import metadata

from .errors import ConfigError
from .text import one_line

DEPENDENCIES = (
    "flywheel-gear-toolkit>=0.6.22,<0.7",
    "flywheel-sdk>=23.0,<24",
    "jinja2>=3.1,<4",
    "obstore>=0.12.1,<0.13",
    "pandas>=3.0,<4",
    "tenacity>=9,<10",
    "typing-extensions>=4.12,<5",
)


def check(dependencies: tuple[str, ...] = DEPENDENCIES) -> None:
    """Raise a ConfigError unless each is installed in its range; import none of them."""
    for dependency in dependencies:
        name, lowest, below = re.split(">=|,<", dependency)
        installed = _installed(name)
        if not _numbers(lowest) <= _numbers(installed) < _numbers(below):
            raise ConfigError(f"{name}: {installed} is installed; the gear needs {dependency}")


@contextlib.contextmanager
def importing(name: str) -> Iterator[None]:
    """Raise a ConfigError, with both versions, for whatever the import of a library raises."""
    try:
        yield
    except Exception as error:
        [needed] = [one for one in DEPENDENCIES if one.startswith(f"{name}>=")]
        raise ConfigError(
            f"{name}: {_installed(name)} is installed, but can't be imported: {described(error)}; "
            f"the gear needs {needed}"
        ) from error


def import_beside(*names: str) -> None:
    """Import modules in a thread, while the site is waited for; the first one first.

    What goes wrong comes again, and is told, where they are needed.
    """

    def work() -> None:
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    threading.Thread(target=work, daemon=True).start()


def described(error: Exception) -> str:
    """Return in one line what an import raised."""
    known = isinstance(error, ConfigError)
    return one_line(str(error) if known else f"{type(error).__name__}: {error}")


def _installed(name: str) -> str:
    """Return the version of the package that an import would find first."""
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return "no version"


def _numbers(version: str) -> list[int]:
    """Return a version's release without final zeros; an empty list where it has none."""
    release = re.match(r"\d+(\.\d+)*", version)
    return [int(n) for n in re.sub(r"(\.0+)+$", "", release[0]).split(".")] if release else []
