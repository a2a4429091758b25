# SPDX-License-Identifier: Apache-2.0
"""The TLS end of the Docker API: HAProxy in front of the engine's unix socket.

It forwards raw bytes, so that attach and exec, which turn the connection into a stream that either
side may half-close, work as on the socket itself. A reload starts a new worker on the same
listening socket; the old one lives on until its connections end.

Its worker runs as a user of its own in the group that may use the engine's socket; only the master
reads the key. Idle streams ("docker events") live for a week; the keep-alive finds dead clients.

Who has no certificate takes no connection from others for long: the handshake has a deadline,
however slowly its bytes come, and one address has a share of all connections only. Until the engine
is connected HAProxy counts ``timeout client`` from the accepted connection; then ``timeout tunnel``
holds for both directions (HAProxy configuration manual, "timeout tunnel").
"""

from ..base import system
from ..base.config import Config
from ..base.paths import DOCKER_SOCKET, Paths
from ..base.web import AEAD
from . import distribution, units

MOST_CONNECTIONS = 2000
MOST_OF_ADDRESS = 400
HANDSHAKE_SECONDS = 10


def settings(config: Config, paths: Paths) -> str:
    """Return HAProxy's configuration."""
    tls = f"ssl crt {paths.certificate} ca-file {paths.cluster_ca} verify required"
    return f"""
global
 log stdout format raw daemon notice
 user {distribution.HAPROXY_USER}
 group docker
 maxconn {MOST_CONNECTIONS}
 hard-stop-after 7d
 ssl-default-bind-options ssl-min-ver TLSv1.2
 ssl-default-bind-ciphers {AEAD}
listen api
 mode tcp
 log global
 bind 0.0.0.0:{config.api_port} {tls}
 stick-table type ip size 64k expire 1m store conn_cur
 tcp-request connection track-sc0 src
 tcp-request connection reject if {{ sc0_conn_cur gt {MOST_OF_ADDRESS} }}
 server engine unix@{DOCKER_SOCKET}
 timeout connect 10s
 timeout client {HANDSHAKE_SECONDS}s
 timeout server 7d
 timeout tunnel 7d
 option clitcpka
 clitcpka-idle 60s
"""


def unit(paths: Paths) -> str:
    """Return the systemd unit."""
    command = f"{distribution.HAPROXY} -f {paths.proxy}"
    return units.unit(
        f"TLS end of the Docker API\nAfter=network-online.target\n"
        f"ConditionPathExists={paths.certificate}",
        f"""
Type=notify
ExecStartPre={command} -c -q
ExecStart={command} -Ws
ExecReload={command} -c -q
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_RESOURCE"""
        + units.ALWAYS,
    )


def ensure(config: Config, paths: Paths, verb: str) -> None:
    """Run the proxy with the present configuration and certificate.

    :param verb: what its unit needs for that if its configuration is as it was
    :raises NodeError: HAProxy refuses its configuration or does not start
    """
    if system.write(paths.proxy, settings(config, paths), 0o600) and verb == "start":
        verb = "reload-or-restart"
    system.run("systemctl", verb, units.PROXY)
