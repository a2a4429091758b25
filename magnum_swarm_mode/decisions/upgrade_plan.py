# SPDX-License-Identifier: Apache-2.0
"""What an upgrade leads to, as a cluster's record keeps it."""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass
class Target:
    """What the nodes of a group shall be made of.

    :ivar name: the group's.
    :ivar template: uuid of the cluster template that it comes from.
    :ivar batch: how many workers are made, and how many removed, at a time.
    :ivar settings: parameters of the stack that belong to the template's labels.
    :ivar cluster: fields of the cluster's row once its first two groups follow the template.
    :ivar seal: stands for everything that they are made of; see :func:`seal`.
    :ivar old_first: whether there is no room for new nodes beside the old ones.
    :ivar told: whether Heat was to be told what they are made of.
    :ivar redo: host names of nodes that are made again, as they did not become ready.
    :ivar ready: how many nodes were as they shall be at the last look.
    :ivar done: whether all are.
    """

    name: str
    image: str
    flavor: str
    seal: str
    old_first: bool = False
    told: bool = False
    redo: list[str] = dataclasses.field(default_factory=list)
    ready: int = 0
    done: bool = False
    template: str = ""
    batch: int = 1
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    cluster: dict[str, Any] = dataclasses.field(default_factory=dict)
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Upgrade:
    """An upgrade of some groups of a cluster to a cluster template.

    :ivar groups: uuid of each group to what it is upgraded to.
    :ivar running: whether the operation that is under way works on it.
    :ivar over: whether it is done.
    """

    groups: dict[str, Target]
    running: bool = False
    over: bool = False
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)

    def after(self, former: "Upgrade | None") -> "Upgrade":
        """Return this upgrade together with what a former one has left to do.

        A group keeps the target that it was given until it has reached it, or is given another:
        upgrading one group never changes what another one was told.
        """
        merged = copy.deepcopy(self)
        for uuid, target in (former.groups if former and not former.over else {}).items():
            if uuid not in merged.groups and not target.done:
                merged.groups[uuid] = copy.deepcopy(target)
        return merged


def seal(image: str, flavor: str, settings: Mapping[str, Any]) -> str:
    """Return a text that is the same for nodes that are made of the same.

    :param settings: what a node is told of its engine.
    """
    text = json.dumps([image, flavor, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
