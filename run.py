"""The gear's entry point: opens the context and the log, wires the parts, exits."""

import logging
import signal
import sys
import threading

from fw_gear_sitewide_snapshot import __version__, joblog, main, metadata, parser, reporter
from fw_gear_sitewide_snapshot.clock import SystemClock
from fw_gear_sitewide_snapshot.errors import (
    EXIT_COMPLETE,
    EXIT_INCOMPLETE,
    EXIT_TERMINATED,
    GearError,
    TerminatedError,
)
from fw_gear_sitewide_snapshot.site import Site
from fw_gear_sitewide_snapshot.transport import SdkTransport
from fw_gear_sitewide_snapshot.workers import ThreadWorkers

# The package has come first: the toolkit brings flywheel-sdk in, which then reads its settings.
# isort: split
from flywheel_gear_toolkit import GearToolkitContext

log = logging.getLogger("sitewide-snapshot")


def run(context: GearToolkitContext, stop: threading.Event) -> int:
    """Run the gear in its context; returns the exit status, having logged why."""
    try:
        context.init_logging(update_config=joblog.log_config(parser.api_key_text(context)))
        log.info("sitewide-snapshot %s", __version__)
        api_key = parser.parse_api_key(context)
        config = parser.parse_config(context)
        transport = SdkTransport(api_key)
        log.info("Site %s; %s", transport.url, config.described())
        clock = SystemClock(stop)
        summary = main.run(
            config,
            site=Site(transport, clock),
            workers=ThreadWorkers(stop, clock),
            clock=clock,
            output=context.output_dir,
            work=context.work_dir,
            site_url=transport.url,
        )
    except GearError as error:
        log.error("%s", error)
        return error.exit_status
    except TerminatedError:
        log.error("The job was told to end; run it again with the report to finish the batch")
        return EXIT_TERMINATED
    context.metadata.update_file_metadata(
        reporter.REPORT_NAME,
        container_type=context.destination["type"],
        **metadata.file_metadata(summary, config, parser.job_id(context)),
    )
    if summary.is_complete or config.dry_run:
        return EXIT_COMPLETE
    log.warning('Not every snapshot is complete: run again with the report as "retry failed"')
    return EXIT_INCOMPLETE if config.fail_on_incomplete else EXIT_COMPLETE


if __name__ == "__main__":
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())
    with GearToolkitContext(log_metadata=False) as gear_context:
        exit_status = run(gear_context, terminated)
    sys.exit(exit_status)
