"""Calls the place for copies before a run's work and after it.

Workers do: a call to a store may take minutes, and doesn't hear that the run is to end.
"""

import logging
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import ConfigError, StoreError
from ..report import csv_report
from ..reporter import BatchReport
from ..site.retry import backoff_seconds
from ..workers import TaskQueue, Workers

if TYPE_CHECKING:
    from .copies import Copies

log = logging.getLogger(__name__)
_TRIAL_SECONDS = 25.0  # within half a minute a person knows that a place can't be used
_OUTAGE_SECONDS = 60.0  # for so long a store is asked again to take the report


def try_out(copies: "Copies", workers: Workers, clock: Clock) -> None:
    """Raise a ConfigError where the place can't be written to, or doesn't answer."""
    tried: TaskQueue[None] = workers.queue()
    tried.submit(copies.try_out)
    for _ in tried.results(clock.monotonic() + _TRIAL_SECONDS):
        log.info("Copies go to %s", copies.url)
        return
    seconds = f"{_TRIAL_SECONDS:.0f} s"
    who = "the store, or from the machine whose role is asked for where no credentials are given"
    raise ConfigError(f"copy to {copies.url}: no answer within {seconds} from {who}")


def copy_batch(
    copies: "Copies", report: BatchReport, begin: datetime, workers: Workers, clock: Clock
) -> bool:
    """Copy the report and its page beside the snapshots' copies; say whether that was done."""
    from ..report.page import PAGE_NAME  # noqa: PLC0415  not sooner: as in reporter

    of_batch = (report.folder / name for name in (csv_report.REPORT_NAME, PAGE_NAME))
    files = [file for file in of_batch if file.exists()]  # the page may not have been made
    put = partial(copies.put_batch, files, report.records, begin)
    tried: TaskQueue[str] = workers.queue()
    until = clock.monotonic() + _OUTAGE_SECONDS
    failures = 0
    while True:
        tried.submit(put)
        try:
            there = next(tried.results())
        except (StoreError, OSError) as error:
            failures += 1
            backoff = backoff_seconds(failures)
            may_pass = isinstance(error, StoreError) and error.may_pass
            if not may_pass or clock.monotonic() + backoff > until:
                log.error("The report can't be copied to %s: %s", copies.url, error)
                return False
            clock.sleep(backoff)
        else:
            names = ", ".join(file.name for file in files)
            log.info("%s and the checksums of all copies are in %s", names, there)
            return True
