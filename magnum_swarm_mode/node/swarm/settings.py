# SPDX-License-Identifier: Apache-2.0
"""What the conductor tells managers after their first boot, and how they take it over.

Swarm configs named magnum-swarm-mode.settings.<generation> hold parts of the configuration; the
newest counts of those with the cluster's label. A label of the manager's own node says which one
it has taken over.
"""

import base64
import json
import re
import time
from typing import Any, Callable, Dict, Tuple
from urllib.parse import quote

from ..base import config, system
from ..base.docker import understood
from ..base.errors import NodeError
from ..base.node import Node
from . import manager

LABEL = "magnum-swarm-mode.settings"
INTERVAL = 5  # seconds between two looks
RETRY = 15  # seconds after which what could not be taken over is tried again


_GENERATION = re.compile("[0-9]{1,18}")


def newest(node: Node) -> Tuple[int, Dict[str, Any]]:
    """Return generation and contents of the newest settings; 0 and {} when there are none.

    :raises NodeError: the engine or the swarm does not say, or says what means nothing
    """
    # A swarm that was brought back from a backup may hold those of another cluster.
    label = "magnum-swarm-mode.cluster=" + node.config.cluster_uuid
    filters = quote(json.dumps({"name": [LABEL + "."], "label": [label]}))
    found = [(0, "e30=")]
    with understood("what the swarm's configs say to managers"):
        for entry in node.docker.call("GET", f"/configs?filters={filters}"):
            number = _GENERATION.fullmatch(entry["Spec"]["Name"].rpartition(".")[2])
            if number:
                found.append((int(number[0]), entry["Spec"]["Data"]))
        generation, data = max(found)
        return generation, dict(system.parsed(base64.b64decode(data).decode()))


def merged(text: str, told: Dict[str, Any]) -> str:
    """Return a configuration with settings: of sections single values, all else as a whole.

    :param text: JSON of the configuration
    """
    known = json.loads(text)
    for name, value in told.items():
        old = known.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        known[name] = {**old, **value} if both else value
    return json.dumps(known)


def apply(node: Node) -> int:
    """Take the newest settings over, say so in the swarm, and return their generation.

    :raises NodeError: it does not work now
    """
    generation, told = newest(node)
    text = merged(system.read(node.paths.config), told)
    # Nothing that this program cannot read may get onto the disk.
    config.parse(text)
    if told:
        system.write(node.paths.config, text, 0o600)
        node.load()
    manager.renew(node)
    path = "/nodes/" + node.docker.info().node_id
    number = str(generation)
    with understood("what the swarm says of this node"):
        entry = node.docker.call("GET", path)
        spec, version = entry["Spec"], entry["Version"]["Index"]
        labels = spec.get("Labels") or {}
        is_known = labels.get(LABEL) == number
        spec["Labels"] = {**labels, LABEL: number}
    if not is_known:
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
        except NodeError:
            continue  # an engine that is away, or no leader
    news()
