# SPDX-License-Identifier: Apache-2.0
"""A join server that serves on a loopback port, with an engine behind it."""

import threading

from magnum_swarm_mode.node.base import docker, web
from magnum_swarm_mode.node.swarm import join_server
from tests.unit.node import fakes


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
        self.addCleanup(self.server.server_close)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(self.server.shutdown)
        self.port = self.server.server_address[1]
        self.context = web.tls(authority.pem)
