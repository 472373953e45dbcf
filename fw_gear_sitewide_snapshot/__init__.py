"""The Flywheel gear that starts a snapshot of every project a filter names, and reports on each.

Import this package before flywheel-sdk or the gear toolkit, which brings the SDK in. It knows which
libraries the gear needs, and tells in one line which is missing, broken or of a wrong version.
"""

import contextlib
import importlib
import os
import re
import threading
from collections.abc import Iterator
from importlib import metadata

from .errors import ConfigError
from .text import one_line

__version__ = "1.0.0"

# flywheel-sdk reads these when it is first imported, and doesn't survive one that is no number.
for _name in [name for name in os.environ if name.startswith("FLYWHEEL_SDK_")]:
    del os.environ[_name]
# It would otherwise send a GET up to eight times, for up to two minutes, within one call. What is
# asked again is for the gear to say.
os.environ["FLYWHEEL_SDK_TOTAL_RETRIES"] = "0"

# What ``pyproject.toml`` declares, once more: the image holds the gear's files, not a package.
DEPENDENCIES = (
    "flywheel-gear-toolkit>=0.6.22,<0.7",
    "flywheel-sdk>=23.0,<24",
    "jinja2>=3.1,<4",
    "obstore>=0.12.1,<0.13",
    "pandas>=3.0,<4",
    "tenacity>=9,<10",
    "typing-extensions>=4.12,<5",
)


def check_dependencies(dependencies: tuple[str, ...] = DEPENDENCIES) -> None:
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

    with contextlib.suppress(RuntimeError):  # no room for a thread
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
