# SPDX-License-Identifier: Apache-2.0
"""What clients send to the join server."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from magnum_swarm_mode.node.base.docker import SwarmNode
from magnum_swarm_mode.node.base.errors import NodeError
from magnum_swarm_mode.node.swarm import join_server
from tests.fuzz import inputs
from tests.fuzz.harness import Target

_SECRET = "bootstrap-secret"
_ADDRESS = "10.0.0.9"
# The service reads the secret alone; what else callers may send is not refused.
BODIES = (
    {"secret": _SECRET},
    *[{"secret": _SECRET, "csr": "PEM", "name": "c-worker-0", "group": {"index": [1, 2]}}] * 4,
)


class _Engine:
    """An engine with one manager, and no further groups."""

    def call(self, *_: Any) -> list[Any]:
        """Find no config."""
        return []

    def nodes(self) -> list[SwarmNode]:
        """Return the manager."""
        where = ("10.0.0.5", "reachable", "10.0.0.5:2377")
        return [SwarmNode("m", 1, "manager", "ready", *where, {})]

    def tokens(self) -> tuple[str, str]:
        """Return the join tokens."""
        return "SWMTKN-1-worker", "SWMTKN-1-manager"


_HEADS = (
    b"POST /v1/worker-token HTTP/1.1",
    b"POST /v1/worker-token HTTP/1.0",
    b"GET / HTTP/1.1",
    b"POST /v1/worker-token",
    b"PRI * HTTP/2.0",
    b"POST  HTTP/1.1",
    b"\x16\x03\x01\x02\x00",
    b"POST /v1/\x1b[2J HTTP/1.1",
    b"POST /v1/worker-token HTTP/9.9",
    b"A" * 9000,
    b"",
    b"\x1b[2J\xe2\x80\xae /v1/worker-token HTTP/1.1",
    b"POST //v1/worker-token HTTP/1.1",
)
_FIELDS = (
    b"Host: m",
    b"Content-Length: 28",
    b"Content-Length: 0028",
    b"Content-Length: -1",
    b"Content-Length: \xc2\xb2",
    b"Content-Length: 99999",
    b"Content-Length: " + b"9" * 4999,
    b"Content-Length: 0x1",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b" folded",
    b"A: " + b"a" * 7000,
    b"no colon",
    b"a: b\r\n" * 110,
    b"Connection: keep-alive",
    b"\x00: \xff",
)


def requests(good: bytes, bodies: inputs.Make) -> inputs.Make:
    """Return what makes requests to a server of a node.

    :param good: the first line of those that it serves.
    """

    def made(dice: inputs.Dice) -> bytes:
        head = good if dice.random() < 0.4 else dice.choice(_HEADS)
        fields = dice.choices(_FIELDS, k=dice.choice((0, 0, 1, 1, 2, 4)))
        return _request(head, fields, bodies(dice), is_sized=dice.random() < 0.6)

    def plain(dice: inputs.Dice) -> bytes:
        return _request(good, [], bodies(dice), is_sized=True)

    return inputs.often((10, plain), (5, made), (1, inputs.cutting(made)))


def _request(head: bytes, fields: list[bytes], body: bytes, *, is_sized: bool) -> bytes:
    size = [b"Content-Length: %d" % len(body)] if is_sized else []
    return b"\r\n".join([head, *fields, *size, b"", body])


class Tokens(Target):
    """The body of a request for a token.

    Only ``NodeError`` leaves it, and no token but the workers' is given.
    """

    name = "join-body"
    depths = (join_server.Service.answer,)
    refusals = (NodeError,)
    longest = 500

    def inputs(self) -> inputs.Make:
        return inputs.documents(*BODIES)

    def read(self, data: bytes) -> Iterable[str]:
        tokens = join_server.Tokens(_SECRET, _Engine())  # type: ignore[arg-type]
        answer = tokens.answer(_ADDRESS, data[: join_server.LONGEST_BODY])
        assert answer["token"] == "SWMTKN-1-worker"
        return answer["managers"]


def exchanged(to: join_server.Server, address: str, data: bytes) -> tuple[bytes, str]:
    """Return what a server's handler answers a client, and the line that it writes."""
    client, server = socket.socketpair()
    said = io.StringIO()
    with client, server:
        client.settimeout(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        client.setblocking(False)
        # No more than this is read of a request.
        client.send(data[: 2 * join_server.LONGEST_REQUEST])
        client.shutdown(socket.SHUT_WR)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            join_server.Handler(server, (address, 1), to)
        server.close()
        client.setblocking(True)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert len(answer) < 20_000
    assert said.getvalue().count("\n") <= 1
    return answer, said.getvalue()


class Requests(Target):
    """All that a client sends, to the server's handler at a pair of sockets.

    The handler ends with an answer or without, raises only errors of the connection, writes one
    line that can be shown, and answers with little.
    """

    name = "join-request"
    depths = (join_server.Handler.do_POST, join_server.Service.answer)
    refusals = (ConnectionError,)
    longest = 1000

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        tokens = join_server.Tokens(_SECRET, _Engine())  # type: ignore[arg-type]
        self._server = join_server.Server(("127.0.0.1", 0), join_server.tls(), tokens)
        try:
            yield
        finally:
            self._server.server_close()

    def inputs(self) -> inputs.Make:
        return requests(b"POST /v1/worker-token HTTP/1.1", inputs.documents(*BODIES))

    def read(self, data: bytes) -> Iterable[str]:
        self._server.service._next.clear()
        answer, said = exchanged(self._server, _ADDRESS, data)
        assert b"SWMTKN-1-manager" not in answer
        yield said


TARGETS = (Tokens(), Requests())
