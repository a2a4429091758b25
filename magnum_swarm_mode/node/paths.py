# SPDX-License-Identifier: Apache-2.0
"""Where everything lies on a node."""

from pathlib import Path

PROGRAM = "/usr/local/lib/magnum-swarm-mode/node.pyz"
DOCKER_SOCKET = "/run/docker.sock"


class Paths:
    """Files of the node below a root directory (another than / in tests)."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        etc = self.root / "etc/magnum-swarm-mode"
        state = self.root / "var/lib/magnum-swarm-mode"
        self.config = etc / "config.json"
        self.cluster_ca = etc / "cluster-ca.pem"
        self.certificate = etc / "manager.pem"  # certificate, then key
        self.proxy = etc / "haproxy.cfg"
        self.identity = state / "identity.json"
        self.signalled = state / "signalled"
        self.founding = state / "founding"
        self.log = self.root / "var/log/magnum-swarm-mode.log"
        self.units = self.root / "etc/systemd/system"
        self.daemon = self.root / "etc/docker/daemon.json"
        self.engine_data = self.root / "var/lib/docker"
        self.disks = self.root / "dev/disk/by-id"
        self.console = self.root / "dev/console"
        self.docker_socket = self.root / DOCKER_SOCKET.lstrip("/")
        self.instance_data = self.root / "run/cloud-init/instance-data.json"
        self.seed = self.root / "var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json"
