"""Words for people: numbers and nouns, sizes, lengths of time, text in a line, blanked secrets."""

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

_JOINERS = "\u200c\u200d"  # Persian and Indian scripts need them, and emoji
_LEAST_SECRET = 6  # characters: shorter ones are no secrets, and are in many words


def counted(count: int, noun: str) -> str:
    """Return a number and its noun: ``1 project``, ``5,000 projects``."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the first names, and how many more there are: ``a, b and 5,000 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def size_text(size_bytes: int) -> str:
    """Return a size: ``12 bytes``, ``5.0 GiB``; above 999 in the next larger unit."""
    if size_bytes < 1000:
        return counted(size_bytes, "byte")
    size = size_bytes / 1024
    for unit in ("KiB", "MiB", "GiB"):
        if size < 999.95:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def duration(seconds: float) -> str:
    """Return a length of time: ``9 min 40 s``, ``12 s``."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.3g} s"


def age(seconds: float) -> str:
    """Return a length of time in its largest unit: ``45 min``, ``31 h``, ``12 days``."""
    minutes = max(0, int(seconds // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // (24 * 60)} days"


def one_line(text: str, limit: int = 500) -> str:
    """Return text as one line of bounded length: blanks folded, control characters escaped."""
    # An id is so already: a page asks for a hundred thousand texts.
    clean = text if text.isalnum() else escape_controls(" ".join(text.split()))
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def escape_controls(text: str) -> str:
    """Escape what could end a line, or move a terminal's cursor."""
    if text.isprintable():  # as nearly all is
        return text
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def is_id(text: str) -> bool:
    """Say whether it is an id as the site gives them: 24 hex digits in lower case."""
    return re.fullmatch("[0-9a-f]{24}", text) is not None


def blank_secrets(text: str, secrets: Iterable[str], mark: str = "[secret]") -> str:
    """Replace each of the secrets, the longest first, wherever in the text it is."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, mark)
    return text


def secret_forms(secret: str) -> set[str]:
    """Return the forms in which a secret may be seen: in an address, JSON, XML, Base64, plain."""
    encoded = base64.b64encode(secret.encode("utf-8", "replace")).decode()
    forms = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    forms |= {re.sub("%..", lambda code: code[0].lower(), form) for form in forms}
    forms |= {secret, encoded, html.escape(secret), html.escape(secret, quote=False)}
    forms |= {json.dumps(secret)[1:-1], repr(secret)[1:-1], *secret.splitlines()}
    return {form for form in forms if len(form) >= _LEAST_SECRET}
