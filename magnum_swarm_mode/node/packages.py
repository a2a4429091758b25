# SPDX-License-Identifier: Apache-2.0
"""Installs what the image lacks."""

import shutil
from pathlib import Path
from typing import Dict, List

from . import system
from .config import Config
from .errors import NodeError

_MANAGER = {"haproxy": "haproxy", "openssl": "openssl"}
_ALL = {"dockerd": "docker.io", "iptables": "iptables", "mkfs.ext4": "e2fsprogs"}
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(role: str) -> List[str]:
    """Return the packages whose commands are not on this node, in alphabetical order."""
    wanted = {**_ALL, **(_MANAGER if role == "manager" else {})}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return sorted(name for command, name in wanted.items() if not shutil.which(command, path=path))


def ensure(config: Config) -> List[str]:
    """Install what is missing and return its names.

    :raises NodeError: no apt here, or apt fails
    """
    names = missing(config.role)
    if not names:
        return names
    if not shutil.which("apt-get"):
        raise NodeError(f"the image lacks {', '.join(names)}, and there is no apt to install it")
    env: Dict[str, str] = {"DEBIAN_FRONTEND": "noninteractive"}
    if config.http_proxy:
        env["http_proxy"] = config.http_proxy
    if config.https_proxy:
        env["https_proxy"] = config.https_proxy
    apt = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
    # The engine must not start before its volume is mounted and it is configured.
    guard = not _POLICY.exists()
    if guard:
        system.write(_POLICY, "#!/bin/sh\nexit 101\n", 0o755)
    try:
        system.run(*apt, "update", timeout=600, env=env)
        system.run(*apt, "--no-install-recommends", "install", *names, timeout=1200, env=env)
    finally:
        if guard:
            _POLICY.unlink()
    return names
