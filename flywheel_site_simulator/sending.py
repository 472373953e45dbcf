"""How an answer goes to the client: at once, late, in pieces, byte by byte, cut, or not at all.

Carries out what a `Response` says and decides nothing. Nothing here blocks other requests; where
the client leaves, the server cancels what is going on.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Iterator
from http.client import responses as reasons
from pathlib import Path

from aiohttp import web

from .protocol import Response

_CHUNK_BYTES = 1 << 18
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def send(response: Response, incoming: web.BaseRequest) -> web.StreamResponse:
    """Send a response, or let it break.

    Args:
        response: what the site answers.
        incoming: the request that it answers.

    Returns:
        What the server is to finish with, if the connection still stands.
    """
    if response.delay_seconds > 0:
        await asyncio.sleep(response.delay_seconds)
    if response.broken == "hang":
        await asyncio.Event().wait()
    if response.broken == "reset":
        _abort(incoming, reset=True)
        return web.Response(status=500)
    if response.drip_seconds > 0:
        return await _drip(response, incoming)
    if isinstance(response.body, bytes) and not response.broken and not response.endless:
        return web.Response(
            status=response.status, headers=dict(response.headers), body=response.body
        )
    return await _stream(response, incoming)


async def _stream(response: Response, incoming: web.BaseRequest) -> web.StreamResponse:
    outgoing = web.StreamResponse(status=response.status, headers=dict(response.headers))
    if not response.endless:
        outgoing.content_length = _size(response)
    with contextlib.suppress(ConnectionError):  # the client has left: nobody wants the rest
        await outgoing.prepare(incoming)
        async with contextlib.aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                await outgoing.write(chunk)
                await asyncio.sleep(0)
        if response.broken == "truncated":
            _abort(incoming, reset=False)
        else:
            await outgoing.write_eof()
    return outgoing


async def _drip(response: Response, incoming: web.BaseRequest) -> web.StreamResponse:
    """Write to the connection itself, so that every byte is a packet; close it at the end."""
    transport = incoming.transport
    if transport is None:
        return web.Response(status=500)
    head = _head(response)
    for drop in _bytes_of(head) if response.drip_headers else (head,):
        transport.write(drop)
        await asyncio.sleep(response.drip_seconds if response.drip_headers else 0)
    at_once = response.drip_after
    async with contextlib.aclosing(_chunks(response)) as chunks:
        async for chunk in chunks:
            transport.write(chunk[:at_once])
            rest, at_once = chunk[at_once:], max(0, at_once - len(chunk))
            for drop in _bytes_of(rest):
                transport.write(drop)
                await asyncio.sleep(response.drip_seconds)
    _abort(incoming, reset=False)
    return web.Response(status=500)


def _bytes_of(data: bytes) -> Iterator[bytes]:
    return (data[place : place + 1] for place in range(len(data)))


def _head(response: Response) -> bytes:
    """Write the status line and the headers."""
    headers = {**response.headers, "Connection": "close"}
    if not response.endless:
        headers["Content-Length"] = str(_size(response))
    lines = [f"HTTP/1.1 {response.status} {reasons.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _size(response: Response) -> int:
    body = response.body
    return len(body) if isinstance(body, bytes) else body.stat().st_size


async def _chunks(response: Response) -> AsyncGenerator[bytes, None]:
    """Give the part of the body that is sent, a chunk at a time; for ever if it is endless."""
    size = _size(response) // 2 if response.broken == "truncated" else _size(response)
    for chunk in _read(response.body, size):
        yield chunk
    while response.endless and size:
        for chunk in _read(response.body, size):
            yield chunk


def _read(body: bytes | Path, size: int) -> Iterator[bytes]:
    """Give the first `size` bytes of a body, a chunk at a time."""
    if isinstance(body, bytes):
        yield body[:size]
        return
    with body.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
            size -= len(chunk)
            yield chunk


def _abort(incoming: web.BaseRequest, *, reset: bool) -> None:
    """Close the connection under an answer; with a reset, or (data keeps) just an end."""
    transport = incoming.transport
    if transport is None:
        return
    if reset:
        plug = transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()
