# SPDX-License-Identifier: Apache-2.0
"""``magnum swarm-recover``: a new quorum from one manager that is left.

Each run looks first where things are, and goes on from there::

    what the managers say                        what is done
    -------------------------------------------  ---------------------------------------------
    all of them are in the quorum                refused: nothing is to be recovered
    the quorum stands without some               refused: a resize replaces those
    no leader                                    one that is left becomes the first of a new
                                                 quorum, with all that the swarm knows
    it leads, but half or more of the managers   their entries are removed
    that the swarm lists are not reached
    it leads, and managers are missing           Magnum is asked for as many as there were

Nothing is kept between runs, so that one that was interrupted is run again.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode import text
from magnum_swarm_mode.cli import output
from magnum_swarm_mode.cli.declare import Command
from magnum_swarm_mode.cli.errors import CommandError
from magnum_swarm_mode.cli.swarm import access as swarm_access
from magnum_swarm_mode.cli.swarm.access import Access, Json, Manager

GROUP = "default-master"
_COLUMNS = ("manager", "address", "swarm")
# An engine without quorum tells of itself only after 20 s of its own.
_LOOK_SECONDS = 30.0
_INIT_SECONDS = 90.0
_LEAD_SECONDS = 120.0
_REMOVE_SECONDS = 120.0
_BEGIN_SECONDS = 90.0
_REPLACE_SECONDS = 3600.0
_INTERVAL = 3.0


class Stage(enum.Enum):
    """How far a recovery is, by what a manager that leads lists."""

    LOST = "no leader"
    LEFTOVERS = "entries of managers that are gone"
    SHORT = "managers are missing"
    STANDS = "some managers are lost, and the quorum stands"
    WHOLE = "all managers are there"


def stage_of(nodes: Sequence[Json] | None, wanted: int) -> Stage:
    """Return how far a recovery is; a pure function.

    :param nodes: as ``GET /nodes`` lists them; None where no manager knows a leader.
    :param wanted: how many managers there shall be.
    """
    if nodes is None:
        return Stage.LOST
    managers = managers_of(nodes)
    reachable = sum(swarm_access.is_reachable(node) for node in managers)
    if reachable < swarm_access.quorum(len(managers)):
        # A quorum that stands reaches most of its managers: this one was made anew.
        return Stage.LEFTOVERS
    if reachable < len(managers):
        return Stage.STANDS
    return Stage.SHORT if len(managers) < wanted else Stage.WHOLE


def managers_of(nodes: Sequence[Json]) -> list[Json]:
    """Return those nodes that are, or shall be, managers."""
    return [
        node
        for node in nodes
        if node.get("ManagerStatus") or (node.get("Spec") or {}).get("Role") == "manager"
    ]


def survivors(managers: Sequence[Manager]) -> list[Manager]:
    """Return the managers that answer and still have what the swarm knows."""
    return [one for one in managers if not one.problem and one.control]


def choose(managers: Sequence[Manager], wanted: str | None) -> Manager:
    """Return the manager of which a new quorum is made.

    :param wanted: the number at the end of its host name, its host name or its address; the first
        one that is left where None.
    :raises CommandError: if there is none, or not this one.
    """
    left = survivors(managers)
    if not left:
        raise CommandError(
            "No manager is left that knows the swarm: start the managers' servers again, or make a "
            "new cluster of a backup."
        )
    if wanted is None:
        return left[0]
    for one in left:
        if wanted in (one.address, one.hostname, _index(one.hostname)):
            return one
    known = ", ".join(f"{_index(one.hostname)} ({one.hostname})" for one in left)
    raise CommandError(f"Manager {wanted} is not among those that are left: {known}.")


def _index(hostname: str) -> str:
    found = re.search(r"(\d+)$", hostname)
    return found[1] if found else hostname


def _hostname(node: Json) -> str:
    return str((node.get("Description") or {}).get("Hostname") or node.get("ID") or "")


@dataclasses.dataclass
class _Recovery:
    """One run of the command."""

    client: Any
    access: Access
    given: argparse.Namespace

    @property
    def cluster(self) -> Any:
        return self.access.cluster

    @property
    def wanted(self) -> int:
        return int(self.cluster.master_count or 1)

    def run(self) -> None:
        looks = self.access.managers(_LOOK_SECONDS)
        print(output.table([_row(one) for one in looks], _COLUMNS))
        manager, nodes = self._leading(looks)
        stage = stage_of(nodes, self.wanted)
        if stage is Stage.LOST:
            manager = choose(looks, self.given.manager)
            self._confirm(manager, looks)
            self._found(manager)
            nodes = self._nodes(manager)
        elif stage is Stage.LEFTOVERS and sum(one.serves for one in looks) > 1:
            # A new leader reaches the others only after a while, who know it already.
            raise CommandError(
                f"The managers of {self.cluster.name} are just finding each other; look again in a "
                "minute."
            )
        elif stage is Stage.STANDS:
            lost = [
                _hostname(node)
                for node in managers_of(nodes or ())
                if not swarm_access.is_reachable(node)
            ]
            raise CommandError(
                f"The quorum of {self.cluster.name} stands without {', '.join(lost)}: nothing is "
                f"to be recovered. To have lost managers replaced: {self._resize_line()}"
            )
        elif stage is Stage.WHOLE and not self._is_busy():
            raise CommandError(
                f"All {self.wanted} managers of {self.cluster.name} are in the quorum: nothing is "
                "to be recovered."
            )
        assert manager is not None
        names = self._remove_others(manager, nodes or [])
        if self.wanted > 1:
            self._replace(manager, names)

    def _leading(self, looks: Sequence[Manager]) -> tuple[Manager | None, list[Json] | None]:
        """Return a manager that knows a leader, and the nodes that it lists."""
        for one in looks:
            # One that has just lost its leader says so only now.
            with contextlib.suppress(CommandError, *swarm_access.FAILURES):
                if one.serves:
                    return one, self._nodes(one)
        return None, None

    def _nodes(self, manager: Manager) -> list[Json]:
        return list(self.access.client(manager.address).nodes())

    def _confirm(self, chosen: Manager, looks: Sequence[Manager]) -> None:
        left = survivors(looks)
        silent = [one.address for one in looks if one not in left]
        print(
            f"\nThe managers of {self.cluster.name} have lost their quorum. {chosen.hostname} "
            f"({chosen.address}) becomes the first of a new one and keeps services, networks, "
            f"secrets and configs as it knows them. The {self.wanted - 1} others are removed and "
            "replaced by new ones."
        )
        if len(left) > 1:
            print(
                f"{len(left)} managers are left, of which one may know a little more than another; "
                "--manager chooses."
            )
        if silent:
            print(
                f"{', '.join(silent)} must be lost for good: a manager that is only not reached "
                "would go on with a swarm of its own until it is replaced."
            )
        if self.given.yes:
            return
        if not sys.stdin.isatty():
            raise CommandError("Nobody is there to be asked; add --yes.")
        if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")

    def _found(self, chosen: Manager) -> None:
        """Make a manager the only one of its swarm, and wait until it leads."""
        output.say(f"{chosen.hostname} is made the first manager of a new quorum.")
        problem = ""
        labels: Mapping[str, Any] = getattr(self.cluster, "labels", None) or {}
        port = str(labels.get("data_path_port") or "")
        try:
            self.access.client(chosen.address, _INIT_SECONDS).init_swarm(
                advertise_addr=chosen.node_address,
                listen_addr="0.0.0.0:2377",
                data_path_addr=chosen.node_address,
                data_path_port=text.number(port),
                force_new_cluster=True,
            )
        except swarm_access.FAILURES as e:
            # Whether it leads is what counts, and is seen below.
            problem = f" It said: {swarm_access.reason(e)}."
        try:
            swarm_access.wait_for(
                f"{chosen.hostname} to lead",
                lambda: swarm_access.leader(self._nodes(chosen)),
                lambda node: node is not None and node["ID"] == chosen.node_id,
                _LEAD_SECONDS,
                describe=lambda node: f"{_hostname(node)} leads" if node else "nobody leads",
            )
        except CommandError as e:
            raise CommandError(
                f"{e}.{problem} Run the command again, if need be with another --manager."
            ) from e
        output.say(f"{chosen.hostname} leads.")

    def _remove_others(self, manager: Manager, nodes: Sequence[Json]) -> list[str]:
        """Remove the entries of the other managers; return their host names."""
        if stage_of(nodes, self.wanted) is not Stage.LEFTOVERS:
            return []
        client = self.access.client(manager.address)
        names = []
        for node in managers_of(nodes):
            if (node.get("ManagerStatus") or {}).get("Leader"):
                continue
            swarm_access.remove_node(client, str(node["ID"]), _REMOVE_SECONDS)
            names.append(_hostname(node))
            output.say(f"{names[-1]} is removed from the swarm.")
        return names

    def _replace(self, manager: Manager, names: Sequence[str]) -> None:
        """Have Magnum make as many managers as there were, and wait for them."""
        if names or not self._is_busy():
            self.client.clusters.resize(
                self.cluster.uuid, self.wanted, nodes_to_remove=list(names), nodegroup=GROUP
            )
            output.say(f"Magnum is asked for {self.wanted} managers again.")
        if not self.given.no_wait:
            self._follow(manager)

    def _follow(self, manager: Manager) -> None:
        """Say what Magnum does until it has ended.

        :raises CommandError: when it fails or does not begin.
        """
        began, busy, told = time.monotonic(), False, ""
        while time.monotonic() - began < _REPLACE_SECONDS:
            status, reason = self._status()
            if status.endswith("_IN_PROGRESS"):
                busy = True
                if reason and reason != told:
                    output.say(reason)
                    told = reason
            elif busy and status.endswith("_FAILED"):
                raise CommandError(
                    f"{self.cluster.name} is {status}: {reason} It works with the managers that it "
                    f"has; try again with: {self._resize_line()}"
                )
            elif self._is_whole(manager):
                output.say(f"All {self.wanted} managers of {self.cluster.name} are in the quorum.")
                return
            elif not busy and time.monotonic() - began > _BEGIN_SECONDS:
                raise CommandError(
                    f"Magnum has not begun, and {self.cluster.name} is {status}. Try again with: "
                    f"{self._resize_line()}"
                )
            time.sleep(_INTERVAL)
        raise CommandError(
            f"{self.cluster.name} is still being changed; run the command again to go on watching."
        )

    def _is_whole(self, manager: Manager) -> bool:
        with contextlib.suppress(CommandError, *swarm_access.FAILURES):
            return stage_of(self._nodes(manager), self.wanted) is Stage.WHOLE
        return False

    def _status(self) -> tuple[str, str]:
        seen = self.client.clusters.get(self.cluster.uuid)
        return str(seen.status), str(seen.status_reason or "")

    def _is_busy(self) -> bool:
        return str(self.cluster.status) == "UPDATE_IN_PROGRESS"

    def _resize_line(self) -> str:
        return f"openstack coe cluster resize {self.cluster.name} {self.wanted} --nodegroup {GROUP}"


def _row(one: Manager) -> dict[str, str]:
    if one.problem:
        swarm = one.problem
    elif one.error:
        swarm = "no leader" if "does not have a leader" in one.error else one.error
    else:
        swarm = one.state if one.control else f"{one.state}, not a manager"
    return {"manager": one.hostname, "address": one.address, "swarm": swarm}


def swarm_recover(client: Any, given: argparse.Namespace, command: Command) -> None:
    """Make a new quorum where it is lost, and have the lost managers replaced."""
    del command
    _Recovery(client, swarm_access.open_cluster(client, given.cluster), given).run()
