# SPDX-License-Identifier: Apache-2.0
"""``magnum swarm-restore``: a swarm that was kept comes back in another cluster.

One manager of the cluster takes the swarm over (``host_program`` says how); the others leave theirs
and join it; Magnum replaces the workers, because nothing but a boot brings a worker into another
swarm. What belongs to the cluster and not to the swarm (its own configs, the labels of its
managers) is put down beside, as the label of a volume on the first manager, until the restore has
ended. So a run that is interrupted is finished by the next one, which sees how far it came.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import ipaddress
import json
import re
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from docker import errors as docker_errors

from magnum_swarm_mode import text
from magnum_swarm_mode.cli.declare import Command
from magnum_swarm_mode.cli.errors import CommandError, one_line
from magnum_swarm_mode.cli.output import say
from magnum_swarm_mode.cli.swarm import access as swarm_access
from magnum_swarm_mode.cli.swarm import backup_file, rotation
from magnum_swarm_mode.cli.swarm.access import Access, Json, Manager
from magnum_swarm_mode.cli.swarm.backup import clean_up, place_of, refuse_busy
from magnum_swarm_mode.cli.swarm.host import Host

VOLUME = "magnum-swarm-mode-restore"
TAKE_OVER_SECONDS = 600.0
JOIN_SECONDS = 120.0
MAGNUM_SECONDS = 3600.0
# An engine without quorum tells of itself only after 20 s of its own.
LOOK_SECONDS = 30.0
GROUP_LABEL = "magnum.node_group"
DEFAULT_GROUP = "default-worker"


@dataclasses.dataclass
class Record:
    """What belongs to the cluster, kept while its swarm is replaced.

    :ivar swarm: the id of the swarm that is restored.
    :ivar own: the address in the swarm of the manager that takes it over.
    :ivar addresses: Magnum's address of each manager to its address in the swarm.
    :ivar configs: the cluster's own configs: name, labels, data.
    :ivar managers: host name to the ``Spec`` of the manager's entry in the swarm.
    :ivar workers: node group to host names of the workers before.
    """

    swarm: str
    own: str
    addresses: dict[str, str]
    configs: list[Json]
    managers: dict[str, Json]
    workers: dict[str, list[str]]


def swarm_restore(client: Any, given: argparse.Namespace, command: Command) -> None:
    """Bring a swarm back in another cluster."""
    del command
    place = place_of(client, given)
    access = swarm_access.open_cluster(client, given.cluster)
    refuse_busy(access.cluster)
    with place.open() as source:
        backup = backup_file.unpack(source)
    managers = _all(access)
    found = _find_record(access, managers, backup.manifest["swarm"])
    if found is None:
        first, record = _begin(access, managers, backup.manifest, yes=bool(given.yes))
    else:
        first, record = found
        say(f"A restore that was begun before goes on with {first.hostname}.")
    _take_over(access, first, record, backup)
    docker = access.client(first.address)
    _put_configs(docker, record)
    _join_others(access, docker, first, record)
    _replace_workers(client, access, docker, record)
    _give_back(docker, record)
    _forget_dead(docker)
    with contextlib.suppress(docker_errors.NotFound):
        docker.remove_volume(VOLUME)
    _tell(docker, backup.manifest, access.cluster.name)


def _all(access: Access) -> list[Manager]:
    """Return all managers, each of which must answer.

    :raises CommandError: if one does not.
    """
    managers = access.managers(LOOK_SECONDS)
    silent = [one for one in managers if one.problem]
    if silent:
        raise CommandError(
            f"All managers of {access.cluster.name} are needed: {swarm_access.listed(silent)}."
        )
    return managers


def _find_record(
    access: Access, managers: Iterable[Manager], swarm: str
) -> tuple[Manager, Record] | None:
    """Return where an earlier run put its record down, and the record.

    :raises CommandError: if it was about another backup.
    """
    for manager in managers:
        with contextlib.suppress(docker_errors.NotFound):
            record = record_of(access.client(manager.address).inspect_volume(VOLUME))
            if record.swarm != swarm:
                raise CommandError(
                    "The restore of another swarm was begun in this cluster and has not ended:"
                    " finish that one, or delete the cluster and make another one."
                )
            return manager, record
    return None


def record_of(volume: Any) -> Record:
    """Return the record that an earlier run left as a volume's label.

    :raises CommandError: when it is none: root on a manager can change it.
    """
    kinds = typing.get_type_hints(Record)
    try:
        values = text.parsed(volume["Labels"][VOLUME])
        record = Record(**values)
        for name, kind in kinds.items():
            if not isinstance(values[name], typing.get_origin(kind) or kind):
                raise TypeError(name)
        for one in record.configs:
            base64.b64decode(one["data"])
            if not (isinstance(one["name"], str) and isinstance(one["labels"], dict)):
                raise TypeError("configs")
        if not all(isinstance(one, str) for one in record.addresses.values()):
            raise TypeError("addresses")
        if not all(isinstance(one, dict) for one in record.managers.values()):
            raise TypeError("managers")
        if not all(isinstance(one, list) for one in record.workers.values()):
            raise TypeError("workers")
    except (ValueError, LookupError, TypeError, AttributeError) as e:
        raise CommandError(
            "What an earlier restore left on a manager cannot be read: remove the volume"
            f" {VOLUME} there, or delete the cluster and make another one."
        ) from e
    return record


def _begin(
    access: Access, managers: Sequence[Manager], manifest: Json, *, yes: bool
) -> tuple[Manager, Record]:
    """Check what can be checked, and put down what belongs to the cluster.

    :raises CommandError: if the swarm cannot be restored here, or the user does not want it.
    """
    serving = next((one for one in managers if one.serves), None)
    if serving is None:
        raise CommandError(
            f"The swarm of {access.cluster.name} does not serve: {swarm_access.listed(managers)}."
        )
    docker = access.client(serving.address)
    nodes = docker.nodes()
    present = backup_file.contents(docker)
    swarm = docker.inspect_swarm()
    first = refuse_unfit(managers, nodes, swarm, manifest)
    if swarm["ID"] == manifest["swarm"]:
        raise CommandError(f"The swarm of {access.cluster.name} is the very one of the backup.")
    lost = {kind: names for kind, names in present.items() if kind != "networks"}
    if any(lost.values()) and not yes:
        raise CommandError(
            f"The swarm of {access.cluster.name} is not empty and would be lost"
            f" ({backup_file.count(lost)}): say --yes if it may be."
        )
    workers: dict[str, list[str]] = {}
    for node in nodes:
        if not node.get("ManagerStatus"):
            group = (node["Spec"].get("Labels") or {}).get(GROUP_LABEL, DEFAULT_GROUP)
            workers.setdefault(group, []).append(node["Description"]["Hostname"])
    record = Record(
        swarm=manifest["swarm"],
        own=first.node_address,
        addresses={one.address: one.node_address for one in managers},
        configs=[
            {
                "name": one["Spec"]["Name"],
                "labels": one["Spec"].get("Labels") or {},
                "data": one["Spec"].get("Data") or "",
            }
            for one in docker.configs()
            if one["Spec"]["Name"].startswith(backup_file.OURS)
        ],
        managers={
            node["Description"]["Hostname"]: node["Spec"]
            for node in nodes
            if node.get("ManagerStatus")
        },
        workers=workers,
    )
    labels = {VOLUME: json.dumps(dataclasses.asdict(record))}
    access.client(first.address).create_volume(VOLUME, labels=labels)
    return first, record


def refuse_unfit(
    managers: Sequence[Manager], nodes: Sequence[Json], swarm: Json, manifest: Json
) -> Manager:
    """Return the manager that is to take the swarm over.

    :raises CommandError: if the cluster cannot be where this swarm lives.
    """
    old = [one for one in managers if version(one.version) < version(manifest["engine"])]
    if old:
        raise CommandError(
            f"The backup is of Docker Engine {manifest['engine']}, and {old[0].hostname} has"
            f" {old[0].version}, which may not understand it: use a newer image."
        )
    port = swarm.get("DataPathPort") or 4789
    if port != manifest["data_path_port"]:
        raise CommandError(
            f"The backup's swarm uses port {manifest['data_path_port']} between nodes, and this"
            f" cluster lets {port} pass: create the cluster with label"
            f" data_path_port={manifest['data_path_port']}."
        )
    for pool in manifest["pools"]:
        for node in nodes:
            address = str((node.get("Status") or {}).get("Addr") or "")
            if address and _within(address, pool):
                raise CommandError(
                    f"The backup's swarm gives its networks addresses of {pool}, where node"
                    f" {address} of this cluster is: create the cluster with another fixed subnet."
                )
    free = [one for one in managers if one.node_address != manifest["address"]]
    if not free:
        raise CommandError(
            f"The only manager has the address {manifest['address']} that the backup's manager"
            " had: create the cluster anew, or with 3 managers."
        )
    return free[0]


def version(told: str) -> tuple[int, ...]:
    """Return an engine's version as numbers, such as (20, 10, 24)."""
    return tuple(int(number) for number in re.findall(r"[0-9]{1,9}", told.split("+")[0])[:3])


def _within(address: str, pool: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(pool, strict=False)
    except ValueError:
        return False


def _take_over(access: Access, first: Manager, record: Record, backup: backup_file.Backup) -> None:
    """Have the first manager be the only one of the swarm that was kept, if it is not yet."""
    seen = access.look(first.address, LOOK_SECONDS)
    if _has_swarm(seen, record):
        # Another run's program may still be at work there.
        former = backup.manifest["address"]
        swarm_access.wait_for(
            "the copy's own engine to leave the managers",
            lambda: access.client(first.address).nodes(),
            lambda nodes: (
                not any(
                    one.get("ManagerStatus") and one["Status"].get("Addr") == former
                    for one in nodes
                )
            ),
            JOIN_SECONDS,
            describe=lambda _: "it is among them",
        )
        clean_up(Host(access, first.address, say))
        return
    if seen.state == "active" and seen.control and seen.error:
        # It has joined, and the engine that it joined is gone: it can only be this swarm.
        access.client(first.address).init_swarm(
            advertise_addr=record.own, data_path_addr=record.own, force_new_cluster=True
        )
    else:
        host = Host(access, first.address, say)
        try:
            host.launch()
            say(f"{first.address}: the copy is sent")
            host.put(backup_file.COPY, backup.copy)
            host.ask("restore", former=backup.manifest["address"], own=record.own)
            host.follow(TAKE_OVER_SECONDS)
        finally:
            clean_up(host)
    _wait_until(access, first.address, "have the swarm", lambda one: _has_swarm(one, record))


def _put_configs(docker: Any, record: Record) -> None:
    """Put the cluster's own configs in the place of those of the cluster that is no more."""
    wanted = {one["name"]: one for one in record.configs}
    for one in docker.configs():
        spec = one["Spec"]
        if not spec["Name"].startswith(backup_file.OURS):
            continue
        own = wanted.get(spec["Name"])
        if own and (spec.get("Labels") or {}, spec.get("Data") or "") == (
            own["labels"],
            own["data"],
        ):
            del wanted[spec["Name"]]
        else:
            docker.remove_config(one["ID"])
    for own in wanted.values():
        docker.create_config(own["name"], base64.b64decode(own["data"]), own["labels"])
    # The tokens of the backup may be known to many.
    rotation.rotate_tokens(docker, list(rotation.ROLES))


def _join_others(access: Access, docker: Any, first: Manager, record: Record) -> None:
    """Have the cluster's other managers join the swarm, one by one."""
    for address in access.addresses:
        seen = access.look(address, LOOK_SECONDS)
        if address == first.address or _has_swarm(seen, record):
            continue
        say(f"{address}: joining the swarm")
        other = access.client(address)
        if seen.state != "inactive":
            other.leave_swarm(force=True)
        _wait_until(access, address, "be in no swarm", lambda one: one.state == "inactive")
        own = record.addresses[address]
        swarm_access.join_manager(other, docker, own, [record.own], availability="drain")
        _wait_until(access, address, "have the swarm", lambda one: _has_swarm(one, record))


def _has_swarm(seen: Manager, record: Record) -> bool:
    return seen.serves and seen.swarm_id == record.swarm


def _wait_until(access: Access, address: str, what: str, good: Callable[[Manager], bool]) -> None:
    swarm_access.wait_for(
        f"manager {address} to {what}",
        lambda: access.look(address),
        good,
        JOIN_SECONDS,
        describe=lambda one: swarm_access.listed([one]),
    )


def _replace_workers(client: Any, access: Access, docker: Any, record: Record) -> None:
    """Have Magnum replace the workers, which are in the swarm that is no more."""
    uuid = access.cluster.uuid
    for group in client.nodegroups.list(uuid):
        wanted = int(group.node_count or 0)
        if group.role == "master" or not wanted:
            continue
        name = str(group.name)
        ready = _workers(docker).get(name, [])
        if len(ready) >= wanted:
            continue
        before = [host for host in record.workers.get(name, []) if host not in ready]
        say(f"Magnum is asked to replace {wanted} workers of {name}.")
        _settle(client, uuid)
        try:
            client.clusters.resize(uuid, wanted, nodes_to_remove=before, nodegroup=name)
        except Exception as e:
            if "is not in node group" not in one_line(e):
                raise
            # Some are gone already: whoever is not in the swarm is replaced.
            client.clusters.resize(uuid, wanted, nodegroup=name)
        time.sleep(2)
        _settle(client, uuid)
        _wait_for_workers(docker, name, wanted)


def _wait_for_workers(docker: Any, group: str, wanted: int) -> None:
    swarm_access.wait_for(
        f"{wanted} workers of {group} to be ready",
        lambda: len(_workers(docker).get(group, [])),
        lambda seen: seen >= wanted,
        JOIN_SECONDS,
        describe=lambda seen: f"{seen} are",
    )


def _workers(docker: Any) -> dict[str, list[str]]:
    """Return the host names of ready workers by node group."""
    found: dict[str, list[str]] = {}
    for node in docker.nodes():
        if not node.get("ManagerStatus") and node["Status"]["State"] == "ready":
            group = (node["Spec"].get("Labels") or {}).get(GROUP_LABEL, DEFAULT_GROUP)
            found.setdefault(group, []).append(node["Description"]["Hostname"])
    return found


def _settle(client: Any, uuid: str) -> None:
    """Wait until Magnum has ended what it does.

    :raises CommandError: if that failed.
    """
    last = ""

    def look() -> Any:
        nonlocal last
        seen = client.clusters.get(uuid)
        reason = f"{seen.status}: {seen.status_reason}"
        if seen.status.endswith("_IN_PROGRESS") and reason != last:
            last = reason
            say(f"Magnum: {reason}")
        return seen

    seen = swarm_access.wait_for(
        "Magnum",
        look,
        lambda one: not one.status.endswith("_IN_PROGRESS"),
        MAGNUM_SECONDS,
        describe=lambda one: f"{one.status}: {one.status_reason}",
    )
    if seen.status.endswith("_FAILED"):
        raise CommandError(
            f"Magnum says {seen.status}: {seen.status_reason} Run the command again when that is"
            " mended."
        )


def _give_back(docker: Any, record: Record) -> None:
    """Give managers the labels and the availability that they had in this cluster."""
    for node in docker.nodes():
        kept: Mapping[str, Any] | None = record.managers.get(node["Description"].get("Hostname"))
        if not node.get("ManagerStatus") or kept is None:
            continue

        def change(spec: Json, kept: Mapping[str, Any] = kept) -> None:
            spec["Labels"] = dict(kept.get("Labels") or {})
            spec["Availability"] = kept.get("Availability") or "active"

        swarm_access.change_node(docker, node["ID"], change)


def _forget_dead(docker: Any) -> None:
    """Remove entries of managers that an earlier run let join and leave."""
    nodes = docker.nodes()
    alive = {one["Description"].get("Hostname") for one in nodes if _state(one) == "ready"}
    for node in nodes:
        if _state(node) == "down" and node["Description"].get("Hostname") in alive:
            swarm_access.remove_node(docker, node["ID"])


def _state(node: Json) -> str:
    return str(node["Status"]["State"])


def _tell(docker: Any, manifest: Json, cluster: str) -> None:
    present = backup_file.contents(docker)
    for line in backup_file.differences(manifest["contents"], present):
        say(f"Changed since the backup was listed: {line}.")
    say(summary(manifest, cluster, present))


def summary(manifest: Json, cluster: str, present: Mapping[str, Mapping[str, str]]) -> str:
    """Say what was restored, and where."""
    name, made = text.line(manifest["cluster"]["name"]), text.line(manifest["made"])
    found = text.line(backup_file.count(present))
    return f"The swarm of {name} of {made} is in cluster {cluster}: {found}."
