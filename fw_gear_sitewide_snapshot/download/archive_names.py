"""Names for the files in ``snapshots.zip``, from labels that people choose freely."""

import re
import unicodedata
from collections.abc import Iterable

from ..models import SnapshotRecord, report_order

_LONGEST_NAME_BYTES = 180  # of a folder's: with a project's id behind it, below the usual 255
_UNSAFE = re.compile(r'[/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]')
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])", re.IGNORECASE)


def names_for(records: Iterable[SnapshotRecord], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Name each record's file in the archive, by project id.

    The names never lead out of the folder, can be written on Windows, and differ from one another
    and from the ``reserved`` ones at the top, also where case is ignored. Projects whose folders
    would be the same have their ids behind the label, save the first.
    """
    taken = set(map(_folded, reserved))
    names = {}
    for record in sorted(records, key=report_order):
        group = safe_name(record.project.group)
        if _folded(group) in taken:  # a file of ours at the top
            group = f"{group}_"
        folder = f"{group}/{safe_name(record.project.label)}"
        while _folded(folder) in taken:
            folder = f"{folder} {record.project.id}"
        taken.add(_folded(folder))
        names[record.project.id] = f"{folder}/{safe_name(record.snapshot_id)}.db.gz"
    return names


def safe_name(text: str) -> str:
    """Make text the name of a file or folder, kept as far as every system can write it."""
    name = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    name = _UNSAFE.sub("_", "".join("_" if unicodedata.category(c) == "Cc" else c for c in name))
    name = name.encode()[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    name = unicodedata.normalize("NFC", name.strip().rstrip(". "))
    is_usable = name and not _RESERVED.fullmatch(name.split(".")[0].rstrip())
    return name if is_usable else f"_{name}"


def _folded(path: str) -> str:
    """Return the same text for names that some file system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
