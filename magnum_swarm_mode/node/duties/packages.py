# SPDX-License-Identifier: Apache-2.0
"""Installs what the image lacks, and the engine in the version that is asked for."""

import shutil
from pathlib import Path
from typing import Callable, List

from ..base import system, wait
from ..base.codes import Code
from ..base.config import Config
from ..base.paths import Paths
from . import distribution

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INTERVAL = 10  # seconds between two tries


def _lacks(command: str) -> bool:
    return not shutil.which(command, path=_PATH)


def missing(config: Config) -> List[str]:
    """Return the packages whose commands are not on this node; the engine is called "engine".

    An engine of another version than the one that is asked for is missing too.
    """
    wanted = ["iptables", "mkfs.ext4"]
    if config.is_manager:
        wanted += ["haproxy", "openssl"]
    # Without it, an engine on a kernel with AppArmor starts no container.
    if "Y" in system.read(Path("/sys/module/apparmor/parameters/enabled")):
        wanted.append("apparmor_parser")
    names = [distribution.PACKAGES[command] for command in wanted if _lacks(command)]
    if _lacks("dockerd"):
        return [distribution.ENGINE, *names]
    told = config.engine_version and system.run("dockerd", "--version")
    if told and not distribution.matches(told.partition("version ")[2], config.engine_version):
        return [distribution.ENGINE, *names]
    return names


def ensure(config: Config, paths: Paths, say: Callable[[str], None]) -> str:
    """Install what is missing and return its names.

    :param say: takes the reason why it takes longer
    :raises NodeError: no package manager here, or it fails
    """
    distribution.let_start(paths)
    names = missing(config)
    if not names:
        return ""
    packages = distribution.Apt(config, paths)
    with distribution.nothing_starts(paths):
        return wait.until(
            "installation of packages",
            lambda: packages.install(names),
            config.join_timeout,
            _INTERVAL,
            say,
            code=Code.PACKAGES_UNAVAILABLE,
        )
