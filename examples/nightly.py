"""Snapshots every project that you can see, and retries what failed, twice at the most. For cron.

``python nightly.py GROUP/PROJECT``, where that project keeps the reports. Needs flywheel-sdk, and
your API key in the environment variable ``FW_API_KEY``. Exit status 0: every snapshot is complete.
"""

import os
import sys
import time

import flywheel

client = flywheel.Client(os.environ["FW_API_KEY"])
gear, project = client.lookup("gears/sitewide-snapshot"), client.lookup(sys.argv[1])
config = {"project filter": "ALL", "snapshot batch name": "nightly", "fail on incomplete": False}
inputs = {}
for _ in range(3):  # the first run, and two retries
    job_id = gear.run(config=config, inputs=inputs, destination=project)
    while (job := client.get_job(job_id)).state not in {"complete", "failed", "cancelled"}:
        time.sleep(30)
    report = project.reload().get_file("snapshot_report.csv")
    told = report.info.get("qc", {}).get("sitewide-snapshot", {}) if report else {}
    if job.state != "complete" or told.get("job_info", {}).get("job_id") != job_id:
        sys.exit(f"job {job_id} is {job.state}, and there is no report of it: see its log")
    if told["snapshots"]["state"] == "PASS":
        sys.exit()
    inputs = {"retry failed": report}
sys.exit(f"not complete after 3 runs: see snapshot_report.csv in {sys.argv[1]}")
