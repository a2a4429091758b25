# SPDX-License-Identifier: Apache-2.0
"""What running managers are told after their first boot, and which of them have taken it over.

User-data is read once. What changes later (authorities to trust, a credential) stands in a Swarm
config, ``magnum-swarm-mode.settings.<generation>``: a part of the nodes' own configuration in the
same form (``magnum_swarm_mode/node/base/config.py``), which a manager puts over what it was told
before. Each manager looks at its own engine every few seconds, acts on the newest, and then says so
by a label of its node: the generation. So a manager that was away catches up, and one that joins
later takes over what all others have. Whoever may read configs of a swarm is root on its nodes
anyway.

A label of the config names the cluster: where a swarm was brought back from a backup of another
cluster's, that one's settings come with it and must not be taken over.

Everything here can be done twice: telling the same again makes no new generation.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from magnum_swarm_mode import exceptions, text
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.wire import nodes as swarm_nodes

# Of configs, followed by the generation.
PREFIX = "magnum-swarm-mode.settings."
# Of managers' nodes; its value is the generation that they have taken over, from "0".
LABEL = "magnum-swarm-mode.settings"
# Of configs: the uuid of the cluster that they are for.
CLUSTER = "magnum-swarm-mode.cluster"

_ATTEMPTS = 3
_MOST_REMOVED = 5


@dataclasses.dataclass(frozen=True)
class Settings:
    """What managers are told; ``generation`` 0 means nothing yet.

    :ivar told: sections of a node's configuration.
    """

    generation: int = 0
    told: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)


def credential(identifier: str, secret: str) -> dict[str, Any]:
    """Return what lets managers use another application credential."""
    return {
        "openstack": {
            "application_credential_id": identifier,
            "application_credential_secret": secret,
        }
    }


def merged(told: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes: sections are merged, all else is replaced."""
    result = dict(told)
    for name, value in changes.items():
        old = result.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[name] = {**old, **value} if both else value  # type: ignore[dict-item]
    return result


def newest(swarm: swarm_client.Swarm) -> Settings:
    """Return what managers are told now.

    :raises Unavailable: when no manager answers.
    :raises Inconsistent: when somebody wrote a config of that name that means nothing.
    """
    # Only the newest is read, however many there are.
    config = max(_own(swarm), key=_generation, default=None)
    generation = 0 if config is None else _generation(config)
    return Settings(generation, _told(config)) if config and generation else Settings()


def tell(swarm: swarm_client.Swarm, changes: Mapping[str, Any]) -> int:
    """Have managers take over changes of what they were told before.

    :param changes: as for :func:`merged`.
    :returns: the generation that says so; the present one when it does already.
    :raises Unavailable: when it cannot be written now.
    """
    for attempt in range(_ATTEMPTS):
        now = newest(swarm)
        told = merged(now.told, changes)
        if told == now.told:
            break
        data = json.dumps(told, sort_keys=True).encode()
        number = max(map(_generation, swarm.configs(PREFIX)), default=0) + 1
        try:
            swarm.create_config(f"{PREFIX}{number}", data, {CLUSTER: swarm.cluster})
        except exceptions.Unavailable:
            # The answer was lost, or somebody else was quicker.
            if attempt + 1 == _ATTEMPTS:
                raise
    return newest(swarm).generation


def waiting(nodes: Iterable[Mapping[str, Any]], generation: int) -> list[str]:
    """Return the host names of living managers that have not taken over a generation yet.

    A manager that is down is not waited for: it takes it over before long when it is back.

    :param nodes: as ``GET /nodes`` describes them.
    """
    return sorted(_name(node) for node in _living(nodes) if acknowledged(node) < generation)


def away(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the host names of managers that are not waited for, because they are down."""
    nodes = list(nodes)
    living = {swarm_nodes.node_id(node) for node in _living(nodes)}
    return sorted(
        _name(node)
        for node in nodes
        if node.get("ManagerStatus") and swarm_nodes.node_id(node) not in living
    )


def deaf(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the host names of living managers that know of no settings.

    An earlier release made them; they have to be replaced before they can be told anything.
    """
    return sorted(_name(node) for node in _living(nodes) if acknowledged(node) < 0)


def acknowledged(node: Mapping[str, Any]) -> int:
    """Return the generation that a manager has taken over; -1 when it knows of none."""
    found = text.number(swarm_nodes.labels(node).get(LABEL))
    return -1 if found is None else found


def clean_up(swarm: swarm_client.Swarm) -> None:
    """Remove the settings before the newest, which those that are still to come need.

    There are few. Where a manager lists hundreds, the others stay: each costs it a request's time.

    :raises Unavailable: when no manager answers.
    """
    generations = sorted(map(_generation, _own(swarm)))
    for generation in generations[:-1][:_MOST_REMOVED]:
        if generation:
            swarm.remove_config(f"{PREFIX}{generation}")


def _own(swarm: swarm_client.Swarm) -> list[dict[str, Any]]:
    return [
        config
        for config in swarm.configs(PREFIX)
        if (config["Spec"].get("Labels") or {}).get(CLUSTER) == swarm.cluster
    ]


def _living(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [
        node
        for node in nodes
        if (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"
        and (node.get("Status") or {}).get("State") == "ready"
    ]


def _name(node: Mapping[str, Any]) -> str:
    return swarm_nodes.hostname(node) or swarm_nodes.node_id(node)


def _generation(config: Mapping[str, Any]) -> int:
    return text.number(str(config["Spec"]["Name"]).removeprefix(PREFIX)) or 0


def _told(config: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        told = text.parsed(base64.b64decode(config["Spec"]["Data"]))
    except (binascii.Error, ValueError, KeyError) as error:
        raise exceptions.Inconsistent(
            "The settings of the cluster's managers were overwritten by somebody; remove the "
            f"config {config['Spec']['Name']} from the swarm.",
            f"Config {config['Spec']['Name']}: {error}",
        ) from error
    if not isinstance(told, dict):
        return {}
    return told
