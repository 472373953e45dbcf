"""The repository's own files, as the tests of documents and packaging read them."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    """Read a file's text, by its path from the top of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def read_manifest() -> dict[str, Any]:
    """Read the gear's manifest."""
    loaded: dict[str, Any] = json.loads(read("manifest.json"))
    return loaded
