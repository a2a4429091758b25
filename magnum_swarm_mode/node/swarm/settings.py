# SPDX-License-Identifier: Apache-2.0
"""What the conductor tells managers after their first boot, and how they take it over.

Swarm configs named magnum-swarm-mode.settings.<generation> hold parts of the configuration; the
newest counts of those with the cluster's label. A label of the manager's own node says which one
it has taken over.
"""

import base64
import json
import time
from typing import Any, Callable, Tuple
from urllib.parse import quote

from ..base import config, system
from ..base.errors import NodeError
from ..base.node import Node
from . import manager

LABEL = "magnum-swarm-mode.settings"
INTERVAL = 5  # seconds between two looks
RETRY = 15  # seconds after which what could not be taken over is tried again


def newest(node: Node) -> Tuple[int, Any]:
    """Return generation and contents of the newest settings; 0 and {} when there are none.

    :raises NodeError: the engine or the swarm does not say
    """
    # A swarm that was brought back from a backup may hold those of another cluster.
    label = "magnum-swarm-mode.cluster=" + node.config.cluster_uuid
    filters = quote(json.dumps({"name": [LABEL + "."], "label": [label]}))
    found = [(0, "e30=")]
    for entry in node.docker.call("GET", f"/configs?filters={filters}"):
        number = entry["Spec"]["Name"].rpartition(".")[2]
        if number.isdigit():
            found.append((int(number), entry["Spec"]["Data"]))
    generation, data = max(found)
    return generation, json.loads(base64.b64decode(data))


def apply(node: Node) -> int:
    """Take the newest settings over, say so in the swarm, and return their generation.

    :raises NodeError: it does not work now
    """
    generation, told = newest(node)
    merged = json.loads(system.read(node.paths.config))
    for name, value in told.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    text = json.dumps(merged)
    # Nothing that this program cannot read may get onto the disk.
    config.parse(text)
    if told:
        system.write(node.paths.config, text, 0o600)
        node.load()
    manager.renew(node)
    path = "/nodes/" + node.docker.info().node_id
    entry = node.docker.call("GET", path)
    spec, number = entry["Spec"], str(generation)
    labels = spec.get("Labels") or {}
    if labels.get(LABEL) != number:
        version = entry["Version"]["Index"]
        spec["Labels"] = {**labels, LABEL: number}
        node.docker.call("POST", f"{path}/update?version={version}", spec)
        node.say(f"settings {number} are taken over")
    return generation


def watch(node: Node, applied: int, news: Callable[[], None]) -> None:
    """Call news when there are other settings than those that are applied.

    :param applied: their generation; -1 when they could not be applied
    """
    seen = applied
    while seen == applied:
        time.sleep(RETRY if applied < 0 else INTERVAL)
        try:
            seen = newest(node)[0]
        except (NodeError, ValueError):
            continue  # an engine that is away, or no leader
    news()
