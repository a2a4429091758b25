# SPDX-License-Identifier: Apache-2.0
"""``magnum swarm-backup``: a consistent copy of a swarm's state, while the swarm serves.

Docker's own advice is followed: the engine of one manager stands still while its state is copied.
That manager is not the leader, and has no tasks meanwhile, and the others keep the quorum without
it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from magnum_swarm_mode.cli.declare import Command
from magnum_swarm_mode.cli.errors import CommandError, one_line
from magnum_swarm_mode.cli.output import say
from magnum_swarm_mode.cli.swarm import access as swarm_access
from magnum_swarm_mode.cli.swarm import backup_file
from magnum_swarm_mode.cli.swarm.access import FAILURES, Access, Json, Manager
from magnum_swarm_mode.cli.swarm.host import Host

# On the node that is copied: its availability before.
LABEL = "magnum-swarm-mode.backup"
DRAIN_SECONDS = 120.0
COPY_SECONDS = 600.0
BACK_SECONDS = 120.0
_ENDED = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}


def place_of(client: Any, given: argparse.Namespace, default: str = "") -> Any:
    """Return where the backup is, as the options say: a file, or an object of the cloud's store.

    :raises CommandError: if they do not say, or say both.
    """
    if bool(given.file) == bool(given.container):
        raise CommandError("Give --file or --container, one of them.")
    if given.object and not given.container:
        raise CommandError("--object needs --container.")
    if given.file:
        return backup_file.LocalFile(given.file)
    name = given.object or default
    if not name:
        raise CommandError("Give the object's name with --object.")
    return backup_file.StoredObject(client.http_client, given.container, name)


def refuse_busy(cluster: Any) -> None:
    """Refuse to disturb an operation of Magnum's.

    :raises CommandError: if one is under way.
    """
    if cluster.status.endswith("_IN_PROGRESS"):
        raise CommandError(
            f"Cluster {cluster.name} is {cluster.status}: wait until that has ended."
        )


@dataclasses.dataclass(frozen=True)
class Choice:
    """The manager to copy, its entry in the swarm, and one that serves meanwhile."""

    manager: Manager
    node: Json
    via: Manager


def choose(
    managers: Sequence[Manager], nodes: Sequence[Json], busy: dict[str, int], *, downtime: bool
) -> Choice:
    """Return which manager is to be copied: one that does not lead, with the fewest tasks.

    :param busy: node id to the number of tasks on it.
    :param downtime: whether the swarm's API may be away meanwhile.
    :raises CommandError: if the others would not keep the quorum; says the arithmetic.
    """
    raft = [node for node in nodes if node.get("ManagerStatus")]
    reachable = {node["ID"]: node for node in raft if swarm_access.is_reachable(node)}
    serving = [one for one in managers if one.serves and one.node_id in reachable]
    if len(raft) == 1:
        if not downtime:
            raise CommandError(
                "The swarm has one manager, whose engine must stand still for some seconds: the"
                " swarm's API is away meanwhile and its own tasks end. Allow it with"
                " --allow-downtime."
            )
        if serving:
            return Choice(serving[0], raft[0], serving[0])
    needed = swarm_access.quorum(len(raft))
    if len(reachable) - 1 < needed:
        raise CommandError(
            f"{len(reachable)} of {len(raft)} managers are reachable; while one stands still"
            f" {len(reachable) - 1} would be, and {needed} are needed for a quorum."
        )
    chief = swarm_access.leader(nodes)
    found = [one for one in serving if chief is None or one.node_id != chief["ID"]]
    if not found or len(serving) < 2:
        raise CommandError(
            "No manager that can be copied answers here beside another one:"
            f" {swarm_access.listed(managers)}."
        )
    best = min(found, key=lambda one: busy.get(one.node_id, 0))
    via = next(one for one in serving if one is not best)
    return Choice(best, reachable[best.node_id], via)


def swarm_backup(client: Any, given: argparse.Namespace, command: Command) -> None:
    """Copy a swarm's state from one of its managers."""
    del command
    now = datetime.datetime.now(datetime.UTC)
    access = swarm_access.open_cluster(client, given.cluster)
    cluster = access.cluster
    place = place_of(client, given, f"{cluster.name}-{now:%Y%m%dT%H%M%SZ}.swarm-backup")
    place.check()
    refuse_busy(cluster)
    serving = access.client(access.serving().address)
    if serving.inspect_swarm()["Spec"].get("EncryptionConfig", {}).get("AutoLockManagers"):
        raise CommandError(
            "The swarm locks its managers (autolock), so that none comes back without its key:"
            " turn that off with 'docker swarm update --autolock=false' first."
        )
    _return_all(serving)
    choice = choose(
        access.managers(), serving.nodes(), _busy(serving), downtime=bool(given.allow_downtime)
    )
    with tempfile.TemporaryFile() as copy, tempfile.TemporaryFile() as packed:
        manifest = _copy(access, choice, copy)
        manifest |= {
            "format": backup_file.FORMAT,
            "made": now.isoformat(timespec="seconds"),
            "made_by": f"magnum-swarm-mode {importlib.metadata.version('magnum-swarm-mode')}",
            "cluster": {"uuid": cluster.uuid, "name": cluster.name},
        }
        backup_file.pack(manifest, copy, packed)
        packed.seek(0)
        place.write(packed)
    say(
        f"Wrote {place}: {backup_file.count(manifest['contents'])}. The engine of"
        f" {choice.manager.hostname} stood still for {manifest['seconds']} s. Keep the backup"
        " secret: it holds the swarm's keys and secrets."
    )


def _busy(client: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for task in client.tasks(filters={"desired-state": "running"}):
        ident = str(task.get("NodeID"))
        counted[ident] = counted.get(ident, 0) + 1
    return counted


def _return_all(client: Any) -> None:
    """Let managers work again that a run which was interrupted had drained."""
    for node in client.nodes():
        if LABEL in (node["Spec"].get("Labels") or {}):
            give_back(client, node["ID"])


def give_back(client: Any, node_id: str) -> None:
    """Give a node the availability back that it had before it was drained for a backup."""

    def change(spec: Json) -> None:
        labels = dict(spec.get("Labels") or {})
        spec["Availability"] = labels.pop(LABEL, spec.get("Availability", "active"))
        spec["Labels"] = labels

    swarm_access.change_node(client, node_id, change)


@contextlib.contextmanager
def _drained(access: Access, choice: Choice) -> Iterator[None]:
    """Have no tasks on the manager, which otherwise would die without notice."""
    ident = choice.node["ID"]
    via = access.client(choice.via.address)

    def drain(spec: Json) -> None:
        labels = dict(spec.get("Labels") or {})
        labels.setdefault(LABEL, str(spec.get("Availability") or "active"))
        spec["Labels"], spec["Availability"] = labels, "drain"

    def left() -> int:
        tasks = via.tasks(filters={"node": ident})
        return sum(task["Status"]["State"] not in _ENDED for task in tasks)

    say(f"{choice.manager.hostname} is emptied.")
    try:
        swarm_access.change_node(via, ident, drain)
        swarm_access.wait_for(
            f"the tasks to leave {choice.manager.hostname}",
            left,
            lambda tasks: not tasks,
            DRAIN_SECONDS,
            describe=lambda tasks: f"{tasks} tasks are there",
        )
        yield
    finally:

        def back() -> bool:
            give_back(access.client(choice.via.address), ident)
            return True

        swarm_access.wait_for(f"{choice.manager.hostname} to work again", back, bool, BACK_SECONDS)


def _copy(access: Access, choice: Choice, copy: Any) -> dict[str, Any]:
    """Copy the manager's state into a file; return what the manifest says of it."""
    via = access.client(choice.via.address)
    with _drained(access, choice):
        swarm = via.inspect_swarm()
        host = Host(access, choice.manager.address, say)
        try:
            host.launch()
            manifest = {
                "swarm": swarm["ID"],
                "engine": choice.manager.version,
                "address": choice.manager.node_address,
                "pools": list(swarm.get("DefaultAddrPool") or ()),
                "data_path_port": swarm.get("DataPathPort") or 4789,
                "mtu": _ingress_mtu(via),
                "contents": backup_file.contents(via),
            }
            host.ask("backup", data=choice.manager.data)
            done = host.follow(COPY_SECONDS)
            digest = host.fetch("swarm.tar.gz", copy)
        finally:
            clean_up(host)
        if digest != done.sha256:
            raise CommandError("The copy was damaged on its way: run the command again.")
        swarm_access.wait_for(
            f"{choice.manager.hostname} to be a manager again",
            lambda: access.look(choice.manager.address),
            lambda seen: seen.serves,
            BACK_SECONDS,
            describe=lambda seen: swarm_access.listed([seen]),
        )
        if not done.ready:
            say(f"The swarm does not see {choice.manager.hostname} as ready yet: look after it.")
    return {**manifest, "sha256": digest, "seconds": done.seconds}


def _ingress_mtu(client: Any) -> str:
    for network in client.networks(names=["ingress"]):
        if network.get("Ingress"):
            return str((network.get("Options") or {}).get("com.docker.network.driver.mtu") or "")
    return ""


def clean_up(host: Host) -> None:
    """Remove the program from the host; while its engine starts that is tried again."""
    seconds = BACK_SECONDS if host.is_launched else 1.0

    def clean() -> bool:
        host.clean()
        return True

    try:
        swarm_access.wait_for("the host to be cleaned up", clean, bool, seconds, 3)
    except (CommandError, *FAILURES) as e:
        say(
            f"{one_line(e)}. The next run cleans up; the host does so by itself after half an hour."
        )
