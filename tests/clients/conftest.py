"""Flywheel's own clients, unpatched, over HTTPS: they get a certificate that they can verify.

They run in an environment of their own (`make clients`). In any other, only what needs none of
them is collected.
"""

import importlib.util
import ssl
from collections.abc import Iterator

import pytest

from flywheel_site_simulator import SimulatedSite, SimulatorServer
from flywheel_site_simulator.server import HOST

if importlib.util.find_spec("fw_dataset") is None:
    collect_ignore = ["test_fw_client.py", "test_fw_dataset.py", "test_fw_gear.py"]
else:
    collect_ignore = ["test_flywheel_sdk.py"]  # it runs the gear, with the gear's own libraries


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssl.SSLContext]:
    """Make a certificate for the simulator, of an authority that all clients here know."""
    import trustme  # noqa: PLC0415 - only in the clients' environment

    authority = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(file))
        yield context


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite()


@pytest.fixture
def server(site: SimulatedSite, certificate: ssl.SSLContext) -> Iterator[SimulatorServer]:
    with SimulatorServer(site, tls=certificate) as running:
        yield running
