"""The errors' exit statuses, which a person's scripts go by."""

import pytest

from fw_gear_sitewide_snapshot import errors


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
