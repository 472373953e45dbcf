"""The HTTP face of a simulated site: serves it on 127.0.0.1, from a thread with its own event loop.

Turns HTTP requests into the site's, and counts what is in flight. Decides nothing about any answer;
`sending.py` puts it on its way.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from .population import DEFAULT_KEY
from .protocol import Request, Response
from .sending import send
from .site import SimulatedSite
from .traffic import Traffic

HOST = "127.0.0.1"

_BACKLOG = 4096


class SimulatorServer:
    """A simulated site that is served while a `with` block runs.

    Attributes:
        site: the site.
        host: the address that it is served at.
        port: the port.
        storage_port: the port of the storage that downloads are sent to, or 0.
    """

    def __init__(
        self,
        site: SimulatedSite,
        *,
        storage: bool = False,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare to serve a site.

        Args:
            site: the site.
            storage: hand downloads out from a second address, by signed URLs.
            port: the port; 0: a free one.
            tls: speak HTTPS, with this certificate; None: plain HTTP.
        """
        self.site = site
        self.host = HOST
        self.port = port
        self.storage_port = 0
        self._storage = storage
        self._tls = tls
        self._runners: list[web.ServerRunner] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulated site", daemon=True)

    @property
    def url(self) -> str:
        """The root of the site, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def api_key(self, key: str = DEFAULT_KEY) -> str:
        """Write a key (by default, that of the site's first user) the way that the SDK takes it."""
        return f"{self.host}:{self.port}:{'' if self._tls else '__force_insecure:'}{key}"

    def __enter__(self) -> Self:
        """Start serving; returns when connections are accepted.

        Raises:
            OSError: the port is taken.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self._stop_thread()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop at once, whatever is still unanswered."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._stop_thread()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _stop_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self.port = await self._serve(self.site.handle, self.site.traffic, self.port)
        if self._storage:
            # Requests to the storage are not counted among the site's.
            self.storage_port = await self._serve(self.site.handle_storage, Traffic())
            storage = self.url.replace(f":{self.port}", f":{self.storage_port}")
            self.site.behaviour.redirect_downloads_to = storage

    async def _serve(
        self, handle: Callable[[Request], Response], traffic: Traffic, port: int = 0
    ) -> int:
        """Begin to serve at a port (0: a free one); gives the port."""

        async def answer(incoming: web.BaseRequest) -> web.StreamResponse:
            with traffic.count():
                return await send(handle(await _request(incoming)), incoming)

        server = web.Server(answer, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.01)
        await runner.setup()
        self._runners.append(runner)
        listener = socket.create_server((self.host, port), backlog=_BACKLOG)
        site = web.SockSite(runner, listener, backlog=_BACKLOG, ssl_context=self._tls)
        await site.start()
        return int(listener.getsockname()[1])

    async def _stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


async def _request(incoming: web.BaseRequest) -> Request:
    path, _, query = incoming.raw_path.partition("?")
    return Request(
        incoming.method,
        path,
        dict(parse_qsl(query, keep_blank_values=True)),
        {name.lower(): value for name, value in incoming.headers.items()},
        await incoming.read(),
    )
