"""Transports as the gear makes them, in an environment without proxies and certificates."""

import os
from collections.abc import Callable, Iterator

import pytest

from fw_gear_sitewide_snapshot.site.transport import SdkTransport


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or "SSL_CERT" in name or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)


@pytest.fixture
def connect() -> Iterator[Callable[[str], SdkTransport]]:
    """Make transports whose connections end with the test."""
    made: list[SdkTransport] = []

    def make(api_key: str) -> SdkTransport:
        made.append(SdkTransport(api_key))
        return made[-1]

    yield make
    for transport in made:
        transport._client.rest_client.client.close()
