# SPDX-License-Identifier: Apache-2.0
"""What is particular to the distributions that nodes run: Debian and Ubuntu.

Another distribution needs its names, package manager and paths here; no other module of the node
program knows any of them.
"""

import contextlib
import re
from pathlib import Path
from typing import Iterator, List

from ..base import openstack, system
from ..base.codes import Code
from ..base.config import Config
from ..base.errors import NodeError, Temporary
from ..base.paths import Paths

# The package that brings a command.
PACKAGES = {
    "iptables": "iptables",
    "mkfs.ext4": "e2fsprogs",
    "haproxy": "haproxy",
    "openssl": "openssl",
    "apparmor_parser": "apparmor",
}
ENGINE = "engine"  # stands for the packages of the engine, whose names Apt.engine() knows
HAPROXY = "/usr/sbin/haproxy"
HAPROXY_USER = "haproxy"

# What may pass by itself: the network, a mirror that is being updated, somebody else's lock.
_PASSING = re.compile(
    " (408|429|50[0234]) |onnect|resolv|timed out|Hash Sum mismatch|unexpected size|"
    "not valid yet|not get lock|locked by"
)
_HELPER = "/usr/lib/apt/apt-helper"
_POLICY = "#!/bin/sh\n# magnum-swarm-mode installs packages\nexit 101\n"


def matches(version: str, prefix: str) -> bool:
    """Say whether a version, an epoch aside, begins with all numbers of a prefix."""
    return bool(re.match(r"(\d+:)?" + re.escape(prefix) + r"(?!\d)", version))


def choose(offered: str, package: str, prefix: str) -> str:
    """Return apt's name of the newest version of a package that begins with a prefix.

    :param offered: what "apt-cache madison" says, the newest version first
    :raises NodeError: there is none, with those that there are
    """
    versions = [line.split("|")[1].strip() for line in offered.splitlines() if "|" in line]
    for version in versions:
        if matches(version, prefix):
            return f"{package}={version}"
    known = ", ".join(dict.fromkeys(versions)) or "no version at all"
    text = f"no version {prefix} of {package}: the package sources offer {known}"
    raise NodeError(text, code=Code.VERSION_UNAVAILABLE)


def _exceptions(config: Config, root: Path) -> str:
    """Return no_proxy for apt, which knows only names: with the hosts of sources it stands for."""
    etc = root / "etc/apt"
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    told = [config.engine_repository, config.engine_repository_key, *map(system.read, files)]
    hosts = re.findall(r"https?://(?:[^@/\s]+@)?(\[[^]\s]+\]|[^/:\s]+)", " ".join(told).lower())
    direct = [host for host in hosts if openstack.is_excepted(config, host.strip("[]"))]
    return ",".join(filter(None, [config.engine_no_proxy, *dict.fromkeys(direct)]))


class Apt:
    """Debian's package manager, with the cluster's proxies."""

    def __init__(self, config: Config, paths: Paths) -> None:
        self._config = config
        self._root = paths.root
        self._environment = (
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "NEEDRESTART_SUSPEND=1",
            f"http_proxy={config.engine_http_proxy}",
            f"https_proxy={config.engine_https_proxy}",
            f"no_proxy={_exceptions(config, paths.root)}",
        )

    def run(self, *command: str, timeout: float = 120) -> str:
        """Run one of apt's commands and return its output.

        :param timeout: seconds
        :raises Temporary: it failed for a reason that may pass by itself
        :raises NodeError: it failed for another reason
        """
        try:
            return system.run(*self._environment, *command, timeout=timeout)
        except NodeError as error:
            text = str(error)
            # The command with its environment says nothing to anybody.
            causes = re.findall(r"^(?:.*: )?E: (.+)", text, re.MULTILINE)
            cause = " ".join(dict.fromkeys(causes)) or text[-300:]
            kind = Temporary if _PASSING.search(cause) else NodeError
            raise kind(f"{Path(command[0]).name}: {cause}") from error

    def get(self, *words: str, timeout: float) -> None:
        """Run apt-get; parameters and errors are those of run()."""
        options = (
            *("DPkg::Lock::Timeout=300", "Acquire::Retries=3", "Acquire::Languages=none"),
            *("APT::Update::Error-Mode=any", "Dpkg::Options::=--force-confold"),
        )
        flags = [part for option in options for part in ("-o", option)]
        self.run("apt-get", "-qy", *flags, *words, timeout=timeout)

    def add_repository(self) -> None:
        """Let apt know the repository of engines, if there is one to know.

        :raises NodeError: its key cannot be had, or the image does not say what system it is
        """
        url = self._config.engine_repository.rstrip("/")
        if not url:
            return
        release = system.read(self._root / "etc/os-release")
        suite = re.search(r"^VERSION_CODENAME=(\S+)", release, re.MULTILINE)
        if not suite:
            raise NodeError("/etc/os-release names no VERSION_CODENAME")
        key = self._root / "etc/apt/keyrings/magnum-swarm-mode.asc"
        key.parent.mkdir(parents=True, exist_ok=True)
        source = self._config.engine_repository_key or f"{url}/gpg"
        self.run(_HELPER, "download-file", source, str(key))
        key.chmod(0o644)
        line = f"deb [signed-by={key}] {url} {suite[1]} stable\n"
        system.write(self._root / "etc/apt/sources.list.d/magnum-swarm-mode.list", line)

    def engine(self) -> List[str]:
        """Return the packages of the engine, with their version where one is asked for.

        :raises NodeError: that version does not exist
        """
        prefix = self._config.engine_version
        if self._config.engine_repository:
            names = ["docker-ce", "docker-ce-cli", "containerd.io"]
        else:
            # Some releases have the command in a package of its own.
            names = ["docker.io"]
            names += ["docker-cli"] * bool(self.run("apt-cache", "madison", "docker-cli").strip())
        return [
            choose(self.run("apt-cache", "madison", name), name, prefix)
            if prefix and name.startswith("docker")
            else name
            for name in names
        ]

    def install(self, names: List[str]) -> str:
        """Install packages and return their names, with versions as far as they are asked for.

        :raises NodeError: see run() and engine()
        """
        # A node that was switched off meanwhile.
        self.run("dpkg", "--configure", "-a", timeout=600)
        if ENGINE in names:
            self.add_repository()
        self.get("update", timeout=600)
        engine = self.engine() if ENGINE in names else []
        others = [name for name in names if name != ENGINE]
        flags = ["--no-install-recommends", *["--allow-downgrades"] * bool(engine)]
        self.get("install", *flags, *engine, *others, timeout=1200)
        pinned = [name.partition("=")[0] for name in engine if "=" in name]
        if pinned:
            self.run("apt-mark", "hold", *pinned)
        if "haproxy" in others:
            # Nothing but the proxy of the API's own unit runs it.
            self.run("systemctl", "disable", "haproxy.service")
        return ", ".join([*engine, *others])


def _policy(paths: Paths) -> Path:
    return paths.root / "usr/sbin/policy-rc.d"


def let_start(paths: Paths) -> None:
    """Undo what nothing_starts() did, also on a node that was switched off meanwhile."""
    policy = _policy(paths)
    aside = policy.with_suffix(".aside")
    if aside.exists():
        aside.replace(policy)
    elif system.read(policy) == _POLICY:
        policy.unlink()


@contextlib.contextmanager
def nothing_starts(paths: Paths) -> Iterator[None]:
    """Keep packages from starting services: the engine has neither volume nor settings yet."""
    policy = _policy(paths)
    if policy.exists():
        policy.replace(policy.with_suffix(".aside"))
    try:
        system.write(policy, _POLICY, 0o755)
        yield
    finally:
        let_start(paths)
