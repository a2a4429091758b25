# SPDX-License-Identifier: Apache-2.0
"""The Docker Engine: its configuration before it starts, and its start."""

import ipaddress
import json
import re
import socket
from typing import Any, Dict, List, Mapping, Sequence

from ..base import system, wait
from ..base.codes import Code
from ..base.config import Config
from ..base.docker import Docker
from ..base.errors import NodeError, Temporary
from ..base.paths import Paths

START_TIMEOUT = 60  # seconds for which an engine that does not start is started again
SLOW_START = 120  # seconds that one start may take
# Keys that an image's own daemon.json must not bring along: the engine listens on its unix socket
# only (TLS ends in the proxy), and live-restore does not go with Swarm.
_FORBIDDEN = re.compile("hosts|tls.*|live-restore|default-network-opts")
# Before this version the engine refuses to start with default-network-opts.
_NETWORK_OPTIONS_SINCE = 24
_NETWORK = re.compile(r"(?<![\d.])\d+(?:\.\d+){3}(?:/\d+)?(?![\d.])")


def networks_in(text: str) -> List[ipaddress.IPv4Network]:
    """Return every IPv4 address and network that a text holds, but no route to everywhere."""
    found = []
    for word in _NETWORK.findall(text):
        try:
            network = ipaddress.IPv4Network(word, strict=False)
        except ValueError:
            continue
        if network.prefixlen >= 8:
            found.append(network)
    return found


def free_pool(taken: Sequence[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return the first /16 of the private ranges, those of Docker's habit first, that is free.

    :raises NodeError: when every one overlaps something
    """
    names = [f"172.{n}" for n in range(17, 32)] + ["192.168"] + [f"10.{n}" for n in range(256)]
    for name in names:
        pool = ipaddress.IPv4Network(f"{name}.0.0/16")
        if not any(map(pool.overlaps, taken)):
            return pool
    raise NodeError("no private address range is left for the engine's bridges")


def daemon_json(
    config: Config,
    version: int,
    taken: Sequence[ipaddress.IPv4Network],
    existing: Mapping[str, Any],
) -> Dict[str, Any]:
    """Return the engine's configuration.

    :param version: the first number of the engine's version
    :param taken: networks that its bridges must not overlap
    :param existing: what is there already: settings of the image, and the pool chosen at first
    """
    settings = {key: value for key, value in existing.items() if not _FORBIDDEN.fullmatch(key)}
    if "default-address-pools" not in settings:
        pool = free_pool(taken)
        settings["bip"] = f"{pool[1]}/24"
        settings["default-address-pools"] = [{"base": str(pool), "size": 24}]
    settings.update({"mtu": config.engine_mtu, **config.engine_daemon})
    if version >= _NETWORK_OPTIONS_SINCE:
        option = {"com.docker.network.driver.mtu": str(config.engine_mtu)}
        settings["default-network-opts"] = {"bridge": option, "overlay": option}
    return settings


def proxy_unit(config: Config, routes: str) -> str:
    """Return the systemd drop-in with the engine's proxies.

    The swarm's own connections obey these variables too, so that the nodes' networks are excepted.

    :param routes: what "ip route" says
    """
    direct = [config.engine_no_proxy, "localhost", "127.0.0.1", *map(str, networks_in(routes))]
    direct += [manager["address"] for manager in config.managers.values()]
    lines = ["[Service]"]
    for name, value in (
        ("HTTP_PROXY", config.engine_http_proxy),
        ("HTTPS_PROXY", config.engine_https_proxy),
        ("NO_PROXY", ",".join(filter(None, direct))),
    ):
        # JSON quotes as systemd does; a percent sign begins a specifier there.
        lines.append("Environment=" + json.dumps(f"{name}={value}").replace("%", "%%"))
    return "\n".join(lines) + "\n"


def _taken(paths: Paths, routes: str) -> List[ipaddress.IPv4Network]:
    """Return whatever this node has to do with: its routes, name servers, and all it was told."""
    told = system.read(paths.config)
    found = networks_in(routes + system.read(paths.root / "etc/resolv.conf") + told)
    for host in set(re.findall(r"https?://([^/:\"\\]+)", told)):
        try:
            addresses = socket.getaddrinfo(host, None, socket.AF_INET)
        except OSError:
            continue  # no IPv4 address, or no name server: nothing that could overlap
        found += networks_in(" ".join(str(entry[4][0]) for entry in addresses))
    return found


def configure(config: Config, paths: Paths) -> bool:
    """Write the engine's configuration; return whether it changed.

    :raises NodeError: no engine, or a daemon.json in the image that does not parse
    """
    told = system.run("dockerd", "--version")
    version = re.search(r"version (\d+)", told)
    if not version:
        raise NodeError(f"dockerd tells no version: {told}")
    try:
        existing = json.loads(system.read(paths.daemon) or "{}")
    except ValueError as error:
        raise NodeError(f"{paths.daemon} of the image is no JSON: {error}") from error
    routes = re.sub(r".* dev (docker|br-|veth).*", "", system.run("ip", "-4", "route"))
    taken = [] if "default-address-pools" in existing else _taken(paths, routes)
    text = json.dumps(daemon_json(config, int(version[1]), taken, existing), indent=1)
    changed = system.write(paths.daemon, text)
    drop_in = paths.units / "docker.service.d/20-magnum-swarm-mode-proxy.conf"
    if config.engine_http_proxy or config.engine_https_proxy:
        other = system.write(drop_in, proxy_unit(config, routes), 0o600)
    else:
        other = drop_in.exists()
        drop_in.unlink(missing_ok=True)
    if other:
        system.run("systemctl", "daemon-reload")
    return changed or other


def start(docker: Docker) -> str:
    """Start the engine and return its version.

    :raises NodeError: when it does not answer in time, with its own last words
    """

    def attempt() -> str:
        try:
            system.run("systemctl", "start", "docker.service", timeout=SLOW_START)
        except NodeError as error:
            # Not those of systemd, which knows no reason.
            log = ("journalctl", "-u", "docker.service", "-t", "dockerd", "-n", "1", "-o", "cat")
            raise Temporary(system.run(*log, check=False) or str(error)) from error
        return docker.engine_version()

    what = "start of the Docker Engine"
    return wait.until(what, attempt, START_TIMEOUT, code=Code.ENGINE_FAILED)
