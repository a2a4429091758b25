# SPDX-License-Identifier: Apache-2.0
"""Installs what the image lacks."""

import shutil
from pathlib import Path
from typing import List

from . import system
from .config import Config

_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(is_manager: bool) -> List[str]:
    """Return the packages whose commands are not on this node."""
    wanted = {"docker.io": "dockerd", "iptables": "iptables", "e2fsprogs": "mkfs.ext4"}
    if is_manager:
        wanted.update(haproxy="haproxy", openssl="openssl")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [name for name, command in wanted.items() if not shutil.which(command, path=path)]


def ensure(config: Config) -> str:
    """Install what is missing and return its names.

    :raises NodeError: no apt here, or apt fails
    """
    names = missing(config.is_manager)
    if names:
        apt = (
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            f"http_proxy={config.engine_http_proxy}",
            f"https_proxy={config.engine_https_proxy}",
            *("apt-get", "-qy", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"),
        )
        # The engine must not start before its volume is mounted and it is configured.
        guard = system.write(_POLICY, "#!/bin/sh\nexit 101\n", 0o755)
        try:
            system.run(*apt, "update", timeout=600)
            system.run(*apt, "install", *names, timeout=1200)
        finally:
            if guard:
                _POLICY.unlink()
    return ", ".join(names)
