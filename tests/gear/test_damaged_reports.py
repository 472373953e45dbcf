"""A report that was damaged at random, as a retry's input: never a snapshot it doesn't name."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_site_simulator import SimulatedSite
from fw_gear_sitewide_snapshot import main
from fw_gear_sitewide_snapshot.errors import ReportError
from fw_gear_sitewide_snapshot.report import csv_report
from fw_gear_sitewide_snapshot.report.columns import COLUMNS
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.config import gear_config
from tests.support.direct import DirectTransport, InTurn
from tests.support.time import FakeClock

NAMED = ["000000000000000000000123", "5e0000000000000000000012", "1111111111111111111e1111"]
NOT_NAMED = ["000000000000000000000124", "5e0000000000000000000013", "1111111111111111111e1112"]
SOUND = "\n".join(
    [
        ",".join(COLUMNS),
        f"g,NA,{NAMED[0]},{NAMED[1]},2026-01-31T12:00:05+00:00,b,complete,,9,{'0' * 64},1,2,3,4",
        f'g,"two\nlines, ""so""",{NAMED[1]},,2026-01-31T12:00:05+00:00,b,failed,é,,,,,,',
        f"g,'=1+1,{NAMED[2]},{NAMED[1]},,,in_progress,,,,,,,",
        "",
    ]
).encode()
scraps = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b",", b'"', b"\n", b"\r", b"\0", b";", b"\t", b"'", b"\xef\xbb\xbf", b"=", b"NA",
         b"5.0E+23", b"\xff\xfe", b",,,,,,,,", b"status", b"9" * 30, b"-1", b"0001-01-01",
         b"planned", b"pending", b"failed", b",,", b"\xe9", b"nan", b"31/01/2026 13:00",
         b"\n" + ",".join(COLUMNS[6::-1]).encode() + b"\n", b"PK\x03\x04"]
    ),
)  # fmt: skip
damages = st.lists(
    st.tuples(st.integers(0, len(SOUND)), st.integers(0, 30) | st.integers(0, len(SOUND)), scraps),
    min_size=1,
    max_size=6,
)


def retry(content: bytes) -> tuple[SimulatedSite, str]:
    """Run the gear with this as the report; returns the site, and what the run was refused with."""
    clock = FakeClock()
    simulated = SimulatedSite(clock.unix)
    for project in NAMED + NOT_NAMED:
        simulated.add_project("g", project_id=project)
    with tempfile.TemporaryDirectory() as name:
        report, output = Path(name, "edited.csv"), Path(name, "output")
        report.write_bytes(content)
        output.mkdir()
        try:
            main.run(
                gear_config(retry_report=report, timeout_seconds=60.0),
                site=Site(DirectTransport(simulated, clock), clock),
                workers=InTurn(clock),
                clock=clock,
                output=output,
                work=Path(name),
            )
        except ReportError as error:
            return simulated, str(error)
        assert (output / csv_report.REPORT_NAME).exists()
        return simulated, ""


@settings(max_examples=1000, deadline=None)
@given(damages)
def test_a_damaged_report_is_read_or_refused_in_one_line_and_starts_nothing_that_it_does_not_name(
    damages: list[tuple[int, int, bytes]],
) -> None:
    content = SOUND
    for start, length, scrap in damages:
        content = content[:start] + scrap + content[start + length :]

    site, refused = retry(content)

    if refused:
        assert re.fullmatch(r'input "retry failed": edited\.csv, line \d+: .+', refused)
        assert refused.isprintable()
        assert site.creates() == 0
    created = {request.project_id for request in site.requests if request.kind == "create"}
    named = set(re.findall(rb"[0-9a-f]{24}", content.lower()))
    assert {str(project).encode() for project in created} <= named


def test_the_report_that_is_damaged_starts_what_it_names_before() -> None:
    site, refused = retry(SOUND)

    assert refused == ""
    assert [site.creates(project) for project in NAMED] == [0, 1, 1]
    assert [site.creates(project) for project in NOT_NAMED] == [0, 0, 0]
