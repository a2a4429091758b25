# SPDX-License-Identifier: Apache-2.0
"""A manager of a tenant that attacks its clients: raw bytes over TLS on a loopback address."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import fixtures

from tests.fakes.certificates import Authority

VERSION = b'{"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}'
# Longer than any deadline of a test.
_PATIENCE = 60.0


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *fields]
    if not any(one.lower().startswith(("content-length", "transfer-encoding")) for one in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Liar(fixtures.Fixture):
    """A manager whose answers are lies.

    :param lie: gets a function that sends bytes, and acts as the server in answer to ``path``.
    :param path: the end of the path that is lied about; other requests get a good answer.
    :ivar asked: the first lines of all requests.
    :ivar began: calls of ``lie``.
    """

    def __init__(
        self,
        authority: Authority,
        lie: Callable[[Liar, Callable[[bytes], None]], None],
        path: str = "/nodes",
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._authority, self._lie, self._path = authority, lie, path
        self.address, self.port = address, port
        self.asked: list[str] = []
        self.began = 0
        self.ended = threading.Event()
        self.greets = True

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self._context = self._authority.context(self.address)
        self._listener = socket.create_server((self.address, self.port), backlog=64)
        self.addCleanup(self._listener.close)
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(_PATIENCE)
        with contextlib.suppress(OSError, ssl.SSLError), contextlib.closing(raw):
            if not self.greets:
                self.drip(raw.sendall, b"\x16\x03\x03\x40\x00" + b"\x02" * 1000)
                return
            with self._context.wrap_socket(raw, server_side=True) as secured:
                while head := _head(secured):
                    first = head.split(b"\r\n", 1)[0].decode()
                    self.asked.append(first)
                    if first.split()[1].partition("?")[0].endswith(self._path):
                        self.began += 1
                        self._lie(self, secured.sendall)
                        return
                    secured.sendall(answer(VERSION))

    def drip(self, send: Callable[[bytes], Any], data: bytes, pause: float = 0.05) -> None:
        """Send a byte now and then, until the test ends."""
        for byte in data:
            send(bytes([byte]))
            if self.ended.wait(pause):
                return

    def repeat(self, send: Callable[[bytes], Any], data: bytes) -> None:
        """Send the same without end, until the other side has enough or the test ends."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and not self.ended.is_set():
            send(data)


def _head(secured: ssl.SSLSocket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = secured.recv(65536)
        if not piece:
            return b""
        got += piece
    return got
