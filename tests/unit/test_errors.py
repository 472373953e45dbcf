"""The errors' tree and exit statuses, which other modules and a person's scripts go by."""

import inspect
import re

import pytest

from fw_gear_sitewide_snapshot import errors

CLASSES = {
    name: item
    for name, item in inspect.getmembers(errors, inspect.isclass)
    if issubclass(item, Exception)
}


def test_the_tree_that_is_drawn_is_the_tree() -> None:
    drawn, above = {}, ["Exception"]
    for line in re.findall(r"^    ([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(line[0]) // 4
        above[depth + 1 :] = [line[1]]
        drawn[line[1]] = above[depth]
    assert drawn == {name: item.__bases__[0].__name__ for name, item in CLASSES.items()}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.ConfigError, 2),
        (errors.ReportError, 2),
        (errors.NothingFoundError, 2),
        (errors.SiteUnusableError, 2),
        (errors.OutputError, 2),
        (errors.ReportLostError, 1),
    ],
)
def test_an_error_that_ends_the_run_has_the_contracts_exit_status(
    kind: type[errors.GearError], status: int
) -> None:
    assert kind("words").exit_status == status
