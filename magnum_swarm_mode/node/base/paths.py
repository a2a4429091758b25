# SPDX-License-Identifier: Apache-2.0
"""Where everything lies on a node."""

from pathlib import Path

PROGRAM = "/usr/local/lib/magnum-swarm-mode"  # a directory with __main__.py
DOCKER_SOCKET = "/run/docker.sock"


class Paths:
    """Files of the node below a root directory (another than / in tests)."""

    def __init__(self, root: str = "/") -> None:
        self.root = top = Path(root)
        etc = top / "etc/magnum-swarm-mode"
        state = top / "var/lib/magnum-swarm-mode"
        self.config = etc / "config.json"
        self.cluster_ca = etc / "cluster-ca.pem"
        self.certificate = etc / "manager.pem"  # what is known of it, certificate, key
        self.next_key = etc / "manager.key"  # until there is a certificate for it
        self.signing = top / "run/magnum-swarm-mode.signing"  # locked while one is signed
        self.proxy = etc / "haproxy.cfg"
        self.identity = state / "identity.json"
        self.signalled = state / "signalled"
        self.founding = state / "founding"
        self.log = top / "var/log/magnum-swarm-mode.log"
        self.units = top / "etc/systemd/system"
        self.daemon = top / "etc/docker/daemon.json"
        self.engine_data = top / "var/lib/docker"
        self.disks = top / "dev/disk/by-id"
        self.console = top / "dev/console"
        self.docker_socket = str(top / DOCKER_SOCKET[1:])
        self.seeds = (
            top / "run/cloud-init/instance-data.json",
            top / "var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json",
        )
