# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server and client in one thread, for services that answer quickly out of memory."""

import asyncio
import json
import ssl
import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 404: "Not Found"}


@dataclass(frozen=True)
class Request:
    """What was asked; names of headers are in lower case, ``body`` is JSON or None."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What is said; a body that is bytes goes out as it is."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return lines[0], {name.strip().lower(): value.strip() for name, _, value in pairs}


async def serve(
    answer: Callable[[Request], Answer],
    port: int,
    context: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
) -> asyncio.Server:
    """Listen; ``answer`` is called for one request after the other."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, headers = await _read_head(reader)
                body = await reader.readexactly(int(headers.get("content-length") or 0))
                method, target, _ = first.split(" ", 2)
                url = urllib.parse.urlsplit(target)
                request = Request(
                    method,
                    url.path,
                    urllib.parse.parse_qs(url.query),
                    headers,
                    json.loads(body) if body else None,
                )
                _send(writer, _answered(answer, request))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(
        connected, address, port, ssl=context, backlog=4096, limit=2**20
    )


def _answered(answer: Callable[[Request], Answer], request: Request) -> Answer:
    try:
        return answer(request)
    except Exception:
        # It goes to the log of the process, and to whoever asked.
        traceback.print_exc()
        return Answer(500, {"error": {"message": f"{request.method} {request.path}", "code": 500}})


def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    body = b""
    if answer.body is not None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (answer.headers or {}).items())
    writer.write(
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Other')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode()
        + body
    )


async def post(url: str, headers: Mapping[str, str], body: Any) -> int:
    """Send JSON over a connection of its own, and return the answer's status."""
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        data = json.dumps(body).encode()
        lines = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "Connection": "close",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        await writer.drain()
        first, _ = await _read_head(reader)
        return int(first.split(" ")[1])
    finally:
        writer.close()
