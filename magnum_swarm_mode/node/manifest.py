# SPDX-License-Identifier: Apache-2.0
"""Which modules each role needs: user-data carries nothing else."""

from typing import Dict, Tuple

_COMMON = (
    "__init__.py",
    "codes.py",
    "config.py",
    "distribution.py",
    "docker.py",
    "engine.py",
    "errors.py",
    "firewall.py",
    "main.py",
    "networks.py",
    "node.py",
    "openstack.py",
    "packages.py",
    "paths.py",
    "system.py",
    "units.py",
    "volume.py",
    "wait.py",
    "web.py",
)

MODULES: Dict[str, Tuple[str, ...]] = {
    "manager": (
        *_COMMON,
        "certificates.py",
        "formation.py",
        "join_server.py",
        "manager.py",
        "proxy.py",
        "settings.py",
    ),
    "worker": (*_COMMON, "worker.py"),
}
