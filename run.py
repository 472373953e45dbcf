"""The gear's entry point: reads the job, sets the log up, wires the parts, exits."""

import _thread
import gc
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING


class Stop(threading.Event):
    """Set when the run is to end."""

    signal: int = signal.SIGTERM  # the number of the signal that said so


def stop_on_signal() -> Stop:
    """Return an event that SIGTERM and SIGINT set, from now on.

    In a thread of its own: the handler interrupts the main thread wherever it is, which may be
    while that holds the event's own lock, and would then wait for itself.
    """
    stop = Stop()

    def handle(number: int, _frame: object) -> None:
        stop.signal = number
        try:
            _thread.start_new_thread(stop.set, ())
        except RuntimeError:  # no room for one more: rather wait for itself than be lost
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


# Before the libraries are imported, which takes most of the start: until then a signal ends the
# process with a traceback or without a word, or is lost on a process 1, which it is in a container.
_stop = stop_on_signal() if __name__ == "__main__" else Stop()

from fw_gear_sitewide_snapshot import (  # noqa: E402
    __version__,
    check_dependencies,
    described,
    errors,
    importing,
)

gc.disable()  # what is imported stays: looking for garbage in it makes the start an eighth longer
try:
    check_dependencies()
    from fw_gear_sitewide_snapshot import main, parser
    from fw_gear_sitewide_snapshot.clock import Clock, SystemClock
    from fw_gear_sitewide_snapshot.download import place
    from fw_gear_sitewide_snapshot.models import SnapshotStatus
    from fw_gear_sitewide_snapshot.report import csv_report, log_format, metadata
    from fw_gear_sitewide_snapshot.report.advice import may_retry_help
    from fw_gear_sitewide_snapshot.report.summary import Summary
    from fw_gear_sitewide_snapshot.site.client import Site
    from fw_gear_sitewide_snapshot.site.rates import MAX_CONCURRENT_CALLS
    from fw_gear_sitewide_snapshot.site.transport import SdkTransport
    from fw_gear_sitewide_snapshot.workers import ThreadWorkers
except Exception as _error:  # noqa: BLE001  a library may raise anything while it is imported
    print(f"ERROR sitewide-snapshot {__version__}: {described(_error)}")
    sys.exit(errors.EXIT_UNUSABLE)

gc.freeze()
gc.enable()

if TYPE_CHECKING:
    from fw_gear_sitewide_snapshot.download.copies import Copies

log = logging.getLogger("sitewide-snapshot")

_ABORT_SECONDS = 5.0  # for uploads to be aborted, once the report is written
_RETRY = 'run again with the report as input "retry failed"'


def run(folder: Path, stop: Stop) -> int:
    """Run the gear in its folder; returns the exit status, having logged why."""
    log_format.set_up("", debug=False)
    copies: Copies | None = None
    try:
        job = parser.read_json(folder / "config.json")
        log_format.set_up(parser.api_key_text(job), debug=parser.is_debug(job))
        log.info("sitewide-snapshot %s", __version__)
        api_key = parser.parse_api_key(job)
        manifest = parser.read_json(Path(__file__).resolve().with_name("manifest.json"))
        config = parser.parse_config(job, manifest)
        transport = SdkTransport(api_key)
        clock = SystemClock(stop)
        copies = open_copies(config, transport.url, clock)
        log.info("Site %s; %s", transport.url, config.described())
        workers = ThreadWorkers(stop, clock, MAX_CONCURRENT_CALLS)
        summary = main.run(
            config,
            site=Site(transport, clock, workers.run),
            workers=workers,
            clock=clock,
            output=ensure_directory(folder / "output"),
            work=ensure_directory(folder / "work") if config.is_fetched else folder / "work",
            copies=copies,
            site_url=transport.url,
            job_id=parser.job_id(job),
        )
    except errors.GearError as error:
        log.error("%s", error)
        return error.exit_status
    except errors.TerminatedError:
        log.error("The job was told to end")
        if copies:
            copies.wait_for_uploads(_ABORT_SECONDS)
        if (folder / "output" / csv_report.REPORT_NAME).exists():
            log.error("To finish the batch: %s", _RETRY)
        return errors.EXIT_SIGNALLED + stop.signal
    write_metadata(folder, job, config, summary)
    if summary.is_complete or config.is_plan:
        return errors.EXIT_COMPLETE
    if not may_retry_help(summary):
        log.warning("The batch is not complete, and a retry can't help before that is put right")
    elif config.is_audit and summary.counts.get(SnapshotStatus.PLANNED):
        log.warning('To start what is missing: %s, and "dry run" off', _RETRY)
    elif config.is_audit:
        log.warning("Not each project has a snapshot that new as yet: audit again later")
    else:
        log.warning("The batch is not complete: %s", _RETRY)
    return errors.EXIT_INCOMPLETE if config.fail_on_incomplete else errors.EXIT_COMPLETE


def open_copies(config: parser.GearConfig, site_url: str, clock: Clock) -> "Copies | None":
    """Return the place for copies, once the log shows none of its credentials; None for none."""
    credentials = place.read_credentials(config.credentials)
    log_format.hide(place.secrets_of(credentials))
    if config.copy_to:
        place.check_address(config.copy_to)
    if not config.copy_to or not config.is_fetched:
        return None
    if credentials:
        log.warning(
            'The credentials are from the input "%s": whoever may read the container that this '
            "file is in can read them",
            parser.CREDENTIALS_INPUT,
        )
    with importing("obstore"):  # not sooner: a run without copies needs none of it
        from fw_gear_sitewide_snapshot.download.copies import Copies  # noqa: PLC0415
        from fw_gear_sitewide_snapshot.download.object_store import ObjectStore  # noqa: PLC0415
    return Copies(ObjectStore(config.copy_to, credentials), site_url, clock)


def ensure_directory(folder: Path) -> Path:
    """Make the folder where the platform has not; raise OutputError where it can't be made."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise errors.OutputError(f"{folder}: the folder can't be made: {error.strerror}") from None
    return folder


def write_metadata(
    folder: Path, job: parser.JsonObject, config: parser.GearConfig, summary: Summary
) -> None:
    """Write ``.metadata.json`` with the gear toolkit; where it goes wrong, the log says so."""
    container_type = parser.destination_type(job)
    if not container_type:
        log.warning("config.json names no destination: no metadata is written")
        return
    values = metadata.file_metadata(summary, config, parser.job_id(job))
    # The toolkit writes on leaving the block; and it writes what is not valid, rather than exit.
    try:
        with importing("flywheel-gear-toolkit"):
            from flywheel_gear_toolkit import GearToolkitContext  # noqa: PLC0415  see parser
        with GearToolkitContext(folder, log_metadata=False, fail_on_validation=False) as context:
            context.metadata.update_file_metadata(
                csv_report.REPORT_NAME, container_type=container_type, **values
            )
    except errors.ConfigError as error:
        log.warning("The metadata can't be written: %s", error)
    except OSError as error:
        log.warning("The metadata can't be written: %s", error.strerror or error)
    except Exception:
        log.exception("The metadata can't be written, which is a defect; the report is whole")


if __name__ == "__main__":
    exit_status = run(Path.cwd(), _stop)
    logging.shutdown()
    # All is written and closed. To take the libraries apart would cost a fifth of a second, in
    # which a signal would be the exit status, and a thread that still waits could hold it up.
    os._exit(exit_status)
