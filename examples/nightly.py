"""Snapshots every project that you can see, and retries what failed, twice at the most. For cron.

``python nightly.py GROUP/PROJECT``, where that project keeps the reports. Needs flywheel-sdk, and
your API key in the environment variable ``FW_API_KEY``. Exit status 0: every snapshot is complete.
"""

import os
import sys
import time
from datetime import UTC, datetime

import flywheel

RUNS = 3  # the first one, and two retries
LOOK_SECONDS = 30

client = flywheel.Client(os.environ["FW_API_KEY"])
gear = client.lookup("gears/sitewide-snapshot")
project = client.lookup(sys.argv[1])
name = f"nightly {datetime.now(UTC):%Y-%m-%d}"
config = {"project filter": "ALL", "snapshot batch name": name, "fail on incomplete": False}
inputs = {}
for _ in range(RUNS):
    job_id = gear.run(config=config, inputs=inputs, destination=project)
    while (job := client.get_job(job_id)).state in {"pending", "running"}:
        time.sleep(LOOK_SECONDS)
    report = project.reload().get_file("snapshot_report.csv")
    told = (report.info if report else {}).get("qc", {}).get("sitewide-snapshot", {})
    if job.state != "complete" or told.get("job_info", {}).get("job_id") != job_id:
        sys.exit(f"job {job_id} is {job.state}, and there is no report of it: see its log")
    if told["snapshots"]["state"] == "PASS":
        sys.exit()
    inputs = {"retry failed": report}
sys.exit(f"{name}: not complete after {RUNS} runs: see {report.name} in {sys.argv[1]}")
