"""Words for people: numbers with their nouns, sizes, lengths of time, text in one line."""


def counted(count: int, noun: str) -> str:
    """A number and its noun: ``1 project``, ``5,000 projects``."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def size_text(size_bytes: int) -> str:
    """A size: ``12 bytes``, ``5.0 GiB``; above 999 in the next larger unit."""
    if size_bytes < 1000:
        return counted(size_bytes, "byte")
    size = size_bytes / 1024
    for unit in ("KiB", "MiB", "GiB"):
        if size < 999.95:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def duration(seconds: float) -> str:
    """A length of time: ``9 min 40 s``, ``12 s``."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.3g} s"


def one_line(text: str, limit: int = 500) -> str:
    """Text as one line of bounded length: blanks folded, control characters escaped."""
    folded = " ".join(text.split())
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in folded)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
