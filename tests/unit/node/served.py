# SPDX-License-Identifier: Apache-2.0
"""A join server that serves on a loopback port, with an engine behind it."""

import threading

import testtools

from magnum_swarm_mode.node.base import docker, web
from magnum_swarm_mode.node.swarm import join_server
from tests.unit.node import fakes


def start(test: testtools.TestCase, server: join_server.Server) -> int:
    """Have a server serve until a test ends; return its port."""
    test.addCleanup(server.server_close)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    test.addCleanup(server.shutdown)
    return int(server.server_address[1])


class ServedCase(fakes.NodeTest):
    """Serves worker tokens as a manager does.

    :ivar context: of a client that trusts the server.
    """

    def setUp(self) -> None:
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.engine.enter("m0", "127.0.0.11")
        authority = self.useFixture(fakes.Authority())
        self.tokens = join_server.Tokens(
            "bootstrap-secret", docker.Docker(socket_path=self.paths.docker_socket)
        )
        context = join_server.tls()
        context.load_cert_chain(authority.pair())
        self.server = join_server.Server(("127.0.0.1", 0), context, self.tokens)
        self.port = start(self, self.server)
        self.context = web.tls(authority.pem)
