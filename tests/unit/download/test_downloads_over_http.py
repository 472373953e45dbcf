"""Fetching over HTTP with the real SDK: streams that break, redirects, where the key may go."""

import gzip
import hashlib
import re
import threading
from dataclasses import replace

import pytest

from flywheel_site_simulator import Fault, answer_with, break_off, redirect, refuse
from flywheel_site_simulator.faults import Action
from fw_gear_sitewide_snapshot.clock import SystemClock
from tests.support.downloads import HELD, LONG_SECONDS, MEBIBYTE, Fetching, in_threads, served


def test_a_snapshot_is_the_same_whichever_way_it_comes(over_http: Fetching) -> None:
    small, large = over_http.add(), over_http.add(size=3 * MEBIBYTE, compressed=True)

    after = over_http.run()

    expected = {small: HELD, large: replace(HELD, files=HELD.files + 3)}
    for project, held in expected.items():
        data, content = over_http.archived(project), after[project].content
        assert content is not None
        assert (content.subjects, content.files) == (held.subjects, held.files)
        assert content.sha256 == hashlib.sha256(data).hexdigest()
        assert gzip.decompress(data).startswith(b"SQLite format 3\0")


def test_the_api_key_is_never_sent_on_to_the_storage(fetching: Fetching) -> None:
    projects = [fetching.add() for _ in range(3)]
    fetching.simulated.behaviour.signed_urls_once = True
    fetching.simulated.break_download(projects[0], "truncated", times=1)

    with served(fetching, storage=True):
        after = fetching.run()

    assert all(after[project].content for project in projects)
    assert len(fetching.simulated.storage_requests) == 4
    assert not any(request.authorization for request in fetching.simulated.storage_requests)


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_a_signed_url_that_has_expired_is_asked_for_anew(fetching: Fetching, refusals: int) -> None:
    project = fetching.add()
    behaviour = fetching.simulated.behaviour
    behaviour.signed_url_seconds = -1.0

    def tick() -> None:
        if len(fetching.simulated.storage_requests) == refusals:
            behaviour.signed_url_seconds = 60.0

    fetching.tick = tick
    with served(fetching, storage=True):
        after = fetching.run()

    if refusals < 3:
        assert after[project].content is not None
        assert fetching.asked(project) == refusals + 1
    else:
        assert "403: The signed URL has expired" in after[project].error
        assert "signature=" not in after[project].error
        assert fetching.asked(project) == 3


@pytest.mark.parametrize("status", [403, 408, 500, 502, 503])
def test_a_storage_that_is_away_for_half_a_minute_costs_nothing(
    fetching: Fetching, status: int
) -> None:
    project = fetching.add()
    end = fetching.simulated.now() + 30
    fetching.simulated.fault(Fault("download", end=end, action=redirect("/storage", 302)))
    fetching.simulated.fault(Fault("other", end=end, action=refuse(status)))

    with served(fetching):
        after = fetching.run()

    assert after[project].content is not None


@pytest.mark.parametrize("action", [break_off("reset"), refuse(502), answer_with(b"", 204)])
def test_what_is_no_answer_over_http_is_asked_for_again(fetching: Fetching, action: Action) -> None:
    project = fetching.add()
    fetching.fault(action, times=2)

    with served(fetching):
        after = fetching.run()

    assert after[project].content is not None


def test_a_page_that_never_ends_is_refused_over_http(fetching: Fetching) -> None:
    endless, good = fetching.add(), fetching.add()
    fetching.simulated.break_download(endless, "endless html")

    with served(fetching):
        after = fetching.run()

    assert re.search("unexpected response: a page", after[endless].error)
    assert after[good].content is not None


class FastClock(SystemClock):
    """A clock on which a minute is a second and a half."""

    def monotonic(self) -> float:
        return 40.0 * super().monotonic()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 40.0)


def test_a_drip_is_noticed_over_http(fetching: Fetching) -> None:
    project = fetching.add()
    fetching.simulated.behaviour.drip_pause_seconds = 0.02
    fetching.simulated.break_download(project, "drip", times=1)
    stop = threading.Event()
    threading.Timer(LONG_SECONDS, stop.set).start()

    with in_threads(fetching, FastClock(stop), stop):
        after = fetching.run()

    assert after[project].content is not None
    assert fetching.asked(project) == 2
