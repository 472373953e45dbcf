"""Words for people: numbers with their nouns, lengths of time."""


def counted(count: int, noun: str) -> str:
    """A number and its noun: ``1 project``, ``312 projects``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """A length of time: ``9 min 40 s``, ``12 s``."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.3g} s"
