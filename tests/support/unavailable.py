"""The ways in which a site can't answer for a while."""

import pytest

from flywheel_site_simulator import SimulatedSite, answer_with, break_off, lose_answer, refuse

BACKEND = b"default backend - 404"
UNAVAILABLE = [
    pytest.param(refuse(503, headers={"Retry-After": "1"}), id="503, asks for a second"),
    pytest.param(refuse(503), id="503"),
    pytest.param(refuse(429), id="429"),
    pytest.param(refuse(421), id="421"),
    pytest.param(refuse(425), id="425"),
    pytest.param(refuse(408), id="408"),
    pytest.param(refuse(499), id="499"),
    pytest.param(refuse(500), id="500"),
    pytest.param(refuse(502, body=b"<html>Bad Gateway</html>"), id="502"),
    pytest.param(refuse(404, body=BACKEND), id="404 of another server"),
    pytest.param(refuse(403, body=b"<html>Forbidden</html>"), id="403 of another server"),
    pytest.param(break_off("reset"), id="reset"),
    pytest.param(break_off("hang"), id="hang"),
    pytest.param(lose_answer("truncated"), id="truncated"),
    pytest.param(answer_with(b"<html>Sorry</html>"), id="a page"),
    pytest.param(answer_with(b"", 204), id="nothing"),
]


def kinds(simulated: SimulatedSite) -> list[str]:
    """Return the kinds of the requests that the site has got, in order."""
    return [request.kind for request in simulated.requests]
