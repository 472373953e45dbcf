"""Writes a file in one step: a reader sees the old one or the new one, whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..errors import OutputError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[TextIO]:
    """Open a file to write text to; it appears at ``path`` when the block has ended.

    Raises:
        OutputError: It can't be written; what was at ``path`` before is still there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # every file in the folder becomes an output
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
