"""What is known of the finder's filters: what can't be meant, and why one may find nothing.

The grammar is that of the public core's parser; its surprises are as Flywheel's staff tells them.
"""

import re

from ..errors import ConfigError
from ..text import one_line

_OPERATORS = "=~|!=|<=|>=|=|<|>"
_CLAUSE = re.compile(rf"(?:^|(?<!\\),)\s*([\w.]+)\s*({_OPERATORS})\s*((?:\\.|[^,])*)")
_NUMBER, _DATE = r"[-+]?[\d.]+(?:e[-+]?\d+)?", r"\d{4}-\d\d-\d\d\S*"
_NO_TEXT = re.compile(rf"{_NUMBER}|{_DATE}|true|false|null|[0-9a-f]{{24}}")


def check_filter(project_filter: str) -> None:
    """Raise ConfigError for a clause that means something else than it says."""
    for key, operator, value in _CLAUSE.findall(project_filter):
        if operator == "!=" and value.startswith("~"):
            text = one_line(value.rstrip(), 60)
            raise ConfigError(
                f'config "project filter": {key}!={text} matches every project, since it compares '
                f"with the text {text}. To leave out what a pattern matches, write "
                f"{key}=~^(?!.*{text[1:]}); if the text really begins with ~, put it in quotes: "
                f'{key}!="{text}"'
            )


def hints_for(project_filter: str) -> str:
    """Say what to check in a filter that finds nothing; empty where nothing is known."""
    hints = []
    for key, operator, value in _CLAUSE.findall(project_filter):
        if key.startswith(("group", "parents")):
            text = value.strip()
            if operator == "=" and _NO_TEXT.fullmatch(text):
                hints.append(f"an id that could be a number or a date: {key}=~^{text}$")
            hints.append("a group is named by its id, without quotes")
        elif key == "label":
            if operator == "=" and _NO_TEXT.fullmatch(value.strip()):
                hints.append(
                    f'a label that could be a number or a date needs quotes: label="{value}"'
                )
            hints.append("upper and lower case differ")
    return f"; check: {', '.join(dict.fromkeys(hints))}" if hints else ""
