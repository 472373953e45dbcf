"""The lock files, as the tests of packaging and licences read them."""

from packaging.requirements import Requirement

from .repository import read


def requirements(name: str) -> list[Requirement]:
    """Read the pins of a lock file, without their hashes."""
    lines = (line.removesuffix("\\").strip() for line in read(name).splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "--"))]
