# SPDX-License-Identifier: Apache-2.0
"""The Docker Engine: its configuration before it starts, and its start."""

import ipaddress
import json
import re
import socket
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple
from urllib.parse import urlsplit

from . import system, wait
from .config import Config
from .docker import Docker
from .errors import NodeError, Temporary
from .paths import Paths

Networks = Iterable[ipaddress.IPv4Network]
START_TIMEOUT = 100  # seconds
# Keys that an image's own daemon.json must not bring along: the engine listens on its unix socket
# only (TLS ends in the proxy), and live-restore does not go with Swarm.
_FORBIDDEN = re.compile("hosts|tls.*|live-restore")
_OVERLAY_OPTIONS_SINCE = (24,)


def version_of(text: str) -> Tuple[int, ...]:
    """Return the numbers in "Docker version 20.10.24+dfsg1, build 297e128"."""
    found = re.search(r"version (\d+(?:\.\d+)*)", text)
    if not found:
        raise NodeError(f"dockerd tells no version: {text[:80]}")
    return tuple(int(part) for part in found.group(1).split("."))


def free_pool(taken: Networks) -> ipaddress.IPv4Network:
    """Return the first /16 of the private ranges, those of Docker's habit first, that is free.

    :raises NodeError: when every one overlaps something
    """
    busy = list(taken)
    names = [f"172.{n}" for n in range(17, 32)] + ["192.168"] + [f"10.{n}" for n in range(256)]
    for name in names:
        pool = ipaddress.IPv4Network(f"{name}.0.0/16")
        if not any(pool.overlaps(other) for other in busy):
            return pool
    raise NodeError("no private address range is left for the engine's bridges")


def daemon_json(
    config: Config, version: Tuple[int, ...], taken: Networks, existing: Mapping[str, Any]
) -> Dict[str, Any]:
    """Return the engine's configuration.

    :param version: of the engine; before 24 it refuses to start with default-network-opts
    :param taken: networks that its bridges must not overlap
    :param existing: what is there already: settings of the image, and the pool chosen at first
    """
    kept = {k: v for k, v in existing.items() if not _FORBIDDEN.fullmatch(k)}
    kept.pop("default-network-opts", None)
    if "bip" not in kept or "default-address-pools" not in kept:
        pool = free_pool(taken)
        kept["bip"] = f"{pool.network_address + 1}/24"
        kept["default-address-pools"] = [{"base": str(pool), "size": 24}]
    kept.update(
        {
            "mtu": config.mtu,
            "storage-driver": config.storage_driver,
            "log-driver": "json-file",
            "log-opts": {"max-size": "10m", "max-file": "3"},
            "insecure-registries": list(config.insecure_registries),
        }
    )
    if version >= _OVERLAY_OPTIONS_SINCE:
        option = {"com.docker.network.driver.mtu": str(config.mtu)}
        kept["default-network-opts"] = {"bridge": option, "overlay": option}
    return kept


def proxy_unit(config: Config, own_networks: Networks) -> str:
    """Return the systemd drop-in with the engine's proxies; empty without any.

    The swarm's own connections obey these variables too, so that the nodes' networks are excepted.
    """
    if not (config.http_proxy or config.https_proxy):
        return ""
    direct = [config.no_proxy, "localhost", "127.0.0.1"]
    direct += [str(network) for network in own_networks]
    direct += [manager.address for manager in config.managers.values()]
    values = {
        "HTTP_PROXY": config.http_proxy,
        "HTTPS_PROXY": config.https_proxy,
        "NO_PROXY": ",".join(filter(None, direct)),
    }
    lines = ["[Service]"]
    for name, value in values.items():
        if value:
            quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
            lines.append(f'Environment="{name}={quoted}"')
    return "\n".join(lines) + "\n"


def routes(text: str) -> List[ipaddress.IPv4Network]:
    """Return the networks in the output of "ip -4 route" that are not Docker's own."""
    found = []
    for line in text.splitlines():
        if re.search(r" dev (docker|br-|veth)", line):
            continue
        try:
            found.append(ipaddress.IPv4Network(line.split()[0]))
        except (ValueError, IndexError):
            continue
    return found


def _hosts(config: Config) -> Set[str]:
    """Return the hosts that this node talks to."""
    urls = [
        config.auth_url,
        config.magnum_url,
        config.signal["auth_url"],
        config.signal["alarm_url"],
        config.http_proxy,
        config.https_proxy,
    ]
    hosts = {urlsplit(url).hostname or "" for url in urls}
    for manager in config.managers.values():
        hosts |= {manager.address, manager.floating_address}
    return hosts - {""}


def taken_networks(config: Config, paths: Paths) -> List[ipaddress.IPv4Network]:
    """Return everything that the engine's bridges must not overlap."""
    found = routes(system.run("ip", "-4", "route"))
    if config.address_pool:
        found.append(ipaddress.IPv4Network(config.address_pool, strict=False))
    resolvers = system.read(paths.root / "etc/resolv.conf")
    for host in [*re.findall(r"^nameserver\s+(\S+)", resolvers, re.M), *_hosts(config)]:
        try:
            for entry in socket.getaddrinfo(host, None, socket.AF_INET):
                found.append(ipaddress.IPv4Network(entry[4][0]))
        except OSError:
            continue  # no IPv4 address, or no name server: nothing that could overlap
    return found


def configure(config: Config, paths: Paths) -> bool:
    """Write the engine's configuration; return whether it changed.

    :raises NodeError: no engine, or a daemon.json in the image that does not parse
    """
    version = version_of(system.run("dockerd", "--version"))
    try:
        existing = json.loads(system.read(paths.daemon) or "{}")
    except ValueError as error:
        raise NodeError(f"{paths.daemon} of the image is no JSON: {error}") from error
    chosen = "default-address-pools" in existing
    taken = [] if chosen else taken_networks(config, paths)
    text = json.dumps(daemon_json(config, version, taken, existing), indent=1, sort_keys=True)
    changed = system.write(paths.daemon, text + "\n")
    drop_in = paths.units / "docker.service.d/20-magnum-swarm-mode-proxy.conf"
    own = routes(system.run("ip", "-4", "route"))
    unit = proxy_unit(config, own)
    if unit:
        return system.write(drop_in, unit, 0o600) or changed
    if drop_in.exists():
        drop_in.unlink()
        return True
    return changed


def start(docker: Docker) -> str:
    """Start the engine and return its version.

    :raises NodeError: when it does not answer in time, with its own last words
    """

    def attempt() -> str:
        try:
            system.run("systemctl", "start", "docker.service")
        except NodeError as error:
            words = system.run(
                "journalctl", "-u", "docker.service", "-n", "3", "-o", "cat", accept=range(256)
            )
            raise Temporary(f"{error} {words}") from error
        return docker.engine_version()

    return wait.until("start of the Docker Engine", attempt, START_TIMEOUT)
