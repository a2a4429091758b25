# SPDX-License-Identifier: Apache-2.0
"""Which modules each role needs: user-data carries nothing else."""

from typing import Dict, Tuple

_COMMON = (
    "__init__.py",
    "main.py",
    "base/__init__.py",
    "base/codes.py",
    "base/config.py",
    "base/docker.py",
    "base/errors.py",
    "base/node.py",
    "base/openstack.py",
    "base/paths.py",
    "base/system.py",
    "base/wait.py",
    "base/web.py",
    "duties/__init__.py",
    "duties/distribution.py",
    "duties/engine.py",
    "duties/firewall.py",
    "duties/networks.py",
    "duties/packages.py",
    "duties/units.py",
    "duties/volume.py",
    "swarm/__init__.py",
)

MODULES: Dict[str, Tuple[str, ...]] = {
    "manager": (
        *_COMMON,
        "duties/proxy.py",
        "swarm/certificate_server.py",
        "swarm/certificates.py",
        "swarm/formation.py",
        "swarm/join_server.py",
        "swarm/manager.py",
        "swarm/serving.py",
        "swarm/settings.py",
    ),
    "worker": (*_COMMON, "swarm/worker.py"),
}
