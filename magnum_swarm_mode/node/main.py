# SPDX-License-Identifier: Apache-2.0
"""The program's verbs: install, prepare, run, serve and renew.

Modules that only one role has are imported where they are used, because the other role's nodes
do not have them.
"""

import sys
import time
import traceback
from typing import Callable, Dict, List, Optional

from .base import openstack, system, wait
from .base.codes import Code
from .base.docker import Info
from .base.errors import NodeError
from .base.node import Node
from .base.paths import Paths
from .duties import engine, firewall, networks, packages, units, volume

CLOCK_TIMEOUT = 60  # seconds for time synchronization to do its work after a boot


def install(node: Node) -> None:
    """Write the units and start them; cloud-init calls this once, and it returns at once."""
    node.load(fresh=True)
    node.begin("installation")
    files = units.for_role(node.config.is_manager)
    if node.config.is_manager:
        from .duties import proxy

        files[units.PROXY] = proxy.unit(node.paths)
        # Its interval follows the certificate once there is one.
        files[units.TIMER] = system.read(node.paths.units / units.TIMER) or units.timer(3600)
    units.install(files, node.paths)
    # The image may have started its engine: without the volume, and with its own settings.
    if "inactive" in system.run("systemctl", "is-active", units.PREPARE, check=False):
        system.run("systemctl", "stop", "docker.socket", "docker.service", check=False)
    system.run("systemctl", "start", "--no-block", units.NODE)
    node.say("units are installed and started")


def prepare(node: Node) -> None:
    """Do everything that must be so before the engine starts; at every boot."""
    node.load()
    node.begin("packages")
    done = packages.ensure(node.config, node.paths, node.say)
    node.say("installed: " + (done or "nothing was missing"))
    node.begin("docker volume")
    node.say(volume.ensure(node.docker_volume, node.paths))
    node.begin("engine configuration")
    node.say("changed" if engine.configure(node.config, node.paths) else "unchanged")
    node.begin("firewall")
    firewall.close_metadata()


def run(node: Node) -> None:
    """Start the engine and, on the first boot, find a place in the swarm and tell Heat."""
    node.load()
    config = node.config
    deadline = time.monotonic() + config.join_timeout
    if not node.is_known:
        node.begin("clock")
        url = config.signal["auth_url"]
        wait.until("right time", lambda: openstack.check_clock(config, url), CLOCK_TIMEOUT, 5)
    node.begin("engine")
    version = engine.start(node.docker)
    node.say(f"Docker Engine {version}")
    if node.docker.info().state == "inactive":
        networks.ensure_gateway(node.docker, config.engine_mtu)
    info = _join(node, deadline)
    node.say(f"{info.state} in the swarm as node {info.node_id}")
    node.begin("signal")
    reason = f"{node.name} is in the swarm as {config.role}"
    node.signal("SUCCESS", reason, f"node {info.node_id}, engine {version}")


def _join(node: Node, deadline: float) -> Info:
    """Find a place in the swarm, as the node's role does it."""
    if node.config.is_manager:
        from .swarm import manager

        return manager.run(node, deadline)
    from .swarm import worker

    return worker.run(node, deadline)


def serve(node: Node) -> None:
    """Serve worker tokens and the certificates of other managers (managers)."""
    node.load()
    node.begin("join server")
    from .swarm import serving

    serving.serve(node)


def renew(node: Node) -> None:
    """Renew the certificate when it is time (managers; called by the timer)."""
    node.load()
    node.begin("certificate renewal")
    from .swarm import manager

    before = system.read(node.paths.certificate)
    try:
        manager.renew(node)
    finally:
        # What serves other nodes signs with the key.
        if system.read(node.paths.certificate) != before:
            system.run("systemctl", "try-restart", units.JOIN)


VERBS: Dict[str, Callable[[Node], None]] = {
    "install": install,
    "prepare": prepare,
    "run": run,
    "serve": serve,
    "renew": renew,
}


def main(arguments: Optional[List[str]] = None, paths: Optional[Paths] = None) -> int:
    """Run one verb; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1 or words[0] not in VERBS:
        print("usage: magnum-swarm-mode", "|".join(VERBS), file=sys.stderr)
        return 2
    node = Node(paths or Paths())
    try:
        VERBS[words[0]](node)
        return 0
    except NodeError as error:
        failure = error
    except Exception as error:
        node.say(traceback.format_exc())
        text = f"unexpected {type(error).__name__}: {error}"
        failure = NodeError(text, code=Code.UNEXPECTED)
    node.fail(str(failure), words[0] not in ("serve", "renew"), failure.code)
    return 1
