"""The Flywheel gear that starts a snapshot of every project a filter names, and reports on each.

Import this package before flywheel-sdk or the gear toolkit, which brings the SDK in.
"""

import os

__version__ = "1.0.0"

# flywheel-sdk reads these when it is first imported, and doesn't survive one that is no number.
for _name in [name for name in os.environ if name.startswith("FLYWHEEL_SDK_")]:
    del os.environ[_name]
# It would otherwise send a GET up to eight times, for up to two minutes, within one call. What is
# asked again is for the gear to say.
os.environ["FLYWHEEL_SDK_TOTAL_RETRIES"] = "0"
