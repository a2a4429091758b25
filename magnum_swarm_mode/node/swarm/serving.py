# SPDX-License-Identifier: Apache-2.0
"""Runs what a manager serves to other nodes: worker tokens, and the certificates of managers."""

import grp
import os
import pwd
import threading

from ..base import system, web
from ..base.errors import NodeError
from ..base.node import Node
from . import settings
from .certificate_server import Signatures
from .join_server import Server, Service, Tokens, tls


class Neighbours(Server):
    """A server for other hosts of the same network."""

    def server_bind(self) -> None:
        """Bind the socket, which accepts nothing from elsewhere from the first moment."""
        web.set_neighbour(self.socket, listens=True)
        super().server_bind()


def open_server(node: Node, port: int, service: Service) -> Server:
    """Return a server with the manager's certificate, for other hosts of the same network.

    :raises NodeError: the certificate cannot be loaded or the port is taken
    """
    context = tls()
    try:
        context.load_cert_chain(node.paths.certificate)
        return Neighbours(("0.0.0.0", port), context, service)
    except OSError as error:
        raise NodeError(f"port {port} cannot be served: {error}") from error


def serve(node: Node) -> None:
    """Serve until there are new settings, as nobody in the group that may use the engine's socket.

    They are taken over at the start, by root; systemd starts this again.

    :raises NodeError: the certificate cannot be loaded or a port is taken
    """
    try:
        applied = settings.apply(node)
    except Exception as error:
        # Nodes are served also while the settings are wrong.
        node.say(f"settings: {error}")
        applied = -1
    config, pair = node.config, system.read(node.paths.certificate)
    context = web.tls(system.read(node.paths.cluster_ca), str(node.paths.certificate))
    worker_tokens = Tokens(config.join_secret, node.docker)
    signatures = Signatures(config, pair, context, node.docker)
    worker_tokens.own = signatures.own = config.address(node.own_index())
    with (
        open_server(node, config.join_port, worker_tokens) as tokens,
        open_server(node, config.join_certificate_port, signatures) as certificates,
    ):
        os.setgroups([])
        os.setgid(grp.getgrnam("docker").gr_gid)
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        watched = (node, applied, tokens.shutdown)
        threading.Thread(target=settings.watch, args=watched, daemon=True).start()
        threading.Thread(target=certificates.serve_forever, daemon=True).start()
        tokens.serve_forever()
        certificates.shutdown()
