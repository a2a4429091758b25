# SPDX-License-Identifier: Apache-2.0
"""Managers that lie: each connection gets another attack on the conductor that asks.

``benchmarks/poll_health.py --conductors 1 --clusters 500 --liars 50`` runs it as a process::

    python -m benchmarks.scaled.liars PAIR AUTHORITY PORT
"""

import asyncio
import contextlib
import itertools
import ssl
import sys
from collections.abc import Awaitable, Callable

# The addresses of a cluster's three managers.
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
_PAUSE = 0.5
_MIB = 1024 * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_VERSION = b'{"Version": "26.1.5", "ApiVersion": "1.45"}'


async def _drip(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while not writer.is_closing():
        writer.write(again)
        await writer.drain()
        await asyncio.sleep(_PAUSE)


async def _repeat(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while not writer.is_closing():
        writer.write(again)
        await writer.drain()
        # drain() alone lets nothing else run while there is room.
        await asyncio.sleep(0)


async def _redirect(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first + again)
    await writer.drain()


# Seen in turn: silence, drips in each part of an answer, redirects, and answers that are too large.
ATTACKS: tuple[tuple[Callable[..., Awaitable[None]], bytes, bytes], ...] = (
    (_drip, b"", b""),
    (_drip, _HEAD, b"A: b\r\n"),
    (_drip, _CHUNKED, b"0"),
    (_drip, _CHUNKED + b"2\r\n[]\r\n0\r\n", b"A: b\r\n"),
    (_drip, _HEAD + b"Content-Length: 99999\r\n\r\n[", b" "),
    (_repeat, _HEAD + b"\r\n[", b"{}," * 20_000),
    (_repeat, _CHUNKED, b"1\r\n \r\n" * 10_000),
    (_repeat, _HEAD, b"A: " + b"b" * 50_000 + b"\r\n"),
    (_redirect, b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:2376/nodes\r\n", b"\r\n"),
    (_redirect, _HEAD + b'Content-Length: 300000\r\n\r\n[{"a": [', b"[" * 299_992),
)


async def _serve(pair: str, authority: str, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    turns = itertools.cycle(ATTACKS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"/version" in head.split(b"\r\n")[0]:
                    length = f"Content-Length: {len(_VERSION)}\r\n\r\n".encode()
                    writer.write(_HEAD + length + _VERSION)
                    await writer.drain()
                    continue
                attack, first, again = next(turns)
                await attack(writer, first, again)
        writer.close()

    servers = [
        await asyncio.start_server(answer, address, port, ssl=context, backlog=4096)
        for address in ADDRESSES
    ]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
