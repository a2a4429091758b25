# SPDX-License-Identifier: Apache-2.0
"""Which server each entry of the swarm's list of nodes is; pure functions.

A node chooses its host name. It does not choose its node id, which the swarm's authority gives, nor
the address from which the managers see it, which is that of its port. So an entry is the server

1. that its node id was seen to belong to before,
2. else the one whose port has the entry's address,
3. else the one of its host name, where nothing contradicts that: the address of either is not
   known, and no other entry is that server by its id or address.

Everything else is no server of the cluster, and has a name of its own here.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from magnum_swarm_mode.wire import nodes as swarm_nodes

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Identity:
    """What an entry of the swarm's list is.

    :ivar name: the host name that Heat gave the server; of what is no server, a name that no
        server has.
    :ivar is_ours: whether it is, or was, a server of the cluster.
    :ivar is_sure: whether that follows from its node id or its address.
    """

    name: str
    is_ours: bool = True
    is_sure: bool = False


def identify(
    nodes: Sequence[Json],
    ids: Mapping[str, str],
    addresses: Mapping[str, str],
    own: re.Pattern[str] | None = None,
) -> dict[str, Identity]:
    """Return what each entry is, by its node id.

    :param ids: node ids that were seen before, to host names of servers.
    :param addresses: host names of servers to their addresses in the cluster's network, as far as
        these are known.
    :param own: what the host names of the cluster's servers look like; None for any.
    """
    places = {swarm_nodes.plain_address(address): name for name, address in addresses.items()}
    places.pop("", None)
    found: dict[str, Identity] = {}
    unsure = []
    for node in nodes:
        key = swarm_nodes.node_id(node)
        name = ids.get(key) or places.get(swarm_nodes.network_address(node))
        if name:
            found[key] = Identity(name, is_sure=True)
        else:
            unsure.append(node)
    taken = {one.name for one in found.values()}
    for node in unsure:
        found[swarm_nodes.node_id(node)] = _by_name(node, taken, addresses, own)
    return found


def _by_name(
    node: Json, taken: set[str], addresses: Mapping[str, str], own: re.Pattern[str] | None
) -> Identity:
    name, address = swarm_nodes.hostname(node), swarm_nodes.network_address(node)
    is_ours = own is None or own.fullmatch(name) is not None
    if name not in taken and not (address and name in addresses):
        return Identity(name, is_ours)
    # What is left of a server that is gone is removed from the list; it is nothing else's harm.
    is_gone = swarm_nodes.state(node) == swarm_nodes.DOWN and own is not None and is_ours
    return Identity(f"{name} at {address or swarm_nodes.node_id(node)}", is_ours=is_gone)


def certain(found: Mapping[str, Identity]) -> dict[str, str]:
    """Return the names of the entries of which it is known which server they are, or that none."""
    return {key: one.name for key, one in found.items() if one.is_sure or not one.is_ours}


def learned(
    nodes: Sequence[Json], ids: Mapping[str, str], addresses: Mapping[str, str]
) -> dict[str, str]:
    """Return the node ids to remember: those that are listed, with what was found by address.

    :param ids: as for :func:`identify`.
    :param addresses: likewise.
    """
    sure = identify(nodes, ids, addresses)
    return {
        key: sure[key].name
        for node in nodes
        if (key := swarm_nodes.node_id(node))
        and sure[key].is_sure
        and (key in ids or swarm_nodes.state(node) == swarm_nodes.READY)
    }


def known(
    present: Mapping[str, str], before: Mapping[str, str], members: Iterable[str]
) -> dict[str, str]:
    """Return the servers' addresses: those that Heat shows, and else those that it showed before.

    :param members: host names of all present servers.
    """
    both = {**before, **present}
    return {name: both[name] for name in members if both.get(name)}
