# SPDX-License-Identifier: Apache-2.0
"""The TLS end of the Docker API: HAProxy in front of the engine's unix socket.

It forwards raw bytes, so that attach and exec, which turn the connection into a stream that either
side may half-close, work as on the socket itself. A reload starts a new worker on the same
listening socket; the old one lives on until its connections end.
"""

from . import system
from .config import Config
from .paths import DOCKER_SOCKET, Paths

UNIT = "magnum-swarm-proxy.service"
_RUN = "/run/magnum-swarm-proxy"


def settings(config: Config, paths: Paths) -> str:
    """Return HAProxy's configuration.

    Its worker runs as haproxy in the group that may use the engine's socket; only the master reads
    the key. Idle streams ("docker events") live for a week; the keep-alive finds dead clients.
    """
    return f"""\
# Written by magnum-swarm-mode at every start; changes are lost.
global
    log stdout format raw daemon notice
    user haproxy
    group docker
    maxconn 2000
    stats socket {_RUN}/admin.sock mode 600 level admin expose-fd listeners
    hard-stop-after 7d
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
    mode tcp
    log global
    timeout connect 10s
    timeout client 7d
    timeout server 7d
    timeout client-fin 7d
    timeout server-fin 7d
    timeout tunnel 7d
    option clitcpka
    clitcpka-idle 60s
    clitcpka-intvl 30s
    clitcpka-cnt 4
frontend api
    bind 0.0.0.0:{config.api_port} ssl crt {paths.certificate} ca-file {paths.cluster_ca} \
verify required
    default_backend engine
backend engine
    server engine unix@{DOCKER_SOCKET}
"""


def unit(paths: Paths) -> str:
    """Return the systemd unit."""
    return f"""\
[Unit]
Description=TLS end of the Docker API
After=network-online.target magnum-swarm-prepare.service
Wants=network-online.target
ConditionPathExists={paths.certificate}
[Service]
Type=notify
RuntimeDirectory=magnum-swarm-proxy
ExecStartPre=/usr/sbin/haproxy -c -q -f {paths.proxy}
ExecStart=/usr/sbin/haproxy -Ws -f {paths.proxy}
ExecReload=/usr/sbin/haproxy -c -q -f {paths.proxy}
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
Restart=always
RestartSec=2
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_RESOURCE
[Install]
WantedBy=multi-user.target
"""


def ensure(config: Config, paths: Paths, renewed: bool) -> None:
    """Run the proxy with the present configuration and certificate.

    :param renewed: the certificate is another than the running proxy's
    :raises NodeError: HAProxy refuses its configuration or does not start
    """
    changed = system.write(paths.proxy, settings(config, paths), 0o600)
    verb = "reload-or-restart" if changed or renewed else "start"
    system.run("systemctl", verb, UNIT)
