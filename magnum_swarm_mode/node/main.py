# SPDX-License-Identifier: Apache-2.0
"""The program: python3 node.pyz install | prepare | run | serve | renew."""

import sys
import time
import traceback
from typing import Callable, Dict, List, Optional

from . import (
    clock,
    config,
    engine,
    firewall,
    identity,
    networks,
    packages,
    signalling,
    system,
    units,
    volume,
    wait,
)
from .config import Config
from .docker import Docker, Info
from .errors import NodeError, redact
from .identity import Identity
from .paths import Paths
from .report import Report

CLOCK_TIMEOUT = 60.0  # seconds for time synchronization to do its work after a boot
ADDRESS_TIMEOUT = 60.0  # seconds for the network interfaces to have their addresses


class Node:
    """What every verb starts from."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.report = Report(paths)
        self.config: Optional[Config] = None
        self.identity: Optional[Identity] = None

    def load(self) -> "Known":
        """Read who and what this node is.

        :raises NodeError: it cannot be known
        """
        self.report.begin("configuration")
        self.identity = identity.recall(self.paths)
        self.report.name = self.identity.name
        self.config = config.load(self.paths.config)
        return Known(self.config, self.identity, self.paths, self.report)

    def fail(self, cause: str) -> None:
        """Say everywhere, Heat included, why this node does not work."""
        self.report.say(f"FAILED: {cause}")
        if not (self.config and self.identity):
            return
        reason = (
            f"{self.identity.name}: {self.report.step}: {cause} "
            f"(log on that server: {self.paths.log})"
        )
        try:
            signalling.send(self.config, self.identity, self.paths, "FAILURE", reason)
        except NodeError as error:
            self.report.say(f"Heat was not told: {error}")


class Known:
    """A node that knows its configuration and identity."""

    def __init__(self, config: Config, identity: Identity, paths: Paths, report: Report) -> None:
        self.config = config
        self.identity = identity
        self.paths = paths
        self.report = report
        self.docker = Docker(socket_path=str(paths.docker_socket))

    @property
    def is_manager(self) -> bool:
        """Whether this node's role is manager."""
        return self.config.role == "manager"

    def index(self) -> int:
        """Return which manager this is, once the interfaces have their addresses."""
        return wait.until(
            "own address", lambda: identity.own_index(self.config.managers), ADDRESS_TIMEOUT
        )


def install(node: Known) -> None:
    """Write the units and start them; cloud-init calls this once, and it returns at once."""
    node.report.begin("installation")
    identity.learn(node.paths)
    more: Dict[str, str] = {}
    if node.is_manager:
        from . import proxy

        more[proxy.UNIT] = proxy.unit(node.paths)
    units.install(node.config.role, node.paths, more)
    # The image may have started its engine: without the volume, and with its own settings.
    if system.run("systemctl", "is-active", units.PREPARE, accept=range(256)).strip() != "active":
        system.run("systemctl", "stop", "docker.socket", "docker.service", accept=range(256))
    system.run("systemctl", "start", "--no-block", units.NODE)
    node.report.say("units are installed and started")


def prepare(node: Known) -> None:
    """Everything that must be so before the engine starts; at every boot."""
    report = node.report
    report.begin("packages")
    names = packages.ensure(node.config)
    if names:
        report.say(f"installed {', '.join(names)}")
    report.begin("docker volume")
    report.say(volume.ensure(node.identity.docker_volume, node.paths))
    report.begin("engine configuration")
    report.say("changed" if engine.configure(node.config, node.paths) else "unchanged")
    report.begin("firewall")
    firewall.close_metadata()


def run(node: Known) -> None:
    """Start the engine and, on the first boot, find a place in the swarm and tell Heat."""
    report, settings, deadline = node.report, node.config, time.monotonic()
    deadline += settings.join_timeout
    first = signalling.last(node.paths) != "SUCCESS"
    if first:
        report.begin("clock")
        wait.until(
            "time synchronization",
            lambda: clock.check(settings.signal["auth_url"]),
            CLOCK_TIMEOUT,
            interval=5,
        )
    report.begin("engine")
    version = engine.start(node.docker)
    report.say(f"Docker Engine {version}")
    if first:
        report.begin("networks")
        if node.docker.info().state == "inactive":
            networks.ensure_gateway(node.docker, settings.mtu)
    if node.is_manager:
        info = _run_manager(node, first, deadline)
    else:
        info = _run_worker(node, first, deadline)
    report.say(f"{info.state} in the swarm as node {info.node_id}")
    if first:
        report.begin("signal")
        reason = f"{node.identity.name} is in the swarm as {settings.role}"
        data = f"node {info.node_id}, engine {version}"
        signalling.send(settings, node.identity, node.paths, "SUCCESS", reason, data)
        report.say("done, and Heat knows")


def _run_worker(node: Known, first: bool, deadline: float) -> Info:
    from . import worker

    node.report.begin("swarm")
    if not first:
        return node.docker.info()
    address = wait.until("own address", lambda: identity.own_address(node.config), ADDRESS_TIMEOUT)
    return worker.join(
        node.config, address, node.docker, node.report.say, deadline - time.monotonic()
    )


def _run_manager(node: Known, first: bool, deadline: float) -> Info:
    from . import manager, proxy

    report = node.report
    index = node.index()
    report.begin("certificate")
    try:
        timeout = min(manager.CERTIFICATE_TIMEOUT, deadline - time.monotonic()) if first else 0
        renewed = manager.ensure_certificate(node.config, index, node.paths, timeout)
        if renewed:
            report.say("issued")
    except NodeError as error:
        # The swarm comes back without Magnum; the timer goes on trying.
        if first:
            raise
        renewed = False
        report.say(f"not renewed: {error}")
    report.begin("api")
    proxy.ensure(node.config, node.paths, renewed)
    report.begin("swarm")
    if not first:
        return node.docker.info()
    info = manager.join(
        node.config,
        node.identity,
        index,
        node.paths,
        node.docker,
        report.say,
        deadline - time.monotonic(),
    )
    system.run("systemctl", "start", "--no-block", units.JOIN, units.RENEW_TIMER)
    return info


def serve(node: Known) -> None:
    """Serve worker tokens (managers)."""
    from . import join_server

    node.report.begin("join server")
    join_server.serve(
        node.config, node.paths, node.docker, lambda text: print(redact(text), flush=True)
    )


def renew(node: Known) -> None:
    """Renew the certificate when it is time (managers; called by the timer)."""
    from . import manager

    node.report.begin("certificate renewal")
    if manager.renew(node.config, node.index(), node.paths):
        node.report.say("the certificate was renewed")


VERBS: Dict[str, Callable[[Known], None]] = {
    "install": install,
    "prepare": prepare,
    "run": run,
    "serve": serve,
    "renew": renew,
}
_SIGNALLING = ("install", "prepare", "run")


def main(arguments: Optional[List[str]] = None, paths: Optional[Paths] = None) -> int:
    """Run one verb; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1 or words[0] not in VERBS:
        print(f"usage: node.pyz {'|'.join(VERBS)}", file=sys.stderr)
        return 2
    node = Node(paths or Paths())
    try:
        VERBS[words[0]](node.load())
    except NodeError as error:
        cause = str(error)
    except Exception as error:
        node.report.say(traceback.format_exc())
        cause = f"unexpected {type(error).__name__}: {error}"
    else:
        return 0
    if words[0] in _SIGNALLING:
        node.fail(cause)
    else:
        node.report.say(f"FAILED: {cause}")
    return 1
